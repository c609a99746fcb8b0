"""How far numbers are off: the mean absolute error, and agreement beyond chance with quadratic weights."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tasklift.errors import DataError
from tasklift.metrics.base import Cases, Floats, Metric
from tasklift.outputs.number import Number
from tasklift.stats.bootstrap import RowMetric


class MeanAbsoluteError(Metric):
    """Mean distance to the expected number, in its unit."""

    name: ClassVar[str] = "mae"
    kinds: ClassVar[frozenset[str]] = frozenset({"number"})
    higher_is_better: ClassVar[bool] = False
    is_share: ClassVar[bool] = False

    def measure(self, cases: Cases) -> RowMetric:
        """Sum of distances over rows that have one; see `numbers_of`."""
        said, wanted, counted = numbers_of(cases)
        return RowMetric(np.column_stack([np.abs(said - wanted) * counted, counted]), _ratio)


class QuadraticKappa(Metric):
    """Cohen's kappa with quadratic weights (Cohen 1968): 1 less the squared distance over that of independent answers.

    On numbers it needs no classes: the mean squared distance under independence is var(a) + var(b) + (E a - E b)^2,
    so that it equals Lin's concordance coefficient (1989).
    """

    name: ClassVar[str] = "quadratic_kappa"
    kinds: ClassVar[frozenset[str]] = frozenset({"number"})
    is_share: ClassVar[bool] = False

    def measure(self, cases: Cases) -> RowMetric:
        """Moments of both."""
        said, wanted, counted = numbers_of(cases)
        parts = np.column_stack([said, wanted, said**2, wanted**2, (said - wanted) ** 2, np.ones(len(cases))])
        return RowMetric(parts * counted[:, None], _kappa)


def numbers_of(cases: Cases) -> tuple[Floats, Floats, Floats]:
    """[rows] answered, expected, and 1 where the row counts.

    A failed row or a wrong abstention counts as the end of the range that is farther away; without a range it does
    not count, and shows among the failures. A row that expects an abstention does not count.
    """
    output = cases.output
    if not isinstance(output, Number):
        raise DataError(f"numbers are needed, not outputs of kind {output.kind!r}")
    rows = [_row(output, answer, y) for answer, y in zip(cases.answers, cases.expected, strict=True)]
    said, wanted, counted = np.array(rows, dtype=np.float64).reshape(len(rows), 3).T
    return said, wanted, counted


def _row(output: Number, answer: Any, expected: Any) -> tuple[float, float, float]:
    if not isinstance(expected, int | float):
        return 0.0, 0.0, 0.0
    if isinstance(answer, int | float):
        return float(answer), float(expected), 1.0
    if output.minimum is None or output.maximum is None:
        return 0.0, 0.0, 0.0
    ends = (output.minimum, output.maximum)
    return max(ends, key=lambda end: abs(end - expected)), float(expected), 1.0


def _ratio(sums: Floats) -> Floats:
    return np.divide(sums[:, 0], sums[:, 1], out=np.zeros(len(sums)), where=sums[:, 1] > 0)


def _kappa(sums: Floats) -> Floats:
    means = sums[:, :5] / np.maximum(sums[:, 5:], 1e-12)
    a, b, a_squared, b_squared, distance = means.T
    chance = a_squared + b_squared - 2 * a * b
    return np.asarray(1 - np.divide(distance, chance, out=np.zeros_like(distance), where=chance > 1e-12))
