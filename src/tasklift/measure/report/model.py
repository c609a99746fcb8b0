"""The draws behind the yearly costs, small enough to travel in the page that recomputes them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tasklift.economics import Economics
from tasklift.measure.deciding.break_even import BreakEven, break_even_of
from tasklift.measure.deciding.decision import DRAWS, TIE
from tasklift.measure.deciding.held import error_usd, fair_lead, pairs_within_noise
from tasklift.measure.deciding.options import NOTHING, world_of
from tasklift.measure.deciding.quantities import Draws
from tasklift.measure.deciding.record import Decision
from tasklift.measure.deciding.yearly import OptionDraws, Parts, Shared, yearly
from tasklift.measure.evaluation import Evaluation
from tasklift.measure.evidence import Evidence

#: More would make the page heavy and change no figure that it shows.
EMBEDDED_DRAWS = 2000
SHARED = ("items_per_year", "error_usd", "review_usd", "changes_per_year")
PARTS = (
    "setup_usd",
    "upkeep_usd_per_year",
    "change_usd",
    "capacity_usd_per_year",
    "item_usd",
    "review_share",
    "wrong",
    "deferred",
    "given_away",
    "missed",
)


@dataclass(frozen=True)
class Setting:
    """Assumptions that a reader may move; None: as the economics say.

    Attributes:
        items_per_month: median volume.
        error_usd: median cost of one wrong answer that nobody caught; where costs differ by label
            or slice, all of them move with it.
        review_share: share of its own answers that a person looks over, the same for every option.
        changes_per_year: median rate at which the rules change.
        horizon_months: how long set-up cost is spread.
    """

    items_per_month: float | None = None
    error_usd: float | None = None
    review_share: float | None = None
    changes_per_year: float | None = None
    horizon_months: float | None = None


@dataclass(frozen=True)
class Results:
    """What the page shows at a setting.

    Attributes:
        expected_usd: option -> mean yearly cost.
        p5_usd: option -> 5th percentile.
        p95_usd: option -> 95th percentile.
        p_best: option -> probability of being the cheapest, of those that a decision chooses from.
        cheapest: the cheapest of these on average; None: there are none.
        best: the same, or the option that the decision leads with where that one costs as much to half a percent;
            of options whose accuracies lie within noise, the cheapest at equal accuracy.
        break_even: (cheaper from some volume on, the other) -> that volume; one of each pair is `best`.
    """

    expected_usd: Mapping[str, float]
    p5_usd: Mapping[str, float]
    p95_usd: Mapping[str, float]
    p_best: Mapping[str, float]
    cheapest: str | None
    best: str | None
    break_even: Mapping[tuple[str, str], BreakEven]


@dataclass(frozen=True)
class Embedded:
    """What the page computes with, and the library's own computation on the same numbers.

    Attributes:
        shared: draws that all options share.
        options: name -> draws of the option.
        families: name -> family.
        allowed: the options that a decision chooses from.
        base: parameter -> median that the economics give.
        leading: the option that the decision leads with; None: it has none.
        noise: pairs of options whose accuracies lie within the noise of an A/A run.
    """

    shared: Shared
    options: Mapping[str, OptionDraws]
    families: Mapping[str, str]
    allowed: tuple[str, ...]
    base: Mapping[str, float]
    leading: str | None
    noise: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, evaluation: Evaluation, economics: Economics, decision: Decision, seed: int = 0) -> Embedded:
        """A part of the draws that the decision rests on, in float32."""
        evidence = Evidence.from_evaluation(evaluation)
        world = world_of(evidence, economics, DRAWS, seed)
        # An option whose price nobody knows has no cost to show, and would be drawn as free.
        known = {name: option for name, option in world.options.items() if not option.missing_price}
        families = {name: option.family for name, option in known.items()}
        passed = [name for name, verdict in decision.options.items() if verdict.passes]
        base = {name: getattr(economics, name).p50 for name in ("items_per_month", "error_usd", "changes_per_year")}
        part = _nearest_part([world.totals[name] for name in known])
        allowed = tuple(name for name in passed if families.get(name, "baseline") != "baseline")
        return cls(
            _small(world.shared, SHARED, part),
            {name: _small(option.draws, PARTS, part) for name, option in known.items()},
            families,
            allowed,
            base | {"horizon_months": economics.horizon_months},
            decision.leading,
            pairs_within_noise(evidence, allowed),
        )

    def at(self, setting: Setting) -> tuple[Shared, dict[str, Parts]]:
        """Costs where some assumptions are moved."""
        shared, options = self.moved(setting)
        return shared, {name: yearly(found, shared) for name, found in options.items()}

    def moved(self, setting: Setting) -> tuple[Shared, dict[str, OptionDraws]]:
        """Draws where some assumptions are moved: they are scaled, so that their spread stays."""
        had, base = self.shared, self.base
        shared = replace(
            had,
            items_per_year=_moved(had.items_per_year, base["items_per_month"], setting.items_per_month, 12),
            error_usd=_moved(had.error_usd, base["error_usd"], setting.error_usd),
            changes_per_year=_moved(had.changes_per_year, base["changes_per_year"], setting.changes_per_year),
            horizon_years=(setting.horizon_months or base["horizon_months"]) / 12,
        )
        options = dict(self.options)
        if setting.review_share is not None:
            share = np.full(len(shared.items_per_year), setting.review_share)
            answering = [name for name in options if self.families[name] != NOTHING]
            options |= {name: replace(options[name], review_share=share) for name in answering}
        return shared, options

    def results(self, setting: Setting) -> Results:
        """What the page shows at a setting."""
        shared, options = self.moved(setting)
        parts = {name: yearly(found, shared) for name, found in options.items()}
        totals = {name: found.total(shared.items_per_year) for name, found in parts.items()}
        expected = {name: float(total.mean()) for name, total in totals.items()}
        allowed = self.allowed
        cheapest = best = min(allowed, key=lambda name: expected[name], default=None)
        p_best, pairs = {}, []
        if cheapest is not None and best is not None:
            if self.leading in allowed and expected[self.leading] <= expected[cheapest] * (1 + TIE):
                best = self.leading
            errors = {name: error_usd(options[name], shared) for name in allowed}
            best = fair_lead(best, {name: expected[name] for name in allowed}, errors, self.noise)
            winner = np.argmin(np.stack([totals[name] for name in allowed]), axis=0)
            p_best = {name: float(np.mean(winner == i)) for i, name in enumerate(allowed)}
            unit = {name: parts[name].unit.mean() for name in allowed}
            pairs = [(best, n) if unit[best] <= unit[n] else (n, best) for n in allowed if n != best]
        return Results(
            expected,
            {name: float(np.quantile(total, 0.05)) for name, total in totals.items()},
            {name: float(np.quantile(total, 0.95)) for name, total in totals.items()},
            p_best,
            cheapest,
            best,
            {pair: break_even_of(parts[pair[0]], parts[pair[1]]) for pair in pairs},
        )

    def to_json(self) -> dict[str, Any]:
        """What the page's script reads: a draw that never varies is one number, others are base64 of float32."""
        return {
            "draws": len(self.shared.items_per_year),
            "shared": {name: _packed(getattr(self.shared, name)) for name in SHARED},
            "reviewer_accuracy": self.shared.reviewer_accuracy,
            "base": dict(self.base),
            "allowed": list(self.allowed),
            "leading": self.leading,
            "noise": sorted(self.noise),
            "tie": TIE,
            "options": [
                {
                    "name": name,
                    "family": self.families[name],
                    "steps": sorted([step.up_to_items_per_month, step.usd_per_year] for step in found.steps),
                    **{key: _packed(getattr(found, key)) for key in PARTS},
                }
                for name, found in self.options.items()
            ],
        }


