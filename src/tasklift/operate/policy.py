"""What is kept of customers' texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tasklift.strategy import Input

#: Mail addresses, then links, then anything with seven or more digits (cards, accounts, telephones).
_PATTERNS = (
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), "[mail]"),
    (re.compile(r"https?://\S+|www\.\S+", re.IGNORECASE), "[link]"),
    (re.compile(r"\+?\d(?:[\s().-]{0,2}\d){6,}"), "[number]"),
)


def kept_input(value: Input, policy: str) -> Mapping[str, Any] | None:
    """An input as a trace may keep it: whole, blacked out, or not at all (None)."""
    if policy == "keep":
        return value
    if policy == "drop":
        return None
    return {name: redact(text) if isinstance(text, str) else text for name, text in value.items()}


def redact(text: str) -> str:
    """`text` with mail addresses, links and long numbers blacked out. Names stay: this makes nobody anonymous."""
    for pattern, mark in _PATTERNS:
        text = pattern.sub(mark, text)
    return text
