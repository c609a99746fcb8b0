"""From which volume, and after how many months, one option is cheaper than another: with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tasklift.measure.deciding.quantities import Draws
from tasklift.measure.deciding.yearly import OptionDraws, Parts, Shared, capacity


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


@dataclass(frozen=True)
class Payback:
    """Months until savings have paid for the dearer set-up; None: never.

    Attributes:
        months: median over the draws.
        low: 5th percentile.
        high: 95th percentile; None where a twentieth of the draws or more say never.
    """

    months: float | None
    low: float | None = None
    high: float | None = None

    def to_json(self) -> Any:
        """Months, or the word "never"."""
        if self.months is None:
            return "never"
        high = None if self.high is None else round(self.high, 1)
        return {"months": round(self.months, 1), "low": round(self.low or 0, 1), "high": high}


def break_even_of(first: Parts, second: Parts) -> BreakEven:
    """Monthly volume from which `first` is cheaper than `second`, over the draws.

    A draw in which an item costs `first` more says never, even where `first` is the cheaper one at small
    volumes. With capacity in steps it is the last volume at which `first` still costs more.
    """
    low, middle, high = _quantiles(break_even_draws(first, second))
    if np.isinf(middle):
        return BreakEven(None)
    return BreakEven(middle, low, None if np.isinf(high) else high)


def break_even_draws(first: Parts, second: Parts) -> Draws:
    """[draws] items a month; infinite where the answer is never."""
    gain = second.unit - first.unit
    limits = sorted({0.0, *(step.up_to_items_per_month for step in (*first.steps, *second.steps))})
    found = np.zeros_like(gain)
    # Between two limits the standing cost is constant; the last piece goes on for ever.
    for low, high in zip(limits, [*limits[1:], np.inf], strict=True):
        inside = np.full_like(gain, 12 * (low + min(high, 2 * low + 1)) / 2)
        extra = first.fixed - second.fixed + _standing(first, inside) - _standing(second, inside)
        rising = np.divide(extra, gain, out=np.where(extra > 0, np.inf, 0.0), where=gain > 0) / 12
        # Where an item costs no less, dearer ends lie at the upper limit as soon as there it costs more.
        above = extra - gain * 12 * high if np.isfinite(high) else np.where(gain < 0, np.inf, extra)
        worse_until = np.where(gain > 0, np.minimum(rising, high), np.where(above > 0, high, 0.0))
        found = np.where(worse_until > low, worse_until, found)
    return found


def payback_of(first: OptionDraws, second: OptionDraws, shared: Shared, totals: tuple[Draws, Draws]) -> Payback:
    """Months after which the dearer set-up of `first` is paid back by what it saves against `second`.

    `12 * (K_first - K_second) / (saving a year before set-up)`; 0 where the set-up is not dearer.

    Args:
        totals: yearly costs of both, set-up included: [draws] each.
    """
    extra = first.setup_usd - second.setup_usd
    saved = (totals[1] - second.setup_usd / shared.horizon_years) - (totals[0] - first.setup_usd / shared.horizon_years)
    months = np.divide(12 * extra, saved, out=np.full_like(extra, np.inf), where=saved > 0)
    low, middle, high = _quantiles(np.where((extra <= 0) & (saved >= 0), 0.0, months.clip(0)))
    if np.isinf(middle):
        return Payback(None)
    return Payback(middle, low, None if np.isinf(high) else high)


def _standing(parts: Parts, items_per_year: Draws) -> Draws:
    return capacity(parts.steps, items_per_year) if parts.steps else np.zeros_like(items_per_year)


def _quantiles(values: Draws) -> tuple[float, float, float]:
    # Of draws themselves: between a volume and "never" there is nothing to interpolate.
    places = [round(q * (len(values) - 1)) for q in (0.05, 0.5, 0.95)]
    low, middle, high = np.partition(values, places)[places].tolist()
    return low, middle, high
