"""How many tokens a text takes, without a tokenizer."""

from __future__ import annotations

import math

#: UTF-8 bytes that one token stands for, at the very least, in what a request asks.
LEAST_BYTES_A_TOKEN = 3


def estimated_tokens(text: str) -> int:
    """An upper estimate: a budget that it keeps is kept by every tokenizer in use (English takes 4 bytes a token)."""
    return math.ceil(len(text.encode(errors="replace")) / LEAST_BYTES_A_TOKEN)
