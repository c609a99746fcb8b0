"""What knowing more would be worth: all of it (EVPI), or single parameters (EVPPI), in USD a year."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from tasklift.measure.deciding.lines import Line
from tasklift.measure.deciding.quantities import Draws

#: Name under which the value of knowing all error rates together is told.
ALL_RATES = "error rates"


def evpi(costs: Draws) -> float:
    """`E[max NB] - max E[NB]`: what knowing everything would save.

    Args:
        costs: [draws, options] yearly costs of the options that may be chosen.
    """
    return max(float(costs.mean(axis=0).min() - costs.min(axis=1).mean()), 0.0)


def evppi(costs: Draws, lines: Sequence[Line]) -> dict[str, float]:
    """Parameter -> what knowing it exactly would save, by regression on the same draws (Strong, Oakley and
    Brennan 2014): the cost of each option, expected given the parameter, is fitted by least squares.

    What all other parameters do along their own lines is taken off first: it is noise to the regression.

    Args:
        costs: [draws, options].
        lines: one a parameter, over the same options.
    """
    rest = costs - sum((line.effect() for line in lines), np.zeros_like(costs))
    found = {line.name: _explained(rest + line.effect(), _basis(line.values)) for line in lines}
    rates = [line.values for line in lines if line.name.endswith(".error_rate")]
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
