"""How long an answer may be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tasklift.rules.base import Said, require_rule, value_at, with_value

_SENTENCE_END = re.compile(r"[.!?…。](?=\s|$)")


@dataclass(frozen=True)
class Length:
    """At least and at most so many characters and words; 0: no limit. Too long is repaired at a sentence's end.

    Attributes:
        min_chars, max_chars, max_words: the limits.
        field: dotted path into an object; '' for the whole output.
    """

    min_chars: int = 0
    max_chars: int = 0
    max_words: int = 0
    field: str = ""

    def __post_init__(self) -> None:
        limits = (self.min_chars, self.max_chars, self.max_words)
        require_rule(min(limits) >= 0 and max(limits) > 0, "length", "give min_chars, max_chars or max_words above 0")
        fine = not self.max_chars or self.min_chars <= self.max_chars
        require_rule(fine, "length", f"min_chars = {self.min_chars} is above max_chars = {self.max_chars}")

    def broken(self, said: Said) -> str | None:
        """The limit that is passed."""
        text = value_at(said.output, self.field)
        if not isinstance(text, str):
            return f"{self.field or 'the answer'} is no text"
        words = len(text.split())
        if self.max_chars and len(text) > self.max_chars:
            return f"{len(text)} characters, at most {self.max_chars}"
        if self.max_words and words > self.max_words:
            return f"{words} words, at most {self.max_words}"
        return f"{len(text)} characters, at least {self.min_chars}" if len(text) < self.min_chars else None

    def repaired(self, said: Said) -> Any:
        """The whole sentences that fit; None where not even one does."""
        text = value_at(said.output, self.field)
        if not isinstance(text, str):
            return None
        for end in reversed([found.end() for found in _SENTENCE_END.finditer(text)]):
            mended = with_value(said.output, self.field, text[:end])
            if self.broken(Said(mended, said.input)) is None:
                return mended
        return None
