"""A few human labels and many scores of a judge: prediction-powered inference (Angelopoulos et al. 2023)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from tasklift.errors import DataError
from tasklift.stats.intervals import Interval

#: Labelled rows below which the normal approximation is not to be trusted.
FEWEST_LABELS = 20


@dataclass(frozen=True, slots=True)
class PoweredMean:
    """A mean that rests on human labels, made sharper by a judge.

    Attributes:
        interval: of the mean of human labels over all rows.
        weight: how far the judge is trusted, 0 (labels alone) to 1.
        labels_worth: how many labels alone would give the same width.
    """

    interval: Interval
    weight: float
    labels_worth: float


def powered_mean(
    human: ArrayLike,
    judged: ArrayLike,
    judged_only: ArrayLike,
    confidence: float = 0.95,
    weight: float | None = None,
) -> PoweredMean:
    """Mean of what people would say on all rows, unbiased however bad the judge is.

    `mean(human) + w * (mean(judged_only) - mean(judged))`, with the variance
    `var(human - w * judged) / n + w^2 * var(judged_only) / N` (for w = 1: Angelopoulos et al. 2023).
    The best w is `cov(human, judged) / ((1 + n / N) * var(all scores of the judge))`, cut to 0..1
    (power tuning: Angelopoulos, Duchi and Zrnic 2023, PPI++).

    Args:
        human: [n], labels of people on a random sample of rows.
        judged: [n], the judge's scores of the same rows.
        judged_only: [N], its scores of rows without labels.
        confidence: two-sided; the interval is a normal approximation.
        weight: w, where it is not to be tuned.

    Raises:
        DataError: too few rows, lengths differ, or labelled rows do not vary.
    """
    labels, scores = np.asarray(human, dtype=np.float64), np.asarray(judged, dtype=np.float64)
    others = np.asarray(judged_only, dtype=np.float64)
    n, m = len(labels), len(others)
    if n != len(scores):
        raise DataError(f"powered_mean: {n} human labels and {len(scores)} scores of the same rows do not fit")
    if n < FEWEST_LABELS or m < 1:
        raise DataError(f"powered_mean: {n} labelled and {m} other rows; needed are {FEWEST_LABELS} and 1")
    if np.ptp(labels) == 0:
        raise DataError(
            f"powered_mean: all {n} human labels are {labels[0]:g}, so their spread is unknown; label more rows, "
            "or take `wilson` on the labels"
        )
    if weight is None:
        spread = float(np.var(np.concatenate([scores, others]), ddof=1))
        together = float(np.mean((labels - labels.mean()) * (scores - scores.mean())))
        weight = min(max(together / ((1 + n / m) * spread), 0.0), 1.0) if spread > 0 else 0.0
    mean = labels.mean() + weight * (others.mean() - scores.mean())
    variance = np.var(labels - weight * scores) / n + weight**2 * np.var(others) / m
    half = float(ndtri(0.5 + confidence / 2)) * math.sqrt(variance)
    worth = float(np.var(labels) / variance) if variance > 0 else math.inf
    return PoweredMean(Interval(float(mean), float(mean - half), float(mean + half)), float(weight), worth)
