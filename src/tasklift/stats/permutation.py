"""Permutation tests of two options on the same rows (Fisher 1935; Good 2005; Phipson and Smyth 2010)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tasklift.errors import DataError
from tasklift.stats.bootstrap import RowMetric

Array = NDArray[np.float64]
#: Up to this many units all arrangements are tried: 2^14 = 16,384.
EXACT_UNITS = 14
#: Numbers in one block of arrangements.
_BLOCK = 4_000_000
#: Relative distance below which two differences count as equal: rounding must not hide a tie.
_TIE = 1e-9


def sign_flip_test(
    differences: ArrayLike, clusters: ArrayLike | None = None, draws: int = 9999, seed: int = 0
) -> float:
    """Two-sided p-value of "the mean of paired differences is zero", by flipping their signs.

    With up to `EXACT_UNITS` rows (or clusters) that differ, all flips are tried and the p-value is
    exact. With more, it is `(as extreme + 1) / (draws + 1)`, which is valid at any number of draws
    (Phipson and Smyth 2010).

    Args:
        differences: [rows], score of a less score of b.
        clusters: [rows]; a cluster is flipped as a whole.

    Raises:
        DataError: there are no rows, or clusters do not fit them.
    """
    values = np.asarray(differences, dtype=np.float64)
    sums = _by_cluster(values[:, None], clusters, "sign_flip_test")[:, 0]
    sums = sums[sums != 0]  # a flipped zero stays zero: it only wastes draws
    return _p_value(lambda swapped: sums.sum() - 2 * (swapped @ sums), len(sums), draws, seed)


def swap_test(a: RowMetric, b: RowMetric, clusters: ArrayLike | None = None, draws: int = 9999, seed: int = 0) -> float:
    """Two-sided p-value of "a and b are exchangeable", by swapping their answers row by row.

    For metrics that are no mean of rows, such as macro-F1. Exact and Monte Carlo as in
    `sign_flip_test`; for means the two are the same test.

    Args:
        a: one option's metric.
        b: the other's, rows in the same order.
        clusters: [rows]; answers of a cluster are swapped together.

    Raises:
        DataError: rows differ in number, there are none, or clusters do not fit them.
    """
    if a.parts.shape != b.parts.shape:
        raise DataError(f"swap_test: parts of a {a.parts.shape} and of b {b.parts.shape} are not of the same rows")
    change = _by_cluster(b.parts - a.parts, clusters, "swap_test")
    change = change[np.any(change != 0, axis=1)]
    of_a, of_b = a.parts.sum(axis=0), b.parts.sum(axis=0)

    def difference(swapped: Array) -> Array:
        moved = swapped @ change
        return a.finish(of_a + moved) - b.finish(of_b - moved)

    return _p_value(difference, len(change), draws, seed)


def _by_cluster(parts: Array, clusters: ArrayLike | None, who: str) -> Array:
    """[rows, k] -> [clusters, k], summed."""
    if len(parts) == 0:
        raise DataError(f"{who}: no rows")
    if clusters is None:
        return parts
    names, codes = np.unique(np.asarray(clusters), return_inverse=True)
    if len(codes) != len(parts):
        raise DataError(f"{who}: {len(codes)} cluster names for {len(parts)} rows")
    sums = np.zeros((len(names), parts.shape[1]))
    np.add.at(sums, codes, parts)
    return sums


def _p_value(difference: Callable[[Array], Array], units: int, draws: int, seed: int) -> float:
    """Share of arrangements that differ at least as much as the one seen.

    Args:
        difference: which units are swapped [arrangements, units] of 0 and 1 -> difference of each.
        units: that differ at all.
    """
    if units == 0:
        return 1.0
    seen = abs(float(difference(np.zeros((1, units)))[0]))
    least = seen - _TIE * max(seen, 1e-300) - 1e-15
    exact = units <= EXACT_UNITS
    arrangements = _all(units) if exact else _some(units, draws, seed)
    extreme = sum(int(np.sum(np.abs(difference(block)) >= least)) for block in arrangements)
    return extreme / 2**units if exact else (extreme + 1) / (draws + 1)


def _all(units: int) -> Iterator[Array]:
    """All 2^units arrangements."""
    yield ((np.arange(2**units)[:, None] >> np.arange(units)) & 1).astype(np.float64)


def _some(units: int, draws: int, seed: int) -> Iterator[Array]:
    """Random arrangements, in blocks."""
    rng = np.random.default_rng(seed)
    most = max(1, _BLOCK // units)
    for start in range(0, draws, most):
        size = min(most, draws - start)
        bits = np.unpackbits(rng.integers(0, 256, (size, -(-units // 8)), dtype=np.uint8), axis=1)
        yield bits[:, :units].astype(np.float64)
