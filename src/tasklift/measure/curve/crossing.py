"""Where one strategy overtakes another as labels grow: on average, and surely (Pecher, Srba and Bielikova 2025).

On average: the first number of labels from which the mean accuracy of the first stays at or above that of the second.
Surely: from which a run of the first beats a run of the second in 95% of cases, runs varying by seed (rows, order,
wording), on rows without end. Inside the sizes measured, curves are straight lines between points on a logarithmic
axis, since small sizes lie before the phase in which a power law holds. Only where the first is still behind at the
largest size is it looked for beyond: there the power law of the largest sizes goes on from the last point
(`stats/learning_curve.py`), with the spread that such extensions had on real tasks. `bench tuning crossing_intervals`
tries the intervals on known curves.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from tasklift.measure.curve.points import Curve, Right
from tasklift.stats.learning_curve import fit_learning_curve

Array = NDArray[np.float64]
DRAWS = 500
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
        low, high: 90% interval; None: a draw of that rank does not cross within reach.
        never: share of draws without a crossing within reach.
        least: fewest labels measured; a crossing there stands for one at this number or fewer.
    """

    labels: float | None
    low: float | None
    high: float | None
    never: float
    least: float


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
    tables = curve.table(tuned), curve.table(prompted)
    # From where both are known; a prompt that looks at no row, with 0 labels, is the same everywhere.
    known = [sizes for sizes, _ in tables if sizes != [0]]
    start, measured = float(max(sizes[0] for sizes in known)), float(max(sizes[-1] for sizes in known))
    grids = np.geomspace(start, measured, STEPS), np.geomspace(measured, REACH * measured, STEPS)
    every = np.arange(tables[0][1].shape[2])
    spreads = [_Spread.of(right) for _, right in tables]
    draw = np.random.default_rng(seed)
    found: list[list[float]] = []
    for index in range(DRAWS + 1):
        again = draw if index else None  # the first is the estimate
        rows = draw.choice(every, every.size) if index else every
        surely = float(norm.ppf(SURE)) * math.hypot(*(spread.sd(again) for spread in spreads))
        one, two = (_Line.of(sizes, right, rows, again) for sizes, right in tables)
        gaps = [one.at(grids[0]) - two.at(grids[0])]
        if gaps[0][-1] < surely:  # only then is what lies beyond the sizes asked for
            gaps.append(one.at(grids[1]) - two.at(grids[1]))
        found.append([_first(gaps, grids, margin) for margin in (0.0, surely)])
    average, sure = (_crossing(np.array(draws), start) for draws in zip(*found, strict=True))
    return Crossings(tuned, prompted, average, sure, REACH * measured, measured)


def mean_line(sizes: list[int], right: Right, grid: Array) -> Array:
    """[grid] mean accuracy along the numbers of labels, extended beyond the largest."""
    return _Line.of(sizes, right, np.arange(right.shape[2]), None).at(grid)


@dataclass(frozen=True)
class _Line:
    """A strategy's accuracy along the numbers of labels.

    Attributes:
        sizes, means: [sizes], labels and mean accuracy.
        rows: test rows.
        noise: of the extension beyond the largest size, in its standard deviations.
    """

    sizes: Array
    means: Array
    rows: int
    noise: float

    @classmethod
    def of(cls, sizes: list[int], right: Right, rows: NDArray[np.int64], draw: np.random.Generator | None) -> _Line:
        """Measured on some rows; with `draw`, of seeds drawn again.

        Args:
            right: [sizes, seeds, test rows].
            rows: places of the test rows that count, with repeats.
        """
        seeds = right.shape[1]
        by_seed = right[:, :, rows].mean(axis=2)  # [sizes, seeds]
        if draw is not None and seeds > 1:
            by_seed = by_seed[:, draw.integers(0, seeds, seeds)]
        known = np.array([max(size, 1) for size in sizes], dtype=np.float64)
        return cls(known, by_seed.mean(axis=1), len(rows), 0.0 if draw is None else draw.standard_normal())

    def at(self, grid: Array) -> Array:
        """[grid] labels -> [grid] accuracy."""
        line = np.interp(np.log(grid), np.log(self.sizes), self.means)
        beyond = grid > self.sizes[-1]
        if beyond.any() and len(self.sizes) >= 3:  # fewer sizes tell no law; one size is a prompt without labels
            line[beyond] = self._extended(grid[beyond])
        return np.asarray(line)

    def _extended(self, grid: Array) -> Array:
        errors = 1 - self.means
        fitted = fit_learning_curve(self.sizes[-TAIL:], np.clip(errors[-TAIL:], 0, 1), self.rows)
        at_end = fitted.at(float(self.sizes[-1])).mean
        knots = np.geomspace(grid[0], grid[-1], min(len(grid), KNOTS))  # a smooth law: a few points and lines do
        predicted = [fitted.at(float(n)) for n in knots]
        shift = np.interp(np.log(grid), np.log(knots), [one.mean for one in predicted]) - at_end
        sd = np.interp(np.log(grid), np.log(knots), [one.sd for one in predicted])
        return np.asarray(1 - np.clip(errors[-1] + np.minimum(shift, 0) + self.noise * sd, 0, 1))


@dataclass(frozen=True)
class _Spread:
    """How much a run's accuracy varies on rows without end, all sizes together.

    Runs also differ on the rows measured because each is right on other ones: that part, the interaction of seed and
    row in an analysis of variance, goes with the number of rows and is taken out.

    Attributes:
        between: variance of runs on the rows measured.
        interaction: the part of it that the rows are the reason of.
        degrees: of freedom of `between`; 0: nothing is known.
    """

    between: float
    interaction: float
    degrees: int

    @classmethod
    def of(cls, right: Right) -> _Spread:
        """Of [sizes, seeds, test rows]."""
        sizes, seeds, rows = right.shape
        if seeds == 1 or rows == 1:
            return cls(0.0, 0.0, 0)
        by_seed, by_row = right.mean(axis=2, keepdims=True), right.mean(axis=1, keepdims=True)
        left = right - by_seed - by_row + right.mean(axis=(1, 2), keepdims=True)
        interaction = (left**2).sum() / (sizes * (seeds - 1) * (rows - 1)) / rows
        return cls(float(by_seed.var(axis=1, ddof=1).mean()), float(interaction), sizes * (seeds - 1))

    def sd(self, draw: np.random.Generator | None) -> float:
        """Standard deviation of a run; with `draw`, one that it may be."""
        scale = self.degrees / draw.chisquare(self.degrees) if draw is not None and self.degrees else 1.0
        return float(np.sqrt(max(self.between * scale - self.interaction, _LEAST_SD**2)))


def _first(gaps: list[Array], grids: tuple[Array, Array], margin: float) -> float:
    """Labels from which it stays ahead by the margin; infinite where it does not.

    Args:
        gaps: how far ahead, up to the largest size measured, and from there on, which counts only where it is behind at
            the end of the first.
        grids: labels of both.
    """
    for gap, grid in zip(gaps, grids, strict=False):
        behind = np.flatnonzero(gap < margin)
        at = int(behind[-1]) + 1 if len(behind) else 0
        if at < len(grid):
            return float(grid[at])
    return float("inf")


def _crossing(draws: Array, least: float) -> Crossing:
    """The first is the estimate, the others are draws."""
    low, high = (float(np.quantile(draws[1:], q, method="nearest")) for q in (0.05, 0.95))
    plain = [None if not np.isfinite(one) else one for one in (float(draws[0]), low, high)]
    return Crossing(plain[0], plain[1], plain[2], float(np.mean(~np.isfinite(draws[1:]))), least)
