"""Business rules that run after a model: one file a kind (registry kind `rule`), `apply.py` runs them."""
