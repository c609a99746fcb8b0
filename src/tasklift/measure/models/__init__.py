"""Fitted models as things to keep: what each is, how good it was, what it was made from; moved, compared, pruned."""
