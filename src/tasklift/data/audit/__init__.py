"""What is wrong with rows: one file a check, `report.py` runs them all."""
