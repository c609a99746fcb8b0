"""How good answers are: one metric a file, each a line in the registry."""
