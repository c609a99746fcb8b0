"""In which language an answer must be."""

from __future__ import annotations

from dataclasses import dataclass

import py3langid

from tasklift.rules.base import Said, require_rule, texts_in, value_at


@dataclass(frozen=True)
class Language:
    """The answer must be in one language: a code such as `de`, or `same`: that of the input.

    Attributes:
        language: ISO 639-1 code, or `same`.
        field: dotted path into an object; '' for the whole output.
        least_letters: shorter texts are not judged: their language cannot be told.
    """

    language: str = "same"
    field: str = ""
    least_letters: int = 20

    def __post_init__(self) -> None:
        known = self.language == "same" or (len(self.language) == 2 and self.language.islower())
        require_rule(known, "language", f"language = {self.language!r} must be a code such as de, or same")

    def broken(self, said: Said) -> str | None:
        """The language it is in, where it is another one."""
        found = self._of(" ".join(texts_in(value_at(said.output, self.field))))
        wanted = self._of(" ".join(texts_in(said.input))) if self.language == "same" else self.language
        if not found or not wanted or found == wanted:
            return None
        return f"is in {found!r}, must be in {wanted!r}"

    def _of(self, text: str) -> str:
        if sum(letter.isalpha() for letter in text) < self.least_letters:
            return ""
        return str(py3langid.classify(text)[0])
