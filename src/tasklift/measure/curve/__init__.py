"""Learning curves: measured at nested sizes, crossed with both kinds of certainty, drawn, and kept for decisions."""
