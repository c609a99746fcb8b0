"""Steps of the traffic tables; only forwards."""
