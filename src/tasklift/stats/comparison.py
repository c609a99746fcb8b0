"""Tests of two options on the same rows, and of several at once."""

from __future__ import annotations

import math
from collections.abc import Mapping

from scipy.special import ndtri
from scipy.stats import binom

from tasklift.errors import DataError


def mcnemar_midp(only_a: int, only_b: int) -> float:
    """Two-sided McNemar mid-p value (Fagerland, Lydersen and Laake 2013, equation 4).

    Args:
        only_a: rows that a alone got right.
        only_b: rows that b alone got right.

    Raises:
        DataError: a count is negative.
    """
    if only_a < 0 or only_b < 0:
        raise DataError(f"mcnemar_midp: counts must not be negative ({only_a}, {only_b})")
    n = only_a + only_b
    if n == 0:
        return 1.0
    smaller = min(only_a, only_b)
    return float(min(1.0, 2 * binom.cdf(smaller, n, 0.5) - binom.pmf(smaller, n, 0.5)))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p-values that hold the family-wise error (Holm 1979), in the order given."""
    ranked = sorted(p_values, key=lambda name: p_values[name])
    adjusted: dict[str, float] = {}
    highest = 0.0
    for rank, name in enumerate(ranked):
        highest = max(highest, min(1.0, (len(ranked) - rank) * p_values[name]))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p_values}


def minimum_detectable_difference(n: int, discordant: float = 0.1, power: float = 0.8, alpha: float = 0.05) -> float:
    """Smallest true difference that a paired comparison of n rows shows with the given power.

    Normal approximation of McNemar's test: (z_a * sqrt(d) + z_b * sqrt(d - diff^2))^2 = n * diff^2,
    solved by iteration (Connor 1987).

    Args:
        n: rows.
        discordant: share of rows where exactly one option is right.

    Raises:
        DataError: n is not positive.
    """
    if n <= 0:
        raise DataError(f"minimum_detectable_difference: n={n} must be positive")
    z_alpha, z_power = float(ndtri(1 - alpha / 2)), float(ndtri(power))
    difference = 0.0
    for _ in range(100):
        inner = max(discordant - difference**2, 0.0)
        difference = (z_alpha * math.sqrt(discordant) + z_power * math.sqrt(inner)) / math.sqrt(n)
    return min(difference, discordant)
