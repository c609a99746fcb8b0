"""What knowing more would be worth: all of it (EVPI), or single parameters (EVPPI), in USD a year."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from tasklift.measure.quantities import Draws

#: Name under which the value of knowing all error rates together is told.
ALL_RATES = "error rates"


@dataclass(frozen=True)
class Line:
    """Expected cost of each option as a function of one parameter.

    All parameters are drawn independently and the formula is linear in each of them, so the expectation is a
    line; capacity in steps bends it, and is read off the regression on volume.

    Attributes:
        name: of the parameter.
        values: [draws] of it.
        p10: 10th percentile of the draws.
        p90: 90th percentile.
        mean: [options] cost at the parameter's mean.
        slope: [options].
    """

    name: str
    values: Draws
    p10: float
    p90: float
    mean: Draws
    slope: Draws

    def at(self, value: float) -> Draws:
        """[options] expected cost where the parameter has this value."""
        return np.asarray(self.mean + self.slope * (value - self.values.mean()))

    def worth(self, known: float = 1.0) -> float:
        """What knowing the parameter would save; `known` is the share of its spread that will be known."""
        about = known * (self.values - self.values.mean())
        ends = [self.mean + self.slope * about.min(), self.mean + self.slope * about.max()]
        if ends[0].argmin() == ends[1].argmin() == self.mean.argmin():
            return 0.0  # lines that do not cross at either end do not cross between
        return float(self.mean.min() - (self.mean + about[:, None] * self.slope).min(axis=1).mean())


def lines_of(drawn: Mapping[str, Draws], costs: Draws) -> list[Line]:
    """One line a parameter that varies.

    Args:
        drawn: parameter -> [draws].
        costs: [draws, options].
    """
    names = [name for name, values in drawn.items() if values.min() < values.max()]
    if not names:
        return []
    values = np.stack([drawn[name] for name in names])
    centred = values - values.mean(axis=1, keepdims=True)
    mean = costs.mean(axis=0)
    slopes = centred @ (costs - mean) / (centred**2).sum(axis=1, keepdims=True)
    ends = np.partition(values, [int(q * len(costs)) for q in (0.1, 0.9)], axis=1)[
        :, [len(costs) // 10, 9 * len(costs) // 10]
    ]
    return [
        Line(name, drawn[name], float(low), float(high), mean, slope)
        for name, (low, high), slope in zip(names, ends, slopes, strict=True)
    ]


def evpi(costs: Draws) -> float:
    """`E[max NB] - max E[NB]`: what knowing everything would save.

    Args:
        costs: [draws, options] yearly costs of the options that may be chosen.
    """
    return max(float(costs.mean(axis=0).min() - costs.min(axis=1).mean()), 0.0)


def evppi(costs: Draws, drawn: Mapping[str, Draws]) -> dict[str, float]:
    """Parameter -> what knowing it exactly would save, by regression on the same draws (Strong, Oakley and
    Brennan 2014): the cost of each option, expected given the parameter, is fitted by least squares.

    Args:
        costs: [draws, options].
        drawn: parameter -> [draws].
    """
    found = {name: _explained(costs, _basis(values)) for name, values in drawn.items() if np.ptp(values) > 0}
    rates = [values for name, values in drawn.items() if name.endswith(".error_rate") and np.ptp(values) > 0]
    if rates:
        found[ALL_RATES] = _explained(costs, np.stack([np.ones(len(costs)), *map(_standard, rates)], axis=1))
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _basis(values: Draws) -> NDArray[np.float64]:
    """[draws, 7] the value itself, since cost is linear in most parameters, and a cubic spline of its
    normal score for those in which it has steps."""
    ranks = np.empty(len(values))
    ranks[np.argsort(values)] = np.arange(len(values))
    score = ndtri((ranks + 0.5) / len(values))
    knots = [np.maximum(score - knot, 0) ** 3 for knot in (-0.7, 0.7)]
    return np.stack([np.ones(len(values)), _standard(values), score, score**2, score**3, *knots], axis=1)


def _standard(values: Draws) -> Draws:
    return np.asarray((values - values.mean()) / values.std())


def _explained(costs: Draws, basis: NDArray[np.float64]) -> float:
    """EVPI of the part of the costs that the basis explains."""
    against = costs - costs[:, [int(costs.mean(axis=0).argmin())]]
    # Normal equations with a ridge of rounding size: the columns are few and standardised.
    square = basis.T @ basis + 1e-9 * len(basis) * np.eye(basis.shape[1])
    fitted = basis @ np.linalg.solve(square, basis.T @ against)
    fitted += against.mean(axis=0) - fitted.mean(axis=0)
    return evpi(fitted)
