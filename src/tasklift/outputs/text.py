"""Free text, such as a summary or a reply."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from tasklift.errors import DataError
from tasklift.outputs.base import ABSTAINED, MayAbstain, as_json, shown

#: Tokens of an answer where nothing bounds it.
FREE_TOKENS = 256


class Text(MayAbstain):
    """Free text.

    Attributes:
        max_chars: longest allowed answer; None: no bound.
    """

    default_metrics: ClassVar[tuple[str, ...]] = ("accuracy", "rouge_l", "chrf")

    kind: Literal["text"]
    max_chars: int | None = Field(default=None, gt=0)

    @property
    def form(self) -> str:
        """Nothing around the text, and its bound."""
        limit = f", at most {self.max_chars} characters" if self.max_chars else ""
        return f"Answer with the text alone{limit}, without a heading or a comment.{self.abstention_form}"

    @property
    def max_tokens(self) -> int:
        """English takes about four characters a token, other languages fewer: two and a half are counted."""
        return FREE_TOKENS if self.max_chars is None else int(self.max_chars / 2.5) + 8

    def check(self, value: Any) -> None:
        """Refuse what is no text, empty or too long.

        Raises:
            DataError: with the value and the bound.
        """
        if self.is_abstention(value):
            return
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{shown(value)} is no text")
        if self.max_chars is not None and len(value) > self.max_chars:
            raise DataError(f"the text has {len(value)} characters, more than the {self.max_chars} that are allowed")

    def tidy(self, value: Any) -> Any:
        """Without outer white space."""
        return value.strip() if isinstance(value, str) else value

    def write(self, value: Any) -> str:
        """The text itself."""
        return value if isinstance(value, str) else as_json(value)

    def read(self, text: str) -> Any:
        """The text, or the abstention.

        Raises:
            DataError: empty or too long.
        """
        bare = text.strip()
        value = dict(ABSTAINED) if self.may_abstain and bare == as_json(ABSTAINED) else bare
        self.check(value)
        return value
