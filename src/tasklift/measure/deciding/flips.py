"""What would change a decision: values of its parameters, the accuracy that a prompt would need, and a tornado."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tasklift.economics import Economics
from tasklift.measure.deciding.lines import Line
from tasklift.measure.deciding.options import World
from tasklift.measure.deciding.quantities import Draws
from tasklift.measure.deciding.yearly import capacity

#: What a flip is searched in.
FLIPPABLE = ("items_per_month", "error_usd", "review_usd", "changes_per_year", "horizon_months")
#: How far (factor up and down), and in how many steps.
FURTHEST, STEPS = 1000.0, 120

Costs = Callable[[Draws], Draws]


def flips_of(world: World, allowed: Sequence[str], best: str, economics: Economics) -> dict[str, float | None]:
    """Parameter -> the nearest value at which another family becomes the cheapest; None within 1/1000 to 1000 times.

    All other parameters stay as uncertain as they are; an uncertain one is scaled as a whole and told by its median.
    """
    families = np.array([world.options[name].family for name in allowed])
    mine = world.options[best].family
    found: dict[str, float | None] = {}
    for key, costs in _scaled_costs(world, allowed).items():
        base = economics.horizon_months if key == "horizon_months" else getattr(economics, key).p50
        factor = _nearest(lambda f, c=costs: families[c(f).argmin(axis=1)] != mine) if base > 0 else None  # type: ignore[misc]
        found[key] = None if factor is None else float(f"{base * factor:.3g}")
    return found


def prompt_needs(
    world: World, expected_usd: Mapping[str, float], rivals: list[str], floor: float
) -> dict[str, Any] | None:
    """The accuracy at which the cheapest prompted option would cost no more than the best other option.

    The cost is linear in the error rate, so what it costs without errors and what one error costs give it.

    Args:
        expected_usd: option -> yearly cost, of those that only their accuracy may keep from being chosen.
        rivals: options of other families that pass the gates.
        floor: accuracy that a gate asks for anyway.

    Returns:
        the prompted candidate and the accuracy, None where not even a perfect one would win; None where
        nothing is prompted or there is no rival.
    """
    prompts = [n for n in expected_usd if world.options[n].family == "prompt" and not world.options[n].missing_price]
    if not prompts or not rivals:
        return None
    name = min(prompts, key=lambda n: expected_usd[n])
    draws, shared = world.options[name].draws, world.shared
    uncaught = 1 - draws.review_share * shared.reviewer_accuracy
    of_errors = float((shared.items_per_year * draws.wrong * uncaught * shared.error_usd).mean())
    an_error = float((shared.items_per_year * uncaught * shared.error_usd).mean()) * world.table.row_weight
    left = min(expected_usd[n] for n in rivals) - (expected_usd[name] - of_errors)
    if left < 0:
        return {"candidate": name, "accuracy": None}
    needed = 1 - left / an_error if an_error > 0 else 0.0
    return {"candidate": name, "accuracy": max(floor, needed, 0.0)}


def tornado(lines: Sequence[Line], allowed: Sequence[str], best: str) -> list[dict[str, Any]]:
    """For each uncertain parameter: by how much `best` is ahead of the next option (USD a year) where the
    parameter stands at its P10 and at its P90, and which option leads there. Widest first.

    Args:
        lines: expected costs of the `allowed` options.
    """
    if len(allowed) < 2:
        return []
    at, rows = list(allowed).index(best), []
    others = [place for place in range(len(allowed)) if place != at]
    for line in lines:
        ends = [line.at(line.p10), line.at(line.p90)]
        ahead = [float(end[others].min() - end[at]) for end in ends]
        leads = [allowed[int(end.argmin())] for end in ends]
        keys = ("parameter", "p10", "p90", "ahead_at_p10_usd", "ahead_at_p90_usd", "leads_at_p10", "leads_at_p90")
        rows.append(dict(zip(keys, (line.name, line.p10, line.p90, *ahead, *leads), strict=True)))
    return sorted(rows, key=lambda row: -abs(row["ahead_at_p90_usd"] - row["ahead_at_p10_usd"]))


def _scaled_costs(world: World, allowed: Sequence[str]) -> dict[str, Costs]:
    """Parameter -> mean yearly cost [factors, options] as a function of the factor that it is scaled by."""
    shared, options = world.shared, [world.options[name] for name in allowed]
    volume = shared.items_per_year
    whole = np.array([world.totals[name].mean() for name in allowed])
    errors = [(volume * o.draws.error_rate(shared.reviewer_accuracy) * shared.error_usd).mean() for o in options]
    reviews = [(volume * o.draws.people_share * shared.review_usd).mean() for o in options]
    changes = [(shared.changes_per_year * o.draws.change_usd).mean() for o in options]
    setup = np.array([o.draws.setup_usd.mean() / shared.horizon_years for o in options])
    fixed = np.array([world.parts[name].fixed.mean() for name in allowed])
    items = np.array([(volume * world.parts[name].unit).mean() for name in allowed])

    def linear(part: Sequence[Any]) -> Costs:
        scaled = np.array(part)
        return lambda f: whole + (f[:, None] - 1) * scaled

    def by_volume(factors: Draws) -> Draws:
        costs = fixed + factors[:, None] * items
        for at, option in enumerate(options):
            if steps := option.draws.steps:
                costs[:, at] += [capacity(steps, factor * volume).mean() for factor in factors]
        return np.asarray(costs)

    return {
        "items_per_month": by_volume,
        "error_usd": linear(errors),
        "review_usd": linear(reviews),
        "changes_per_year": linear(changes),
        "horizon_months": lambda f: whole + (1 / f[:, None] - 1) * setup,
    }


def _nearest(changed: Callable[[Draws], Draws]) -> float | None:
    """The factor nearest to 1 at which the choice has changed, to a thousandth; None where it never does."""
    reach = FURTHEST ** (np.arange(STEPS + 1) / STEPS)
    hits = [(int(at[0]), ends) for ends in (reach, 1 / reach) if len(at := np.flatnonzero(changed(ends)))]
    if not hits:
        return None
    first, ends = min(hits, key=lambda hit: hit[0])
    outer, inner = ends[first], ends[max(first - 1, 0)]
    for _ in range(8):
        middle = float((outer * inner) ** 0.5)
        outer, inner = (middle, inner) if bool(changed(np.array([middle]))[0]) else (outer, middle)
    return float(outer)
