"""The binomial distribution on arrays, from special functions: `scipy.stats` takes a third of a second to import."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtrik, betaincc, gammaln, xlog1py, xlogy


def cdf(k: ArrayLike, n: ArrayLike, p: ArrayLike) -> Any:
    """P(X <= k) for X ~ Binomial(n, p); arguments broadcast. Absolute error below 1e-11."""
    count, total = np.floor(np.asarray(k, dtype=float)), np.asarray(n, dtype=float)
    at = np.clip(count, 0, np.maximum(total - 1, 0))
    inside = betaincc(at + 1, np.maximum(total - at, 1), p)
    return np.where(count < 0, 0.0, np.where(count >= total, 1.0, inside))[()]


def pmf(k: ArrayLike, n: ArrayLike, p: ArrayLike) -> Any:
    """P(X = k), for whole numbers k; arguments broadcast. Absolute error below 1e-11."""
    count, total = np.asarray(k, dtype=float), np.asarray(n, dtype=float)
    at = np.clip(count, 0, total)
    ways = gammaln(total + 1) - gammaln(at + 1) - gammaln(total - at + 1)
    log = ways + xlogy(at, p) + xlog1py(total - at, -np.asarray(p))
    return np.where(count == at, np.exp(log), 0.0)[()]


def ppf(q: ArrayLike, n: ArrayLike, p: ArrayLike) -> Any:
    """The smallest k with P(X <= k) >= q; arguments broadcast."""
    guess: NDArray[np.float64] = np.clip(np.ceil(bdtrik(q, n, p)), 0, np.asarray(n))
    guess = np.where(np.isnan(guess), 0.0, guess)  # no trial at all
    below = np.maximum(guess - 1, 0)
    return np.where(cdf(below, n, p) >= q, below, guess)[()]
