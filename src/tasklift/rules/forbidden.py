"""Phrases that no answer may hold."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tasklift.rules.base import Said, require_rule, texts_in, value_at, with_value


@dataclass(frozen=True)
class Forbidden:
    """None of `phrases` may stand in the answer; case does not matter, and they count as whole words.

    Attributes:
        phrases: what may not be said.
        field: dotted path into an object; '' for the whole output.
        instead: what a phrase is replaced by where it is repaired; '' where it cannot be.
    """

    phrases: tuple[str, ...] = ()
    field: str = ""
    instead: str = ""

    def __post_init__(self) -> None:
        fine = bool(self.phrases) and all(isinstance(one, str) and one.strip() for one in self.phrases)
        require_rule(fine, "forbidden", f"phrases = {list(self.phrases)!r} must be a list of texts, none empty")
        require_rule(
            not self._found.search(self.instead), "forbidden", f"instead = {self.instead!r} is forbidden itself"
        )

    @cached_property
    def _found(self) -> re.Pattern[str]:
        words = (r"\s+".join(map(re.escape, phrase.split())) for phrase in self.phrases)
        return re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", re.IGNORECASE)

    def broken(self, said: Said) -> str | None:
        """The first phrase."""
        for text in texts_in(value_at(said.output, self.field)):
            if found := self._found.search(text):
                return f"says {found[0]!r}"
        return None

    def repaired(self, said: Said) -> Any:
        """With every phrase replaced."""
        value = value_at(said.output, self.field)
        if not self.instead or not isinstance(value, str):
            return None
        return with_value(said.output, self.field, self._found.sub(self.instead, value))
