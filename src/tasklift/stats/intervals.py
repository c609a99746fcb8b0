"""Intervals for proportions and for paired differences of proportions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from tasklift.errors import DataError


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its bounds."""

    value: float
    low: float
    high: float


def wilson(successes: float, n: int, confidence: float = 0.95) -> Interval:
    """Wilson score interval of a proportion (Wilson 1927; no continuity correction).

    Args:
        successes: 0 to n; a fraction when rows carry a score between 0 and 1.
        n: rows.
        confidence: two-sided.

    Raises:
        DataError: n is not positive or `successes` is outside 0..n.
    """
    if n <= 0 or not 0 <= successes <= n:
        raise DataError(f"wilson: successes={successes} of n={n} makes no proportion")
    z = float(ndtri(0.5 + confidence / 2))
    share = successes / n
    spread = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    centre, scale = share + z * z / (2 * n), 1 + z * z / n
    low, high = (centre - spread) / scale, (centre + spread) / scale
    # At 0 and n the bound is exact; rounding must not push it past the estimate.
    return Interval(share, min(max(float(low), 0.0), share), max(min(float(high), 1.0), share))


def unpaired_difference(a: float, n_a: int, b: float, n_b: int, confidence: float = 0.95) -> Interval:
    """Interval of the difference of two independent shares, a of n_a minus b of n_b (Newcombe 1998, method 10:
    Wilson's intervals joined).

    Raises:
        DataError: the counts make no shares.
    """
    one, other = wilson(a, n_a, confidence), wilson(b, n_b, confidence)
    value = one.value - other.value
    down = np.hypot(one.value - one.low, other.high - other.value)
    up = np.hypot(one.high - one.value, other.value - other.low)
    return Interval(value, float(value - down), float(value + up))


def paired_difference(only_a: int, only_b: int, n: int, confidence: float = 0.95) -> Interval:
    """Interval of P(a right) - P(b right) on the same rows (Bonett and Price 2012, adjusted Wald).

    Args:
        only_a: rows that a alone got right.
        only_b: rows that b alone got right.
        n: all rows.
        confidence: two-sided; take 0.9 for a one-sided bound at 95%.

    Raises:
        DataError: the counts do not fit n.
    """
    if n <= 0 or only_a < 0 or only_b < 0 or only_a + only_b > n:
        raise DataError(f"paired_difference: only_a={only_a}, only_b={only_b} do not fit n={n}")
    a, b = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    spread = float(ndtri(0.5 + confidence / 2)) * float(np.sqrt((a + b - (a - b) ** 2) / (n + 2)))
    return Interval((only_a - only_b) / n, max(a - b - spread, -1.0), min(a - b + spread, 1.0))
