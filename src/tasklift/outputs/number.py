"""A number in a range."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from tasklift.errors import DataError
from tasklift.outputs.base import MayAbstain, read_json, shown

#: Where the task says nothing, numbers within this share of the range are right.
SHARE_OF_SPAN = 0.1


class Number(MayAbstain):
    """A number in a range.

    Attributes:
        minimum: smallest allowed; None: no bound.
        maximum: largest allowed; None: no bound.
        whole: only whole numbers.
    """

    cue: ClassVar[str] = "Number"
    default_metrics: ClassVar[tuple[str, ...]] = ("accuracy", "mae", "quadratic_kappa")

    kind: Literal["number"]
    minimum: float | None = None
    maximum: float | None = None
    whole: bool = False

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> Number:
        if self.minimum is not None and self.maximum is not None and self.minimum >= self.maximum:
            raise ValueError(f"minimum {self.minimum:g} is not below maximum {self.maximum:g}")
        return self

    @property
    def form(self) -> str:
        """Bare, with its range."""
        kind = "whole number" if self.whole else "number"
        low, high = _plain(self.minimum), _plain(self.maximum)
        if low and high:
            limits = f" from {low} to {high}"
        else:
            limits = f" of {low} or more" if low else f" of {high} or less" if high else ""
        return f"Answer with one {kind}{limits} and nothing else.{self.abstention_form}"

    @property
    def answer_schema(self) -> dict[str, Any]:
        """A bounded number."""
        schema: dict[str, Any] = {"type": "integer" if self.whole else "number"}
        schema |= {"minimum": self._bound(self.minimum)} if self.minimum is not None else {}
        schema |= {"maximum": self._bound(self.maximum)} if self.maximum is not None else {}
        return self.or_abstain(schema)

    @property
    def max_tokens(self) -> int:
        """A number, or the abstention."""
        return 24

    @property
    def span(self) -> float | None:
        """Maximum less minimum; None where one is missing."""
        return None if self.minimum is None or self.maximum is None else self.maximum - self.minimum

    def check(self, value: Any) -> None:
        """Refuse what is no number in the range.

        Raises:
            DataError: with the value and the range.
        """
        if self.is_abstention(value):
            return
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise DataError(f"{shown(value)} is no number; write one such as 12 or 3.5, without quotes or a unit")
        if self.whole and float(value) != int(value):
            raise DataError(f"{value!r} is no whole number")
        too_small = self.minimum is not None and value < self.minimum
        if too_small or (self.maximum is not None and value > self.maximum):
            low, high = _plain(self.minimum) or "no bound", _plain(self.maximum) or "no bound"
            raise DataError(f"{value!r} lies outside the range of the task, {low} to {high}")

    def tidy(self, value: Any) -> Any:
        """Whole values as integers: 3.0 and 3 are one number."""
        if isinstance(value, float) and math.isfinite(value) and value == int(value) and abs(value) < 2**53:
            return int(value)
        return value

    def read(self, text: str) -> Any:
        """A number; a full stop after it is let go.

        Raises:
            DataError: it is none.
        """
        bare = text.strip()
        value = self.tidy(read_json(bare[:-1] if bare.endswith(".") and bare[:-1].strip("-").isdigit() else bare))
        self.check(value)
        return value

    def tolerance(self, within: float | None) -> float:
        """Largest distance at which one number counts as another: what the task says, else a tenth of the range."""
        if within is not None:
            return within
        return SHARE_OF_SPAN * self.span if self.span is not None else 0.0

    def stratum(self, value: Any) -> str:
        """A fifth of the range, so that a split keeps small and large."""
        if self.span is None or self.minimum is None or not isinstance(value, int | float):
            return ""
        return str(min(int(5 * (value - self.minimum) / self.span), 4))

    def _bound(self, value: float) -> float | int:
        return int(value) if self.whole or value == int(value) else value


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.15g}"
