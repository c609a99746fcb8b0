"""Where one strategy overtakes another as labels grow: on average, and surely (Pecher, Srba and Bielikova 2025).

On average: the first number of labels from which the mean accuracy of the first stays at or above that of the second.
Surely: from which a run of the first beats a run of the second in 95% of cases, runs varying by seed (rows, order,
wording). Inside the sizes measured, curves are straight lines between points on a logarithmic axis, since small sizes
lie before the phase in which a power law holds; beyond, the power law of the largest sizes goes on from the last point
(`stats/learning_curve.py`), with the spread that such extensions had on real tasks.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from tasklift.measure.curve.points import Curve, Right
from tasklift.stats.learning_curve import fit_learning_curve

Array = NDArray[np.float64]
DRAWS = 200
#: Numbers of labels at which curves are compared; and how far beyond the largest size measured.
STEPS, REACH = 160, 8.0
SURE = 0.95
#: Points at which the power law is computed.
KNOTS = 6
#: Sizes that the power law is fitted to, the largest.
TAIL = 4
#: Standard deviation of one strategy's runs where only one seed was measured: nothing is known of it.
_LEAST_SD = 1e-6


@dataclass(frozen=True)
class Crossing:
    """A number of labels.

    Attributes:
        labels: the estimate; None: not within reach.
        low, high: 90% interval of those draws that cross; None: a draw of that rank does not cross.
        never: share of draws without a crossing within reach.
    """

    labels: float | None
    low: float | None
    high: float | None
    never: float


@dataclass(frozen=True)
class Crossings:
    """Where `tuned` overtakes `prompted`.

    Attributes:
        tuned, prompted: names.
        average: on average.
        sure: surely.
        reach: labels up to which was looked.
        measured: labels up to which was measured.
    """

    tuned: str
    prompted: str
    average: Crossing
    sure: Crossing
    reach: float
    measured: float

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return asdict(self)


def cross(curve: Curve, tuned: str, prompted: str, seed: int = 0) -> Crossings:
    """Both crossings with intervals: test rows (the same for both) and seeds are drawn again `DRAWS` times.

    Raises:
        DataError: a curve is not finished.
    """
    (sizes, right), (other_sizes, other) = curve.table(tuned), curve.table(prompted)
    measured = float(max([*sizes, *other_sizes]))
    start = float(min([*sizes, *(size for size in other_sizes if size)]))
    grid = np.geomspace(start, REACH * measured, STEPS)
    draw = np.random.default_rng(seed)
    found: list[tuple[float, float]] = []
    for index in range(DRAWS + 1):
        every = np.arange(right.shape[2])
        rows = draw.choice(every, every.size) if index else every
        one = _line(sizes, right, rows, grid, draw if index else None)
        two = _line(other_sizes, other, rows, grid, draw if index else None)
        spread = np.sqrt(one[1] ** 2 + two[1] ** 2)
        ahead = one[0] - two[0]
        found.append((_first(ahead >= 0, grid), _first(ahead >= norm.ppf(SURE) * spread, grid)))
    average, sure = (np.array([pair[kind] for pair in found]) for kind in (0, 1))
    return Crossings(tuned, prompted, _crossing(average), _crossing(sure), float(grid[-1]), measured)


def mean_line(sizes: list[int], right: Right, grid: Array) -> Array:
    """[grid] mean accuracy along the numbers of labels, extended beyond the largest."""
    return _line(sizes, right, np.arange(right.shape[2]), grid, None)[0]


def _line(
    sizes: list[int], right: Right, rows: NDArray[np.int64], grid: Array, draw: np.random.Generator | None
) -> tuple[Array, float]:
    """[grid] accuracy, and the standard deviation of a run; with `draw`, of seeds drawn again.

    Args:
        right: [sizes, seeds, test rows].
        rows: places of the test rows that count, with repeats.
    """
    by_seed = right[:, :, rows].mean(axis=2)  # [sizes, seeds]
    seeds = by_seed.shape[1]
    # Seeds differ by little at one size and more at another: all sizes together tell how much a run varies.
    sd = float(np.sqrt(by_seed.var(axis=1, ddof=1).mean())) if seeds > 1 else _LEAST_SD
    if draw is not None and seeds > 1:
        by_seed = by_seed[:, draw.integers(0, seeds, seeds)]
    means = by_seed.mean(axis=1)
    if len(sizes) == 1:  # a prompt that looks at no label is the same everywhere
        return np.full(len(grid), means[0]), sd
    known = np.array([max(size, 1) for size in sizes], dtype=np.float64)
    line = np.interp(np.log(grid), np.log(known), means)
    beyond = grid > known[-1]
    if beyond.any():
        tail = slice(max(0, len(sizes) - TAIL), None)
        line[beyond] = _extended(known[tail], 1 - means[tail], grid[beyond], len(rows), draw)
    return line, sd


def _extended(sizes: Array, errors: Array, grid: Array, rows: int, draw: np.random.Generator | None) -> Array:
    if len(sizes) < 3:
        return np.full(len(grid), 1 - errors[-1])
    fitted = fit_learning_curve(sizes, np.clip(errors, 0, 1), rows)
    at_end = fitted.at(float(sizes[-1])).mean
    knots = np.geomspace(grid[0], grid[-1], min(len(grid), KNOTS))  # a smooth law: a few points and lines do
    predicted = [fitted.at(float(n)) for n in knots]
    shift = np.interp(np.log(grid), np.log(knots), [one.mean for one in predicted]) - at_end
    sd = np.interp(np.log(grid), np.log(knots), [one.sd for one in predicted])
    noise = np.zeros(len(grid)) if draw is None else draw.standard_normal() * sd
    return np.asarray(1 - np.clip(errors[-1] + np.minimum(shift, 0) + noise, 0, 1))


def _first(ahead: NDArray[np.bool_], grid: Array) -> float:
    """The first number of labels from which it stays ahead; infinity where it does not."""
    behind = np.flatnonzero(~ahead)
    at = behind[-1] + 1 if len(behind) else 0
    return float(grid[at]) if at < len(grid) else float("inf")


def _crossing(draws: Array) -> Crossing:
    """The first is the estimate, the others are draws."""
    low, high = (float(np.quantile(draws[1:], q, method="nearest")) for q in (0.05, 0.95))
    value = float(draws[0])
    plain = [None if not np.isfinite(one) else one for one in (value, low, high)]
    return Crossing(plain[0], plain[1], plain[2], float(np.mean(~np.isfinite(draws[1:]))))
