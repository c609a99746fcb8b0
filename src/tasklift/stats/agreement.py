"""How far answers to the same rows agree: pairwise agreement, Fleiss' kappa, pass^k, sensitivity and spread."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from tasklift.errors import DataError
from tasklift.stats.bootstrap import Array, bca, mean_metric
from tasklift.stats.intervals import Interval, wilson


def answer_counts(answers: Sequence[Sequence[str]]) -> Array:
    """[rows, different answers]: how often each answer was given to each row.

    Args:
        answers: [repeats][rows].

    Raises:
        DataError: fewer than two repeats, or repeats of unlike length.
    """
    if len(answers) < 2 or len({len(some) for some in answers}) != 1 or not answers[0]:
        raise DataError(f"agreement needs two repeats or more of the same rows, got {[len(some) for some in answers]}")
    names = {name: at for at, name in enumerate(sorted({name for some in answers for name in some}))}
    counts = np.zeros((len(answers[0]), len(names)))
    for some in answers:
        counts[np.arange(len(some)), [names[name] for name in some]] += 1
    return counts


def row_agreement(counts: Array) -> Array:
    """[rows]: share of pairs of repeats that agree, 1/C(R,2) * sum 1[y_r = y_s].

    Args:
        counts: [rows, answers], the same number R of repeats in every row.
    """
    repeats = counts.sum(axis=1)
    return np.asarray((counts * (counts - 1)).sum(axis=1) / (repeats * (repeats - 1)))


def fleiss_kappa(counts: Array) -> float:
    """Agreement beyond chance (Fleiss 1971). 1 where every answer to every row is the same one: nothing else was said.

    Args:
        counts: [rows, answers].
    """
    return float(_kappa(np.ones((1, len(counts))), counts)[0])


def fleiss_kappa_interval(counts: Array, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Kappa with a BCa interval over rows; where every repeat agrees, no resampling tells it apart from 1, and
    the lower bound is that of the agreement (Wilson)."""
    value = fleiss_kappa(counts)
    if value == 1.0:
        return Interval(1.0, wilson(len(counts), len(counts), confidence).low, 1.0)
    return bca(lambda weights: _kappa(weights, counts), len(counts), confidence=confidence, seed=seed)


def _kappa(weights: Array, counts: Array) -> Array:
    """[draws, rows] weights -> [draws]."""
    total = weights.sum(axis=1)
    observed = weights @ row_agreement(counts) / total
    shares = weights @ counts
    shares = shares / shares.sum(axis=1, keepdims=True)
    chance = (shares**2).sum(axis=1)
    certain = chance >= 1 - 1e-12
    return np.asarray(np.where(certain, 1.0, (observed - chance) / np.where(certain, 1.0, 1 - chance)))


def pass_all(right: NDArray[np.float64], confidence: float = 0.95) -> Interval:
    """pass^k: share of rows that are right in every one of k repeats (Yao et al. 2024), Wilson.

    Args:
        right: [k, rows] 1 or 0.
    """
    every = right.min(axis=0)
    return wilson(float(every.sum()), len(every), confidence)


def answer_variance(counts: Array) -> float:
    """Mean over rows of the chance that two more repeats would differ: 1 - E[agreement]. The judge of a label is
    exact, so that all of it is the answers' own."""
    return float(1 - row_agreement(counts).mean())


def sensitivity(right: NDArray[np.float64], confidence: float = 0.95, seed: int = 0) -> Interval:
    """Mean absolute change of a row's score over pairs of wordings (the sensitivity score of ProSA, Zhuo et al. 2024).

    Args:
        right: [wordings, rows], each 0 to 1.
    """
    pairs = list(combinations(range(len(right)), 2))
    by_row = np.mean([np.abs(right[i] - right[j]) for i, j in pairs], axis=0)
    if by_row.min() == by_row.max():
        return wilson(float(by_row.sum()), len(by_row), confidence)
    return bca(mean_metric(by_row), len(by_row), confidence=confidence, seed=seed)


def spread(right: NDArray[np.float64], confidence: float = 0.95, seed: int = 0) -> Interval:
    """Largest less smallest accuracy over equivalent formats (FormatSpread, Sclar et al. 2023).

    Sampling noise alone makes it larger than 0: read it with its interval.

    Args:
        right: [formats, rows], each 0 to 1.
    """
    means = right.mean(axis=1)
    value = float(means.max() - means.min())
    rows = right.shape[1]
    if (right == right[0]).all():
        return Interval(value, 0.0, wilson(0, rows, confidence).high)

    def largest_gap(weights: Array) -> Array:
        by_format = weights @ right.T / weights.sum(axis=1, keepdims=True)
        return np.asarray(by_format.max(axis=1) - by_format.min(axis=1))

    # A percentile interval: the bias correction of BCa presses a maximum below its own estimate.
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(rows, np.full(rows, 1 / rows), size=2000).astype(np.float64)
    low, high = np.quantile(largest_gap(weights), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, min(float(low), value), max(float(high), value))
