"""Bootstrap intervals of any metric, resampled by row or by cluster (Efron 1987; Efron and Tibshirani 1993)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from tasklift.errors import DataError
from tasklift.stats.intervals import Interval

Array = NDArray[np.float64]
#: Row weights [draws, rows] -> the metric of each draw [draws]. A weight is how often a row was drawn.
Statistic = Callable[[Array], Array]

#: Numbers in one block of weights: 32 MB.
_BLOCK = 4_000_000
#: Relative distance below which two values of a metric count as equal.
_TIE = 1e-12


@dataclass(frozen=True, slots=True)
class RowMetric:
    """A metric that depends on sums over rows only, so that any weighting of rows is one matrix product.

    Attributes:
        parts: [rows, k], what each row adds to each of k sums.
        finish: sums [draws, k] -> metric [draws].
    """

    parts: Array
    finish: Callable[[Array], Array]

    def __call__(self, weights: Array) -> Array:
        """[draws, rows] -> [draws]."""
        return self.finish(weights @ self.parts)


def mean_metric(scores: ArrayLike) -> RowMetric:
    """The mean score, for instance accuracy where scores are 0 or 1.

    Args:
        scores: [rows].
    """
    values = np.asarray(scores, dtype=np.float64)
    parts = np.column_stack([values, np.ones(len(values))])
    return RowMetric(parts, lambda sums: sums[:, 0] / sums[:, 1])


def macro_f1_metric(truth: NDArray[np.int64], answer: NDArray[np.int64], labels: int) -> RowMetric:
    """Mean over labels of `2 TP / (2 TP + FP + FN)`, over the labels that are expected or answered in a draw.

    Args:
        truth: [rows], 0 to labels - 1.
        answer: [rows], the same; -1 where there is no answer.
    """
    expected = truth[:, None] == np.arange(labels)
    answered = answer[:, None] == np.arange(labels)
    parts = np.hstack([expected & answered, expected.astype(np.int64) + answered]).astype(np.float64)

    def finish(sums: Array) -> Array:
        both, either = sums[:, :labels], sums[:, labels:]
        seen = either > 0
        f1 = np.divide(2 * both, either, out=np.zeros_like(both), where=seen)
        return np.asarray(f1.sum(axis=1) / np.maximum(seen.sum(axis=1), 1))

    return RowMetric(parts, finish)


def bca(
    statistic: Statistic,
    rows: int,
    clusters: ArrayLike | None = None,
    confidence: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """Bias-corrected and accelerated bootstrap interval (Efron 1987).

    Args:
        statistic: the metric as a function of row weights; a `RowMetric`, or your own.
        rows: how many.
        clusters: [rows], which customer, conversation or base problem a row belongs to. Clusters are
            then drawn whole: rows of one cluster are not independent, and repeats of a row never
            raise n.
        confidence: two-sided.
        draws: bootstrap samples; below 1,000 the bounds are rough.

    Raises:
        DataError: fewer than two rows or clusters, or the metric does not vary over the draws.
    """
    codes, units = _units(rows, clusters, "bca")
    value = float(statistic(np.ones((1, rows)))[0])
    found = _distribution(statistic, codes, units, draws, seed)
    return bca_of(found, value, _leave_one_out(statistic, codes, units), confidence)


def paired_bootstrap(
    a: RowMetric,
    b: RowMetric,
    clusters: ArrayLike | None = None,
    confidence: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """BCa interval of metric(a) - metric(b) on the same rows: each draw takes the same rows for both.

    Args:
        a: one option's metric.
        b: the other's, rows in the same order.
        clusters: see `bca`.
        confidence: two-sided; take 0.9 for a one-sided bound at 95%.

    Raises:
        DataError: rows differ in number; see also `bca`.
    """
    if len(a.parts) != len(b.parts):
        raise DataError(f"paired_bootstrap: {len(a.parts)} rows of a and {len(b.parts)} of b are not the same rows")
    return bca(lambda weights: a(weights) - b(weights), len(a.parts), clusters, confidence, draws, seed)


def bca_of(found: Array, value: float, left_out: Array, confidence: float = 0.95) -> Interval:
    """The BCa interval of a bootstrap distribution (Efron and Tibshirani 1993, equations 14.9 to 14.15).

    Args:
        found: [draws], the metric of each bootstrap sample.
        value: the metric of all rows.
        left_out: [units], the metric without each row or cluster.
        confidence: two-sided.

    Raises:
        DataError: the metric does not vary, or `value` lies outside all draws.
    """
    if np.ptp(found) <= _TIE * abs(value):
        raise DataError(
            f"bca: every bootstrap sample gives {value:g}, so its interval cannot be told from resampling; "
            "take `wilson` for a share, or measure more rows"
        )
    # Rounding must not decide ties, of which a share has many.
    tie = _TIE * max(abs(value), float(np.ptp(found)))
    below = (np.mean(found < value - tie) + np.mean(found <= value + tie)) / 2
    if not 0 < below < 1:
        raise DataError(f"bca: the value {value:g} lies outside all {len(found)} bootstrap samples; draw more")
    bias = ndtri(below)
    influence = left_out.mean() - left_out
    spread = np.sum(influence**2) ** 1.5
    acceleration = np.sum(influence**3) / (6 * spread) if spread > 0 else 0.0
    z = bias + ndtri(np.array([0.5 - confidence / 2, 0.5 + confidence / 2]))
    low, high = np.quantile(found, ndtr(bias + z / (1 - acceleration * z)))
    return Interval(value, float(low), float(high))


def _units(rows: int, clusters: ArrayLike | None, who: str) -> tuple[NDArray[np.int64], int]:
    """[rows], the drawn unit that each row belongs to, and how many units there are."""
    if clusters is None:
        codes, units, what = np.arange(rows), rows, "rows"
    else:
        names, codes = np.unique(np.asarray(clusters), return_inverse=True)
        units, what = len(names), "clusters"
        if len(codes) != rows:
            raise DataError(f"{who}: {len(codes)} cluster names for {rows} rows")
    if units < 2:
        raise DataError(f"{who}: {units} {what}; resampling needs at least two")
    return codes, units


def _distribution(statistic: Statistic, codes: NDArray[np.int64], units: int, draws: int, seed: int) -> Array:
    """[draws], the metric of each bootstrap sample of units."""
    rng = np.random.default_rng(seed)
    parts = []
    for size in _blocks(draws, max(len(codes), units)):
        drawn = rng.integers(0, units, (size, units)) + units * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * units).reshape(size, units)
        parts.append(statistic(counts[:, codes].astype(np.float64)))
    return np.concatenate(parts)


def _leave_one_out(statistic: Statistic, codes: NDArray[np.int64], units: int) -> Array:
    """[units], the metric without each unit (jackknife)."""
    parts, done = [], 0
    for size in _blocks(units, len(codes)):
        parts.append(statistic((codes[None, :] != np.arange(done, done + size)[:, None]).astype(np.float64)))
        done += size
    return np.concatenate(parts)


def _blocks(total: int, width: int) -> Iterator[int]:
    """Sizes of blocks that sum to `total`, each of at most `_BLOCK` numbers."""
    most = max(1, _BLOCK // max(width, 1))
    for start in range(0, total, most):
        yield min(most, total - start)
