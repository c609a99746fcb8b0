"""Are confidences true? What needs no optimiser, so that scoring and answering load none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from tasklift.errors import DataError

Array = NDArray[np.float64]


def expected_calibration_error(confidence: Array, right: Array, bins: int = 15) -> float:
    """ECE with equal-width bins (Guo et al. 2017, equation 3).

    Args:
        confidence: [n] in 0..1.
        right: [n] 0 or 1.
    """
    if len(confidence) == 0:
        raise DataError("expected_calibration_error: no rows")
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(confidence[place == b].mean() - right[place == b].mean()) * np.mean(place == b) for b in np.unique(place)
    ]
    return float(np.sum(gaps))


def brier(confidence: Array, right: Array) -> float:
    """Mean squared distance of the confidence in the answer from whether it was right. 0 is best."""
    if len(confidence) == 0:
        raise DataError("brier: no rows")
    return float(np.mean((confidence - right) ** 2))


@dataclass(frozen=True, slots=True)
class Platt:
    """Confidence -> probability of being right: expit(slope * logit(confidence) + offset)."""

    slope: float
    offset: float

    def __call__(self, confidence: Array) -> Array:
        """[n] -> [n], both in 0..1; rising."""
        clipped = np.clip(confidence, 1e-6, 1 - 1e-6)
        return np.asarray(expit(self.slope * logit(clipped) + self.offset), dtype=np.float64)
