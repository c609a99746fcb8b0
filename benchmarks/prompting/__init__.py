"""One file a row: a program of its own that prints its figures and writes benchmarks/results/prompting_<row>.json."""
