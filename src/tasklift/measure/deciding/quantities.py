"""Draws of everything that the user is unsure of: lognormal money and counts, Beta shares.

Every quantity is drawn in equal strata (Latin hypercube: McKay, Beckman and Conover 1979), so that the
mean of a few thousand draws is nearly the mean of the distribution.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtr, ndtri

from tasklift.economics import Quantity

Draws = NDArray[np.float64]
#: Standard normal distance between the 10th and the 50th percentile.
Z90 = float(ndtri(0.9))
_LEAST = 1e-12
#: Where an inverse that takes long is computed; between them it is interpolated.
_NODES = ndtr(np.linspace(-5, 5, 201))


class Sampler:
    """Draws of named quantities; keeps those that vary.

    Attributes:
        size: draws of each.
        rng: source of randomness.
        drawn: name -> [size] draws of every quantity that is not known exactly.
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        self.size = size
        self.rng = np.random.default_rng(seed)
        self.drawn: dict[str, Draws] = {}

    def amount(self, name: str, quantity: Quantity) -> Draws:
        """[size] lognormal values with the given percentiles (each side has its own width)."""
        if quantity.known:
            return np.full(self.size, quantity.p50)
        return self.keep(name, amount_at(quantity, ndtri(self.strata())))

    def share(self, name: str, quantity: Quantity) -> Draws:
        """[size] values of a Beta distribution with about the given percentiles."""
        if quantity.known:
            return np.full(self.size, quantity.p50)
        return self.beta(name, *beta_of(quantity.p10, quantity.p50, quantity.p90))

    def beta(self, name: str, a: float, b: float) -> Draws:
        """[size] values of a Beta distribution."""
        return self.keep(name, np.interp(self.strata(), _NODES, betaincinv(a, b, _NODES)))

    def about(self, name: str, mean: float, sd: float, most: float = math.inf) -> Draws:
        """[size] lognormal values of this mean and standard deviation, cut at `most`."""
        if mean <= 0 or sd <= 0:
            return np.full(self.size, min(mean, most))
        width = math.sqrt(math.log1p((sd / mean) ** 2))
        values = mean * np.exp(width * ndtri(self.strata()) - width * width / 2)
        return self.keep(name, np.minimum(values, most))

    def keep(self, name: str, values: Draws) -> Draws:
        """Note the draws of a quantity under its name."""
        self.drawn[name] = values
        return values

    def strata(self) -> Draws:
        """[size] uniform values, one in each of `size` equal parts of (0, 1), in random order."""
        return np.asarray((self.rng.permutation(self.size) + self.rng.random(self.size)) / self.size).clip(1e-12)


def amount_at(quantity: Quantity, z: Draws) -> Draws:
    """Lognormal values at standard normal distances `z`."""
    if quantity.p50 == 0:  # nothing to multiply: the upper half of a normal
        return np.asarray(quantity.p90 / Z90 * np.maximum(z, 0))
    down, up = _widths(quantity)
    return np.asarray(quantity.p50 * np.exp(np.where(z < 0, down, up) * z))


def mean_of(quantity: Quantity) -> float:
    """Mean of the lognormal: above its median, wherever it is uncertain."""
    if quantity.known:
        return quantity.p50
    if quantity.p50 == 0:
        return quantity.p90 / Z90 / math.sqrt(2 * math.pi)
    down, up = _widths(quantity)
    # E[exp(w z); z above or below 0] of a standard normal is exp(w^2 / 2) * Phi(+-w).
    below, above = (math.exp(w * w / 2) * float(ndtr(sign * w)) for w, sign in ((down, -1), (up, 1)))
    return quantity.p50 * (below + above)


def _widths(quantity: Quantity) -> tuple[float, float]:
    """Standard deviations of the logarithm below and above the median, which is not 0."""
    low, mid, high = (max(value, _LEAST) for value in (quantity.p10, quantity.p50, quantity.p90))
    return math.log(mid / low) / Z90, math.log(high / mid) / Z90


@functools.lru_cache(maxsize=256)
def beta_of(p10: float, p50: float, p90: float) -> tuple[float, float]:
    """Parameters of the Beta distribution whose percentiles are nearest to these.

    Swanson's rule (0.3, 0.4, 0.3) gives mean and variance to begin with; Gauss-Newton steps on the logarithms follow.
    """
    wanted = np.clip([p10, p50, p90], 1e-6, 1 - 1e-6)
    mean = float(wanted @ [0.3, 0.4, 0.3])
    variance = max(float((wanted - mean) ** 2 @ [0.3, 0.4, 0.3]), 1e-10)
    total = max(mean * (1 - mean) / variance - 1, 0.2)
    at = np.log([mean * total, (1 - mean) * total])
    best, best_miss = at, math.inf
    for _ in range(8):
        miss = _quantiles(at) - wanted
        if (size := float(miss @ miss)) < best_miss:
            best, best_miss = at, size
        if best_miss < 1e-14:
            break
        slope = np.stack([(_quantiles(at + step) - wanted - miss) / 1e-4 for step in 1e-4 * np.eye(2)], axis=1)
        at = np.clip(at - np.linalg.lstsq(slope, miss, rcond=None)[0], -5, 20)
    return float(np.exp(best[0])), float(np.exp(best[1]))


def _quantiles(log_parameters: Draws) -> Draws:
    a, b = np.exp(log_parameters)
    return np.asarray(betaincinv(a, b, [0.1, 0.5, 0.9]))
