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


def evppi(costs: Draws, lines: Sequence[Line], by_rates: Draws | None = None) -> dict[str, float]:
    """Parameter -> what knowing it exactly would save: the expected cost of each option given the parameter is a
    line (lines.py), so what its smallest one saves is read off the same draws, and a parameter whose lines do
    not cross is worth exactly nothing.

    Where a parameter is bent, the expected cost is fitted by regression on the draws (Strong, Oakley and
    Brennan 2014); what all other parameters do along their own lines is taken off first, as noise.

    Args:
        costs: [draws, options].
        lines: one a parameter, over the same options.
        by_rates: [draws, options] expected costs given all error rates; None: none of them varies.
    """
    rest = costs - sum((line.effect() for line in lines), np.zeros_like(costs)) if any(x.bent for x in lines) else costs
    found = {
        line.name: _explained(rest + line.effect(), _basis(line.values)) if line.bent else line.worth()
        for line in lines
    }
    if by_rates is not None:
        found[ALL_RATES] = evpi(by_rates)
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
