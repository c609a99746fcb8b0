"""Decisions as they were taken: kept, shown, redone, watched."""
