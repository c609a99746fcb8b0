"""Asking people for labels: which rows, what they said, how far they agree, what it cost."""
