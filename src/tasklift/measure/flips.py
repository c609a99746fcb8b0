"""What would change a decision: the nearest values of its parameters, and the accuracy that a prompt would need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tasklift.economics import Economics, Quantity
from tasklift.measure.yearly import Option, World, draw, yearly

#: What a flip is searched in, and how far (factor up and down).
FLIPPABLE = ("items_per_month", "error_usd", "review_usd", "changes_per_year")
FURTHEST = 1000.0


def flips_of(
    options: Mapping[str, Option], allowed: list[str], best: str, economics: Economics
) -> dict[str, float | None]:
    """Parameter -> the nearest value at which another family becomes the cheapest; None within 1/1000 to 1000 times."""
    family = options[best].family

    def changed(key: str, factor: float) -> bool:
        scaled = _scaled(economics, key, factor)
        costs = _expected(options, allowed, scaled)
        return options[min(costs, key=lambda name: costs[name])].family != family

    found: dict[str, float | None] = {}
    for key in FLIPPABLE:
        base = getattr(economics, key).p50
        factors = [f for step in range(1, 25) for f in (10 ** (step / 8), 10 ** (-step / 8))]
        hit = next((factor for factor in factors if base > 0 and changed(key, factor)), None)
        found[key] = None if hit is None else _bisect(key, hit, base, changed)
    return found


def prompt_needs(
    options: Mapping[str, Option],
    expected_usd: Mapping[str, float],
    rivals: list[str],
    economics: Economics,
    floor: float,
) -> dict[str, Any] | None:
    """The accuracy at which the cheapest prompted option would cost no more than the best other option.

    The cost is linear in the error rate, so two points give it.

    Args:
        expected_usd: option -> yearly cost.
        rivals: options of other families that pass the gates.
        floor: accuracy that a gate asks for anyway.

    Returns:
        the prompted candidate and the accuracy, None where not even a perfect one would win; None where
        nothing is prompted or there is no rival.
    """
    prompts = [name for name, option in options.items() if option.family == "prompt"]
    if not prompts or not rivals:
        return None
    name = min(prompts, key=lambda n: expected_usd[n])
    option = options[name]
    target = min(_expected(options, rivals, economics).values())
    every_row = option.weight
    trial = {"perfect": replace(option, wrong=0 * every_row), "useless": replace(option, wrong=every_row)}
    cost = _expected(trial, list(trial), economics)
    if cost["perfect"] > target:
        return {"candidate": name, "accuracy": None}
    worse = cost["useless"] - cost["perfect"]
    needed = 1 - (target - cost["perfect"]) / worse if worse > 0 else 0.0
    return {"candidate": name, "accuracy": max(floor, needed, 0.0)}


def _expected(options: Mapping[str, Option], names: list[str], economics: Economics) -> dict[str, float]:
    """Mean yearly costs, with few draws of one flat world: what flips are searched with."""
    rng = np.random.default_rng(0)
    rows = len(options[names[0]].wrong)
    means = {key: float(draw(getattr(economics, key), 512, rng).mean()) for key in FLIPPABLE}
    world = World(
        items_per_year=np.full(64, 12 * means["items_per_month"]),
        error_usd=np.full(64, means["error_usd"]),
        review_usd=np.full(64, means["review_usd"]),
        changes_per_year=np.full(64, means["changes_per_year"]),
        weights=np.full((64, rows), 1 / rows, dtype=np.float32),
        horizon_years=economics.horizon_months / 12,
        reviewer_accuracy=economics.reviewer_accuracy,
    )
    return {name: float(yearly(options[name], world, rng).total(world.items_per_year).mean()) for name in names}


def _bisect(key: str, hit: float, base: float, changed: Any) -> float:
    """The value between the last factor that changed nothing and the first that did, to 1%."""
    outer, inner = hit, hit / 10 ** (1 / 8) if hit > 1 else hit * 10 ** (1 / 8)
    for _ in range(6):
        middle = (outer * inner) ** 0.5
        outer, inner = (middle, inner) if changed(key, middle) else (outer, middle)
    return float(f"{base * outer:.3g}")


def _scaled(economics: Economics, key: str, factor: float) -> Economics:
    old: Quantity = getattr(economics, key)
    return economics.model_copy(
        update={key: Quantity(p10=old.p10 * factor, p50=old.p50 * factor, p90=old.p90 * factor)}
    )
