"""Tests that may be looked at after every item: evidence that is valid at every moment.

An e-process has expectation at most 1 under the null hypothesis at every stopping time, so
P(it ever reaches 1 / alpha) <= alpha (Ville 1939). Everything is kept as a logarithm.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincc, betaln, xlog1py, xlogy

from tasklift.errors import DataError

Array = NDArray[np.float64]
#: "different": either way; "more": only that b has more of what is counted than a.
Alternative = Literal["different", "more"]


def log_e_paired(more: ArrayLike, discordant: ArrayLike, alternative: Alternative = "different") -> Array:
    """Log e-value of `more` among `discordant` pairs, against "either way is equally likely".

    `E = B(1/2 + k, 1/2 + n - k) / (B(1/2, 1/2) * 2^-n)`: the likelihood under Jeffreys' prior, over
    that of a fair coin (Robbins 1970). With "more", the prior is cut to shares above one half, and the
    null hypothesis is "at most one half".

    Args:
        more: k, for instance pairs in which the canary alone was wrong; any shape.
        discordant: n, pairs in which exactly one of the two was wrong; the same shape.

    Raises:
        DataError: not 0 <= k <= n.
    """
    k, n = np.asarray(more, dtype=np.float64), np.asarray(discordant, dtype=np.float64)
    if np.any((k < 0) | (k > n)):
        raise DataError("log_e_paired: there cannot be more pairs of one kind than discordant pairs, nor fewer than 0")
    found = betaln(0.5 + k, 0.5 + n - k) - betaln(0.5, 0.5) + n * math.log(2)
    if alternative == "more":
        # The posterior share above one half, over the prior's, which is one half. It may underflow.
        upper = betaincc(0.5 + k, 0.5 + n - k, 0.5)
        found = found + math.log(2) + np.log(np.maximum(upper, 1e-300))
    return np.asarray(found, dtype=np.float64)


def log_e_two_streams(
    hits_a: ArrayLike,
    hits_b: ArrayLike,
    block: tuple[int, int] = (1, 1),
    alternative: Alternative = "different",
    prior: float = 0.18,
) -> Array:
    """Log e-value after each block of two independent streams of yes and no, against equal rates.

    For each block the likelihood of both streams at rates estimated from the blocks before, over
    that of their weighted mean rate for both (Turner, Ly and Grunwald 2024; the beta prior of 0.18
    is theirs). With "more" a block counts only where the estimates say that b's rate is higher, and
    the null hypothesis is "b's rate is at most a's".

    Args:
        hits_a: [blocks], how many of the block's items of a were hits (say, errors).
        hits_b: [blocks], of b.
        block: items of a and of b in every block; fixed ahead, for instance as traffic is split.
        alternative: what to be alarmed by.
        prior: both parameters of the beta prior of a rate.

    Returns:
        [blocks].

    Raises:
        DataError: streams of different length, or more hits than items.
    """
    a, b = np.asarray(hits_a, dtype=np.float64), np.asarray(hits_b, dtype=np.float64)
    items_a, items_b = block
    if a.shape != b.shape or a.ndim != 1:
        raise DataError(f"log_e_two_streams: streams of shape {a.shape} and {b.shape}; both must be [blocks]")
    if min(block) < 1 or np.any((a < 0) | (a > items_a) | (b < 0) | (b > items_b)):
        raise DataError(f"log_e_two_streams: hits must lie between 0 and the items of a block, {block}")
    rate_a, rate_b = _rates_before(a, items_a, prior), _rates_before(b, items_b, prior)
    both = (items_a * rate_a + items_b * rate_b) / (items_a + items_b)
    steps = _log_likelihood(a, items_a, rate_a) - _log_likelihood(a, items_a, both)
    steps += _log_likelihood(b, items_b, rate_b) - _log_likelihood(b, items_b, both)
    if alternative == "more":
        steps = np.where(rate_b > rate_a, steps, 0.0)
    return np.asarray(np.cumsum(steps), dtype=np.float64)


def first_alarm(log_e: ArrayLike, alpha: float = 0.05) -> int | None:
    """Place of the first e-value that reaches 1 / alpha; None where there is none.

    Raises:
        DataError: alpha is not between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise DataError(f"first_alarm: alpha={alpha} must lie between 0 and 1")
    reached = np.flatnonzero(np.asarray(log_e) >= -math.log(alpha))
    return int(reached[0]) if len(reached) else None


def _rates_before(hits: Array, items: int, prior: float) -> Array:
    """[blocks], the posterior mean rate before each block."""
    before = np.concatenate([[0.0], np.cumsum(hits)[:-1]]) if len(hits) else hits
    return np.asarray((before + prior) / (items * np.arange(len(hits)) + 2 * prior))


def _log_likelihood(hits: Array, items: int, rate: Array) -> Array:
    return np.asarray(xlogy(hits, rate) + xlog1py(items - hits, -rate))
