"""How much more labels would help: a power law through the error at a few training sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tasklift.errors import DataError

Array = NDArray[np.float64]
#: Exponents and floors (as a share of the lowest error) that are weighed against each other.
EXPONENTS = np.linspace(0.05, 1.5, 59)
FLOORS = np.linspace(0.0, 1.0, 41)
#: What the law itself is off by when it is extended to twice the largest size, and to three times and more.
SD_TWICE, SD_BEYOND = 0.02, 0.03
#: Standard deviation of a measured error where the number of test rows is not known.
SD_UNKNOWN = 0.01


@dataclass(frozen=True, slots=True)
class Predicted:
    """An error rate that was not measured: its mean and standard deviation, as shares."""

    mean: float
    sd: float


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """Many curves `c + a * n^-b`, each with how well it explains the sizes measured.

    Attributes:
        largest: training size up to which the error was measured.
        floor: [curves], c.
        scale: [curves], a, of n / largest.
        exponent: [curves], b.
        weight: [curves], sums to 1.
    """

    largest: float
    floor: Array
    scale: Array
    exponent: Array
    weight: Array

    def at(self, n: float) -> Predicted:
        """The error expected with n training rows.

        The spread of the curves and that of the law: nothing up to the largest size measured, 2 points
        up to twice of it, rising to 3 points at three times and more (seen when curves of real
        tasks were extended).

        Raises:
            DataError: n is not positive.
        """
        if n <= 0:
            raise DataError(f"LearningCurve.at: n={n} must be positive")
        ratio = n / self.largest
        errors = np.clip(self.floor + self.scale * ratio**-self.exponent, 0.0, 1.0)
        mean = min(float(self.weight @ errors), 1.0)
        spread = float(self.weight @ (errors - mean) ** 2)
        return Predicted(mean, math.sqrt(spread + _sd_of_law(ratio) ** 2))


def _sd_of_law(ratio: float) -> float:
    if ratio <= 1:
        return 0.0
    return float(np.interp(ratio, [2.0, 3.0], [SD_TWICE, SD_BEYOND]))


def fit_learning_curve(sizes: ArrayLike, errors: ArrayLike, test_rows: int | None = None) -> LearningCurve:
    """Fit `err(n) = c + a * n^-b` with a, c >= 0 (Hestness et al. 2017; Viering and Loog 2023).

    With three to five sizes no single fit is determined, so all exponents and floors on a grid are kept,
    each with its best a, weighed by its likelihood; exponents near one half, usual for
    classifiers, weigh a little more.

    Args:
        sizes: [k] training rows, at least three different.
        errors: [k] error rates in 0..1, measured on the same test rows.
        test_rows: how many; sets how exactly the curve has to meet the errors.

    Raises:
        DataError: fewer than three sizes, or values that are no sizes or no error rates.
    """
    n, seen = np.asarray(sizes, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    if n.shape != seen.shape or len(np.unique(n)) < 3:
        raise DataError(f"fit_learning_curve: {len(n)} sizes and {len(seen)} errors; at least three sizes are needed")
    if np.any(n <= 0) or np.any((seen < 0) | (seen > 1)):
        raise DataError("fit_learning_curve: sizes must be positive and errors lie between 0 and 1")
    # Rows of a test set are shared by all sizes, so this is an upper bound of the noise between sizes.
    noise = np.sqrt(np.maximum(seen * (1 - seen), 1e-4) / test_rows) if test_rows else np.full(len(n), SD_UNKNOWN)
    exponent, share = (grid.ravel() for grid in np.meshgrid(EXPONENTS, FLOORS))
    floor = share * seen.min()
    law = (n / n.max())[None, :] ** -exponent[:, None] / noise
    above = (seen[None, :] - floor[:, None]) / noise
    scale = np.maximum(np.sum(law * above, axis=1) / np.sum(law**2, axis=1), 0.0)
    misfit = np.sum((above - scale[:, None] * law) ** 2, axis=1)
    prior = np.log(exponent / 0.5) ** 2
    logs = -0.5 * (misfit + prior)
    weight = np.exp(logs - logs.max())
    return LearningCurve(float(n.max()), floor, scale, exponent, weight / weight.sum())
