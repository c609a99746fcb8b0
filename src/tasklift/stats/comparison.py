"""Tests of two options on the same rows, and of several at once."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
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

    Normal approximation of McNemar's test: (z_a * sqrt(d) + z_b * sqrt(d - diff^2))^2 = n * diff^2
    (Connor 1987), which is a quadratic equation in diff^2.

    Args:
        n: rows.
        discordant: share of rows where exactly one option is right.
        power: probability of showing it.
        alpha: of the two-sided test.

    Returns:
        The difference as a share; at most `discordant`, since it cannot be larger.

    Raises:
        DataError: n is not positive, or a share is not between 0 and 1.
    """
    if n <= 0:
        raise DataError(f"minimum_detectable_difference: n={n} must be positive")
    _require_design("minimum_detectable_difference", discordant, power, alpha)
    z_alpha, z_power = float(ndtri(1 - alpha / 2)), float(ndtri(power))
    # diff * sqrt(n) - z_a * sqrt(d) = z_b * sqrt(d - diff^2), squared: one root has the right sign.
    first, second = math.sqrt(n * discordant) * z_alpha, n + z_power**2
    under = max(first**2 - second * discordant * (z_alpha**2 - z_power**2), 0.0)
    difference = (first + math.copysign(math.sqrt(under), z_power)) / second
    return min(difference, discordant)


def rows_needed(difference: float, discordant: float = 0.1, power: float = 0.8, alpha: float = 0.05) -> int:
    """Rows that a paired comparison needs to show a true difference (Connor 1987): the inverse of the above.

    Args:
        difference: P(a right) - P(b right), as a share; its sign does not matter.
        discordant: share of rows where exactly one option is right.
        power: probability of showing it.
        alpha: of the two-sided test.

    Raises:
        DataError: the difference is 0 or above `discordant`, or a share is not between 0 and 1.
    """
    _require_design("rows_needed", discordant, power, alpha)
    gap = abs(difference)
    if not 0 < gap <= discordant:
        raise DataError(f"rows_needed: difference={difference} must not be 0 nor above discordant={discordant}")
    z_alpha, z_power = float(ndtri(1 - alpha / 2)), float(ndtri(power))
    spread = z_alpha * math.sqrt(discordant) + z_power * math.sqrt(discordant - gap**2)
    return math.ceil((max(spread, 0.0) / gap) ** 2)


def mcnemar_power(n: int, difference: float, discordant: float = 0.1, alpha: float = 0.05) -> float:
    """Exact probability that `mcnemar_midp` shows a true difference on n rows, at `alpha`.

    The sum over the number of discordant rows (binomial) of the probability that their split is
    extreme enough. With difference=0 it is the test's true rate of false alarms.

    Raises:
        DataError: n is not positive, the difference is above `discordant`, or a share is not
            between 0 and 1.
    """
    _require_design("mcnemar_power", discordant, 0.5, alpha)
    if n <= 0 or abs(difference) > discordant:
        raise DataError(f"mcnemar_power: n={n}, difference={difference} do not fit discordant={discordant}")
    rows = np.arange(n + 1)
    chance = binom.pmf(rows, n, discordant)
    rows, chance = rows[chance > 1e-15], chance[chance > 1e-15]
    # The largest smaller count whose mid-p is at most alpha lies within one of the quantile.
    guesses = binom.ppf(alpha / 2, rows, 0.5)[:, None] + np.array([-1, 0, 1])
    total = rows[:, None]
    passes = 2 * binom.cdf(guesses, total, 0.5) - binom.pmf(guesses, total, 0.5) <= alpha
    critical = np.where(passes & (guesses >= 0) & (2 * guesses < total), guesses, -1).max(axis=1)
    share = (discordant + abs(difference)) / (2 * discordant)
    shown = binom.cdf(critical, rows, share) + binom.cdf(critical, rows, 1 - share)
    return float(np.sum(chance * shown))


def _require_design(who: str, discordant: float, power: float, alpha: float) -> None:
    if not (0 < discordant <= 1 and 0 < power < 1 and 0 < alpha < 1):
        raise DataError(
            f"{who}: discordant={discordant}, power={power} and alpha={alpha} must be shares between 0 and 1"
        )