def _moved(draws: Draws, base: float, value: float | None, per: float = 1.0) -> Draws:
    """Draws scaled to another median; where the median is 0 there is nothing to scale, and all become the value."""
    if value is None:
        return draws
    return draws * (value / base) if base > 0 else np.full(len(draws), value * per)


def _nearest_part(totals: Sequence[Draws]) -> slice:
    """Of the parts that the draws can be cut into, the one whose mean yearly costs are nearest to those of all."""
    parts = [slice(at, at + EMBEDDED_DRAWS) for at in range(0, DRAWS, EMBEDDED_DRAWS)]
    whole = np.array([total.mean() for total in totals])

    def distance(part: slice) -> float:
        return float(np.abs(np.array([total[part].mean() for total in totals]) / np.maximum(whole, 1e-9) - 1).max())

    return min(parts, key=distance)


def _small(found: Any, names: tuple[str, ...], part: slice) -> Any:
    """The same with a part of the draws, rounded to float32 and widened again: the numbers that the page has."""
    return replace(found, **{name: getattr(found, name)[part].astype(np.float32).astype(np.float64) for name in names})


def _packed(draws: Draws) -> float | str:
    if np.all(draws == draws[0]):
        return float(draws[0])
    return base64.b64encode(draws.astype("<f4").tobytes()).decode("ascii")
