"""Evidence that a rate lies above a limit, which may be looked at after every item."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincc, betaln, xlog1py, xlogy

from tasklift.errors import DataError


def log_e_above(hits: ArrayLike, n: ArrayLike, limit: float) -> NDArray[np.float64]:
    """Log e-value of `hits` among `n` items, against "the rate is at most `limit`".

    The likelihood under a uniform prior on rates above the limit, over that at the limit: for a rate q above the
    limit p0 the ratio of one item has the expectation `p q / p0 + (1-p) (1-q) / (1-p0) <= 1` wherever p <= p0, so
    each of them is a test martingale or less, and so is their mixture (Robbins 1970; Ville 1939 gives the alarm
    at 1 / alpha).

    Args:
        hits: k, such as failed answers; any shape.
        n: answers; the same shape.
        limit: p0, between 0 and 1.

    Raises:
        DataError: not 0 <= hits <= n, or the limit is no share.
    """
    k, items = np.asarray(hits, dtype=np.float64), np.asarray(n, dtype=np.float64)
    if not 0 < limit < 1 or np.any((k < 0) | (k > items)):
        raise DataError(f"log_e_above: hits must lie between 0 and n, and limit={limit} between 0 and 1")
    upper = np.log(np.maximum(betaincc(k + 1, items - k + 1, limit), 1e-300))
    mixed = betaln(k + 1, items - k + 1) + upper - math.log1p(-limit)
    return np.asarray(mixed - xlogy(k, limit) - xlog1py(items - k, -limit), dtype=np.float64)
