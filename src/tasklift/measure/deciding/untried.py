"""What is believed of an option that has no rows: the user's expectation, or its learning curve extended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasklift.economics import OptionCosts, Quantity
from tasklift.measure.deciding.quantities import Draws, Sampler, beta_of
from tasklift.measure.evidence import CurvePoint
from tasklift.stats.learning_curve import fit_learning_curve

#: An option that nobody tried is not known to the last point, even where its user says so.
_LEAST_SD = 0.002


@dataclass(frozen=True)
class Belief:
    """A Beta distribution of an error rate.

    Attributes:
        a: first parameter.
        b: second parameter.
        source: where it is from, in words.
    """

    a: float
    b: float
    source: str

    @property
    def mean(self) -> float:
        """Expected error rate."""
        return self.a / (self.a + self.b)

    @property
    def mass(self) -> float:
        """How many rows the belief is worth."""
        return self.a + self.b

    def draw(self, name: str, sampler: Sampler) -> Draws:
        """[draws] error rates."""
        return sampler.beta(name, self.a, self.b)


def belief_of(name: str, costs: OptionCosts, curve: Sequence[CurvePoint]) -> Belief | None:
    """The curve at the planned number of labels where there is one, else what the user expects, else None."""
    if len({point.labels for point in curve}) >= 3:
        planned = costs.planned_labels or max(point.labels for point in curve)
        rows = min(point.rows for point in curve)
        fitted = fit_learning_curve([p.labels for p in curve], [p.error for p in curve], rows)
        at = fitted.at(planned)
        return _beta(at.mean, at.sd, f"predicted (learning curve of {name} at {planned} labels)")
    return None if costs.accuracy is None else _expected(costs.accuracy)


def _expected(accuracy: Quantity) -> Belief:
    if accuracy.known:
        return _beta(1 - accuracy.p50, _LEAST_SD, "given (accuracy, not measured)")
    right, wrong = beta_of(accuracy.p10, accuracy.p50, accuracy.p90)
    return Belief(wrong, right, "given (accuracy, not measured)")


def _beta(mean: float, sd: float, source: str) -> Belief:
    """By moments; an impossible spread becomes the widest possible one."""
    mean = min(max(mean, 1e-4), 1 - 1e-4)
    total = max(mean * (1 - mean) / max(sd, _LEAST_SD) ** 2 - 1, 2.0)
    return Belief(mean * total, (1 - mean) * total, source)
