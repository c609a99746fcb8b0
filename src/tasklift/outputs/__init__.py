"""What an answer may be: one file for each kind of output."""
