"""The draws behind the yearly costs, small enough to travel in the page that recomputes them."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasklift.economics import CapacityStep, Economics
from tasklift.measure.break_even import BreakEven, break_even_of
from tasklift.measure.decision import Decision, simulated
from tasklift.measure.evaluation import Evaluation
from tasklift.measure.yearly import Components, Draws, World

#: More would make the page heavy and change no figure that it shows.
EMBEDDED_DRAWS = 2000
SHARED = ("items_per_year", "error_usd", "review_usd", "changes_per_year")
PARTS = ("setup", "upkeep", "change", "standing", "item", "deferred", "reviewed", "wrong", "missed")


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
class Embedded:
    """What the page computes with; `at` is the library's computation on the same numbers.

    Attributes:
        world: the shared draws, without row weights.
        options: name -> what its cost is made of.
        families: name -> family.
        allowed: the options that a decision chooses from.
        base: the medians that the economics give.
    """

    world: World
    options: Mapping[str, Components]
    families: Mapping[str, str]
    allowed: tuple[str, ...]
    base: Mapping[str, float]

    @classmethod
    def of(cls, evaluation: Evaluation, economics: Economics, decision: Decision, seed: int = 0) -> Embedded:
        """The first draws of the simulation that the decision rests on, in float32."""
        options, world, made_of = simulated(evaluation, economics, seed)
        shared = {name: _single(getattr(world, name)) for name in SHARED}
        small = dataclasses.replace(world, **shared, weights=np.zeros((1, 0), dtype=np.float32), unseen=None)
        parts = {
            name: dataclasses.replace(found, **{key: _single(getattr(found, key)) for key in PARTS})
            for name, found in made_of.items()
        }
        families = {name: option.family for name, option in options.items()}
        passed = [name for name, verdict in decision.options.items() if verdict.passes]
        allowed = tuple(name for name in passed if families.get(name, "baseline") != "baseline")
        base = {name: getattr(economics, name).p50 for name in ("items_per_month", "error_usd", "changes_per_year")}
        base["horizon_months"] = economics.horizon_months
        return cls(small, parts, families, allowed, base)

    def at(self, setting: Setting) -> tuple[World, dict[str, Components]]:
        """World and options where some assumptions are moved: draws are scaled, so that their spread stays."""
        had, base = self.world, self.base
        world = dataclasses.replace(
            had,
            items_per_year=_moved(had.items_per_year, base["items_per_month"], setting.items_per_month, 12),
            error_usd=_moved(had.error_usd, base["error_usd"], setting.error_usd),
            changes_per_year=_moved(had.changes_per_year, base["changes_per_year"], setting.changes_per_year),
            horizon_years=(setting.horizon_months or base["horizon_months"]) / 12,
        )
        if setting.review_share is None:
            return world, dict(self.options)
        share = np.full(len(world.items_per_year), setting.review_share)
        return world, {name: dataclasses.replace(found, reviewed=share) for name, found in self.options.items()}

    def results(self, setting: Setting) -> dict[str, Any]:
        """What the page shows at a setting: costs, P(best), the cheapest, its break-even with the others."""
        world, options = self.at(setting)
        parts = {name: found.parts(world) for name, found in options.items()}
        totals = {name: found.total(world.items_per_year) for name, found in parts.items()}
        rows = {
            name: {
                "expected_usd": float(total.mean()),
                "p5_usd": float(np.quantile(total, 0.05)),
                "p95_usd": float(np.quantile(total, 0.95)),
                "p_best": 0.0,
            }
            for name, total in totals.items()
        }
        if not self.allowed:
            return {"options": rows, "best": None, "break_even": {}}
        winner = np.argmin(np.stack([totals[name] for name in self.allowed]), axis=0)
        for i, name in enumerate(self.allowed):
            rows[name]["p_best"] = float(np.mean(winner == i))
        best = min(self.allowed, key=lambda name: rows[name]["expected_usd"])
        pairs: dict[str, BreakEven] = {
            name: break_even_of(parts[best], parts[name]) for name in self.allowed if name != best
        }
        return {"options": rows, "best": best, "break_even": pairs}

    def to_json(self) -> dict[str, Any]:
        """What the page's script reads: a draw that never varies is one number, others are base64 of float32."""
        return {
            "draws": len(self.world.items_per_year),
            "shared": {name: _packed(getattr(self.world, name)) for name in SHARED},
            "base": dict(self.base),
            "allowed": list(self.allowed),
            "options": [
                {
                    "name": name,
                    "family": self.families[name],
                    "reviewer_accuracy": found.reviewer_accuracy,
                    "steps": [[step.up_to_items_per_month, step.usd_per_year] for step in _sorted(found.steps)],
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


def _sorted(steps: tuple[CapacityStep, ...]) -> list[CapacityStep]:
    return sorted(steps, key=lambda step: step.up_to_items_per_month)


def _single(draws: Draws) -> Draws:
    """The first draws, rounded to float32 and widened again: the numbers that the page has."""
    return draws[:EMBEDDED_DRAWS].astype(np.float32).astype(np.float64)


def _packed(draws: Draws) -> float | str:
    if np.all(draws == draws[0]):
        return float(draws[0])
    return base64.b64encode(draws.astype("<f4").tobytes()).decode("ascii")
