"""Rows about tuning: data, encoders, learning curves; each a file found by its name."""
