"""Are the crossings' 90% intervals right? Curves drawn from known laws, measured as `tasklift curve` measures them.

    python3 dev.py bench tuning crossing_intervals [--worlds 400] [--seed N]

A world is a tuned and a prompted strategy with errors `c + a * n^-b` (the prompt's nearly flat), test rows that are
hard for both alike, and runs that differ by seed. Three seeds, five sizes, 200 test rows, as one would measure; the
truth is where the means over all rows and runs cross. Where it lies decides what can be known: between the sizes
measured, below them (told as "N or fewer"), beyond them, or nowhere within reach.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from _common import Figure, finish
from _run import options_of
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import norm

from tasklift.measure.curve.crossing import REACH, SURE, Crossing, cross
from tasklift.measure.curve.points import Curve, Point
from tasklift.stats.intervals import wilson

Array = NDArray[np.float64]
SIZES, SEEDS, ROWS = (50, 100, 200, 400, 800), 3, 200
#: Of a row's difficulty, on the logit scale, and of a run's accuracy, as a share.
ROW_SD, RUN_SD = 2.0, 0.012
#: By which one run must be ahead on average to beat another in 95% of cases.
MARGIN = float(norm.ppf(SURE) * np.sqrt(2) * RUN_SD)
SEED = 20261128
#: Intervals hold 90% of true crossings; less the noise of a few hundred worlds.
LEAST = 0.86


@dataclass(frozen=True)
class Law:
    """Error c + a * (n / 50)^-b."""

    floor: float
    scale: float
    exponent: float

    def accuracy(self, n: Array) -> Array:
        """[k] labels -> [k] expected share of right answers."""
        return np.asarray(1 - np.clip(self.floor + self.scale * (n / SIZES[0]) ** -self.exponent, 0.01, 0.99))


def main(arguments: Sequence[str]) -> int:
    """Draw, measure, cross, count."""
    parser = options_of(__doc__)
    parser.add_argument("--worlds", type=int, default=400, help="default: 400")
    parser.add_argument("--seed", type=int, default=SEED, help="of the worlds")
    asked = parser.parse_args(arguments)
    begun = time.process_time()
    draw = np.random.default_rng(asked.seed)
    held: dict[str, list[bool]] = {}
    widths: dict[str, list[float]] = {}
    for _ in range(asked.worlds):
        tuned, prompted = _laws(draw)
        both = cross(_measured(tuned, prompted, draw), "tuned", "prompted")
        for how, one, margin in (("on average", both.average, 0.0), ("surely", both.sure, MARGIN)):
            true = _truth(tuned, prompted, margin)
            kind = f"{how}, true crossing {_kind(true)}"
            held.setdefault(kind, []).append(_holds(one, true))
            if one.low and one.high:
                widths.setdefault(kind, []).append(one.high / one.low)
    figures = []
    for kind, some in sorted(held.items()):
        bar = LEAST if "between" in kind else None
        wide = widths.get(kind)
        told = f"{len(some)} worlds" + (f", upper over lower end: median {np.median(wide):.1f}" if wide else "")
        figures.append(Figure.share(f"{kind}: held", wilson(sum(some), len(some)), bar, note=told))
    extra = {"title": "Intervals of crossings, simulated", "cpu_s": round(time.process_time() - begun, 1)}
    command = " ".join(["python3 dev.py bench tuning crossing_intervals", *arguments])
    return finish("tuning_crossing_intervals", command, figures, extra)


def _laws(draw: np.random.Generator) -> tuple[Law, Law]:
    """A tuned strategy that learns, and a prompt that learns little."""
    tuned = Law(draw.uniform(0.02, 0.12), draw.uniform(0.15, 0.5), draw.uniform(0.25, 0.8))
    return tuned, Law(draw.uniform(0.08, 0.3), draw.uniform(0.02, 0.15), draw.uniform(0.1, 0.4))


def _measured(tuned: Law, prompted: Law, draw: np.random.Generator) -> Curve:
    """Three seeds at each size, on the same test rows."""
    hard = draw.normal(0, ROW_SD, ROWS)
    points = []
    for name, family, law in (("tuned", "finetune", tuned), ("prompted", "prompt", prompted)):
        for size in SIZES:
            for seed in range(SEEDS):
                mean = float(law.accuracy(np.array([size], dtype=np.float64))[0]) + RUN_SD * draw.standard_normal()
                right = draw.random(ROWS) < expit(_shift(min(max(mean, 0.01), 0.99)) - hard)
                points.append(Point(name, family, size, seed, "".join("1" if one else "0" for one in right)))
    return Curve("made", "x", tuple(points))


#: Mean over difficulties of expit(shift - hard), by shift.
_SHIFTS = np.linspace(-9, 9, 361)
_QUANTILES = ROW_SD * np.sqrt(2) * np.polynomial.hermite.hermgauss(60)[0]
_WEIGHTS = np.polynomial.hermite.hermgauss(60)[1] / np.sqrt(np.pi)
_MEANS = expit(_SHIFTS[:, None] - _QUANTILES[None, :]) @ _WEIGHTS


def _shift(mean: float) -> float:
    """The ease at which a share `mean` of all rows is right."""
    return float(np.interp(logit(mean), logit(_MEANS), _SHIFTS))


def _truth(tuned: Law, prompted: Law, margin: float) -> float:
    """Labels from which the tuned one is ahead by the margin as far as was measured, or beyond where it is behind."""
    for grid in (np.geomspace(1, SIZES[-1], 4000), np.geomspace(SIZES[-1], REACH * SIZES[-1], 4000)):
        behind = np.flatnonzero(tuned.accuracy(grid) - prompted.accuracy(grid) < margin)
        at = int(behind[-1]) + 1 if len(behind) else 0
        if at < len(grid):
            return float(grid[at])
    return float("inf")


def _kind(true: float) -> str:
    if not np.isfinite(true):
        return "nowhere"
    return ("below" if true < SIZES[0] else "between" if true <= SIZES[-1] else "beyond") + " the sizes"


def _holds(found: Crossing, true: float) -> bool:
    """Does the interval hold the truth? Its lower end at the fewest labels stands for those or fewer."""
    low = -np.inf if found.low is not None and found.low <= SIZES[0] else found.low
    high = np.inf if found.high is None else found.high
    return (low if low is not None else np.inf) <= true <= high or (low is None and not np.isfinite(true))
