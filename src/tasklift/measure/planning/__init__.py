"""Before anything is measured: advice, plans, estimates."""
