"""Texts as databases take them."""

from __future__ import annotations

import json
import re
from typing import Any

_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")
_LONGEST = 1_000_000  # characters of one text; the raw event has the rest


def clean(text: str) -> str:
    """Without what Postgres refuses (NUL) and UTF-8 cannot say (half surrogates), and no longer than a megabyte."""
    if "\0" in text:
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text if len(text) <= _LONGEST else text[:_LONGEST]


def one_line(text: str) -> str:
    """Without line breaks and control characters: nothing in it begins a header of its own."""
    return _CONTROL.sub(" ", text).strip()[:900]


def compact(value: Any) -> str:
    """`value` as JSON in ASCII, so that no character of it is a database's problem."""
    return json.dumps(value, separators=(",", ":"), default=str)
