"""Are confidences true? Measuring it, and mending it with one or two parameters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize
from scipy.special import logit, softmax

from tasklift.stats.confidence import Platt, brier, expected_calibration_error

__all__ = ["Platt", "brier", "expected_calibration_error", "fit_platt", "fit_temperature"]

Array = NDArray[np.float64]


def fit_temperature(logits: Array, truth: NDArray[np.int64]) -> float:
    """The temperature that minimises the log-loss of softmax(logits / T) (Guo et al. 2017).

    The loss is convex in 1 / T, and its slope is the mean logit under softmax(logits / T) less the
    mean logit of the truth: the root of that is the minimum, to rounding.

    Args:
        logits: [n, classes], any real numbers; log-probabilities will do.
        truth: [n] class indices.

    Returns:
        T in 0.02 to 50; 1 where there are no rows.
    """
    if len(truth) == 0:
        return 1.0
    # A class that is impossible (minus infinity) has probability 0 at every temperature.
    shifted = np.maximum(logits - logits.max(axis=1, keepdims=True), -1e6)
    of_truth = shifted[np.arange(len(truth)), truth].mean()

    def slope(inverse: float) -> float:
        return float(np.sum(softmax(shifted * inverse, axis=1) * shifted, axis=1).mean() - of_truth)

    coldest, hottest = 1 / 0.02, 1 / 50.0
    if slope(coldest) <= 0:
        return 1 / coldest
    if slope(hottest) >= 0:
        return 1 / hottest
    return 1 / float(brentq(slope, hottest, coldest, xtol=1e-10, rtol=1e-10))


def fit_platt(confidence: Array, right: Array) -> Platt:
    """Platt scaling with smoothed targets (Platt 1999), the slope kept positive so that order stays.

    Args:
        confidence: [n] in 0..1.
        right: [n] 0 or 1.
    """
    if len(right) == 0:
        return Platt(1.0, 0.0)
    wins = right.sum()
    target = np.where(right > 0.5, (wins + 1) / (wins + 2), 1 / (len(right) - wins + 2))
    x = logit(np.clip(confidence, 1e-6, 1 - 1e-6))

    def loss(parameters: Array) -> float:
        z = np.exp(parameters[0]) * x + parameters[1]
        return float(np.mean(np.logaddexp(0, z) - target * z) + 1e-4 * parameters[0] ** 2)

    found = minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-9, "maxiter": 2000})
    return Platt(float(np.exp(found.x[0])), float(found.x[1]))
