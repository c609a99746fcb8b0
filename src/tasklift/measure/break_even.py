"""The volume from which one option is cheaper than another, with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tasklift.measure.yearly import Parts


@dataclass(frozen=True)
class BreakEven:
    """Volume from which the first option of a pair is the cheaper one; None: never.

    Attributes:
        items_per_month: median over the draws where there is one.
        low: 5th percentile.
        high: 95th percentile; None where a twentieth of the draws or more say never.
    """

    items_per_month: float | None
    low: float | None = None
    high: float | None = None

    def to_json(self) -> Any:
        """The pinned form: volumes, or the word "never"."""
        if self.items_per_month is None:
            return "never"
        high = None if self.high is None else round(self.high)
        return {"items_per_month": round(self.items_per_month), "low": round(self.low or 0), "high": high}


def break_even_of(first: Parts, second: Parts) -> BreakEven:
    """Monthly volume from which `first` is cheaper than `second`, over the draws.

    A draw in which an item costs `first` more says never, even where `first` is the cheaper one at small volumes.
    """
    gain, extra = second.unit - first.unit, first.fixed - second.fixed
    never = (gain < 0) | ((gain == 0) & (extra > 0))
    volume = np.where(extra <= 0, 0.0, extra / np.where(gain > 0, gain, np.nan)) / 12
    real = np.where(never, np.inf, np.nan_to_num(volume, nan=0.0))
    low, middle, high = (float(np.quantile(real, q, method="nearest")) for q in (0.05, 0.5, 0.95))
    if np.isinf(middle):
        return BreakEven(None)
    return BreakEven(middle, low, None if np.isinf(high) else high)
