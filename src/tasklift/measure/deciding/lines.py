"""Expected cost as a function of one parameter: what tornado, studies and the worth of knowing it are read off.

The formula is linear in each parameter and parameters are drawn independently, so the expectation given one
of them is a line; only capacity in steps bends it. Slopes are means of derivatives over the draws, which
are far less noisy than a regression of costs on the parameter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tasklift.measure.deciding.options import Option, World
from tasklift.measure.deciding.quantities import Draws
from tasklift.measure.deciding.yearly import capacity

#: Last part of a parameter's name -> the part of the formula that it enters.
ENTERS: Mapping[str, tuple[str, ...]] = {
    "setup_usd": ("setup_usd",),
    "upkeep_usd_per_year": ("upkeep_usd_per_year",),
    "migration_usd": ("upkeep_usd_per_year",),
    "cost_per_change_usd": ("change_usd",),
    "labels_per_change": ("change_usd",),
    "hours_per_change": ("change_usd",),
    "capacity_usd_per_year": ("capacity_usd_per_year",),
    "item_usd": ("item_usd",),
    "item_value_usd": ("item_usd",),
    "review_share": ("review_share",),
    "accuracy": ("missed",),
    "error_rate": ("wrong", "given_away", "deferred"),
}
#: What unit prices enter.
PRICED = ("setup_usd", "change_usd", "item_usd")


@dataclass(frozen=True)
class Line:
    """Expected yearly cost of each option by one parameter.

    Attributes:
        name: of the parameter.
        values: [draws] of it.
        p10: 10th percentile of the draws.
        p90: 90th percentile.
        mean: [options] cost at the parameter's mean.
        slope: [options].
        bent: the cost is no line in it, since capacity comes in steps.
    """

    name: str
    values: Draws
    p10: float
    p90: float
    mean: Draws
    slope: Draws
    bent: bool = False

    def at(self, value: float) -> Draws:
        """[options] expected cost where the parameter has this value."""
        return np.asarray(self.mean + self.slope * (value - self.values.mean()))

    def effect(self) -> Draws:
        """[draws, options] what the parameter adds to the mean cost in each draw."""
        return np.asarray((self.values - self.values.mean())[:, None] * self.slope)

    def worth(self, known: float = 1.0) -> float:
        """What knowing the parameter would save; `known` is the share of its spread that will be known."""
        about = known * (self.values - self.values.mean())
        ends = [self.mean + self.slope * about.min(), self.mean + self.slope * about.max()]
        if ends[0].argmin() == ends[1].argmin() == self.mean.argmin():
            return 0.0  # lines that do not cross at either end do not cross between
        return float(self.mean.min() - (self.mean + about[:, None] * self.slope).min(axis=1).mean())


def lines_of(world: World, names: Sequence[str]) -> list[Line]:
    """A line for each parameter that varies, over the options `names`."""
    varying = [name for name, values in world.drawn.items() if values.min() < values.max()]
    if not varying or not names:
        return []
    options = [world.options[name] for name in names]
    mean = np.array([world.totals[name].mean() for name in names])
    derived = [_derivatives(world, option) for option in options]
    values = np.stack([world.drawn[name] for name in varying])
    size = values.shape[1]
    ends = np.partition(values, [size // 10, 9 * size // 10], axis=1)[:, [size // 10, 9 * size // 10]]
    return [
        Line(
            name,
            values[at],
            float(ends[at, 0]),
            float(ends[at, 1]),
            mean,
            np.array([_slope(world, name, option, found) for option, found in zip(options, derived, strict=True)]),
            name == "items_per_month" and any(option.draws.steps for option in options),
        )
        for at, name in enumerate(varying)
    ]


def _slope(world: World, name: str, option: Option, derived: Mapping[str, float]) -> float:
    """Of the expected cost of one option by one parameter."""
    if name in derived:
        return derived[name]
    owner, _, last = name.rpartition(".")
    values = world.drawn[name]
    if owner == "prices":
        enters: tuple[str, ...] = PRICED
    elif owner == option.name or (last == "error_rate" and option.column is not None) or not owner:
        # Error rates on the same rows move together; an amount without an owner is what nothing costs.
        enters = ENTERS.get(last, ()) if owner or option.family == "nothing" else ()
    else:
        return 0.0
    centred = values - values.mean()
    spread = float(centred @ centred)
    return sum(derived[part] * float(centred @ getattr(option.draws, part)) / spread for part in enters)


def _derivatives(world: World, option: Option) -> dict[str, float]:
    """Mean change of the yearly cost by each part of the formula, and by each shared parameter."""
    shared, draws, part = world.shared, option.draws, world.parts[option.name]
    volume, error, review = shared.items_per_year, shared.error_usd, shared.review_usd
    accuracy, share = shared.reviewer_accuracy, draws.review_share
    dear, looked = volume * error, volume * review
    found = {
        "setup_usd": 1 / shared.horizon_years,
        "upkeep_usd_per_year": 1.0,
        "change_usd": shared.changes_per_year.mean(),
        "capacity_usd_per_year": 1.0,
        "item_usd": volume.mean(),
        "review_share": (looked * (1 - draws.deferred)).mean() - (dear * draws.wrong).mean() * accuracy,
        "missed": (dear * draws.given_away).mean(),
        "wrong": (dear * (1 - share * accuracy)).mean(),
        "given_away": (dear * draws.missed).mean(),
        "deferred": (looked * (1 - share)).mean(),
        "items_per_month": 12 * part.unit.mean(),
        "error_usd": (volume * draws.error_rate(accuracy)).mean(),
        "review_usd": (volume * draws.people_share).mean(),
        "changes_per_year": draws.change_usd.mean(),
    }
    if draws.steps:
        about = volume - volume.mean()
        found["items_per_month"] += 12 * float(about @ capacity(draws.steps, volume)) / max(float(about @ about), 1e-12)
    return {name: float(value) for name, value in found.items()}
