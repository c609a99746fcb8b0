"""The nine dimensions in which prompting, fine-tuning and layering are compared, with figures of one task.

A cell that was not measured says which command measures it; no cell holds an adjective.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasklift.economics import Economics
from tasklift.measure.evaluation import CandidateResult, Evaluation
from tasklift.measure.robustness.flexibility import EDIT_MINUTES

FAMILIES = ("prompt", "finetune", "layered")
DIMENSIONS = (
    "set-up time",
    "cost",
    "flexibility",
    "accuracy",
    "consistency at scale",
    "best use",
    "maintenance effort",
    "risk profile",
    "typical starting point",
)
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Measured:
    """All that is known of a task.

    Attributes:
        evaluation: every candidate on the same rows.
        decision: JSON of a decision on it; None: there are no economics.
        economics: the same.
        consistency: candidate -> its JSON.
        flexibility: candidate -> JSON of its rule changes.
        risk: candidate -> its JSON.
    """

    evaluation: Evaluation
    decision: Mapping[str, Any] | None = None
    economics: Economics | None = None
    consistency: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    flexibility: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    risk: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """One dimension of one family: what a reader sees, and the figures in it."""

    text: str
    figures: Mapping[str, Any] = field(default_factory=dict)


def dimensions(known: Measured) -> dict[str, dict[str, Cell]]:
    """Dimension -> family -> cell, for the families that were evaluated.

    Each family is spoken for by its option with the lowest expected cost, or the best accuracy where there is no
    decision.
    """
    chosen = {name: found for name in FAMILIES if (found := representative(known, name)) is not None}
    fill = {
        "set-up time": _set_up,
        "cost": _cost,
        "flexibility": _flexibility,
        "accuracy": _accuracy,
        "consistency at scale": _consistency,
        "best use": _best_use,
        "maintenance effort": _maintenance,
        "risk profile": _risk,
        "typical starting point": _starting_point,
    }
    return {name: {family: fill[name](known, one) for family, one in chosen.items()} for name in DIMENSIONS}


def representative(known: Measured, family: str) -> CandidateResult | None:
    """The option that speaks for a family."""
    some = [result for result in known.evaluation.results if result.card.family == family]
    if not some:
        return None
    if known.decision is not None:
        costs = {name: option["expected_usd_per_year"] for name, option in known.decision["options"].items()}
        priced = [result for result in some if costs.get(result.name) is not None]
        if priced:
            return min(priced, key=lambda result: float(costs[result.name]))
    return max(some, key=lambda result: result.scores.accuracy.value if result.scores.accuracy else 0.0)


def _set_up(known: Measured, one: CandidateResult) -> Cell:
    setup = one.card.setup
    prices = known.economics.prices if known.economics else None
    minutes = 0.0
    if prices is not None and prices.person_hour_usd.p50 > 0:
        minutes = setup.labels * prices.label_usd.p50 * prices.annotators / prices.person_hour_usd.p50 * 60
    labels = f"{setup.labels:,} labels" + (f" ({minutes:,.0f} minutes of people)" if minutes else "")
    text = f"{setup.cpu_s:,.1f} CPU s, {labels if setup.labels else 'no labels'}"
    return Cell(text, {"cpu_s": setup.cpu_s, "labels": setup.labels, "label_minutes": minutes})


def _cost(known: Measured, one: CandidateResult) -> Cell:
    if known.decision is None:
        return Cell(f"{NOT_MEASURED}: give economics")
    option = known.decision["options"][one.name]
    if option["expected_usd_per_year"] is None:
        return Cell("a price is not known")
    figures = {key: option[key] for key in ("expected_usd_per_year", "p5_usd", "p95_usd")}
    low, high = option["p5_usd"], option["p95_usd"]
    return Cell(f"{figures['expected_usd_per_year']:,.0f} USD a year ({low:,.0f} to {high:,.0f})", figures)


def _flexibility(known: Measured, one: CandidateResult) -> Cell:
    changes = known.flexibility.get(one.name)
    if not changes:
        return Cell(f"{NOT_MEASURED}: --measure")
    parts = []
    for row in changes:
        what = row["kind"].replace("_", " ")
        if row["labels"] is None:
            most = max(map(int, row["steps"]), default=0)
            parts.append(f"{what}: not back with {most} labels")
        else:
            parts.append(f"{what}: {row['labels']} labels, {row['minutes']:,.0f} minutes, {row['usd']:,.2f} USD")
    return Cell("; ".join(parts), {"changes": list(changes)})


def _accuracy(known: Measured, one: CandidateResult) -> Cell:
    scores = one.scores
    if scores.accuracy is None:
        return Cell("answers nothing", {"coverage": scores.coverage})
    value = scores.accuracy
    text = f"{value.value:.1%} ({value.low:.1%} to {value.high:.1%})"
    if scores.coverage < 1:
        text += f" on the {scores.coverage:.0%} that it answers"
    figures = {"value": value.value, "low": value.low, "high": value.high, "coverage": scores.coverage}
    return Cell(text, figures)


def _consistency(known: Measured, one: CandidateResult) -> Cell:
    found = known.consistency.get(one.name)
    if found is None:
        return Cell(f"{NOT_MEASURED}: tasklift evaluate --consistency")
    measures = found["measures"]
    repeats = measures["repeat_agreement"]
    flips = {name: value for name, value in measures.items() if name.startswith("flips_")}
    worst = max(flips, key=lambda name: float(flips[name]["value"]), default=None)
    text = f"{found['verdict']}: repeats agree {repeats['value']:.1%} (from {repeats['low']:.1%})"
    if worst is not None:
        text += f"; {worst.removeprefix('flips_').replace('_', ' ')} changes {flips[worst]['value']:.1%}"
    return Cell(text, {"verdict": found["verdict"], "measures": measures})


def _best_use(known: Measured, one: CandidateResult) -> Cell:
    """The volumes from which it is cheaper than the others, where they are known."""
    if known.decision is None:
        return Cell(f"{NOT_MEASURED}: give economics")
    parts, figures = [], {}
    for pair, found in known.decision["break_even"].items():
        first, second = pair.split(" vs ")
        if one.name not in (first, second) or found == "never":
            continue
        volume = found["items_per_month"]
        figures[pair] = volume
        against = second if one.name == first else first
        if volume:
            side = "from" if one.name == first else "below"
            parts.append(f"{side} {volume:,.0f} items a month against {against}")
        elif one.name == first:
            parts.append(f"at any volume against {against}")
    option = known.decision["options"][one.name]
    here = f"P(cheapest at today's volume) {option['p_best']:.2f}"
    return Cell("; ".join([here, *parts]), {"p_best": option["p_best"], "break_even": figures})


def _maintenance(known: Measured, one: CandidateResult) -> Cell:
    """A year's rule changes times what one takes, as measured; the mean over the kinds of change it came back from."""
    changes = [row for row in known.flexibility.get(one.name, []) if row["labels"] is not None]
    if known.economics is None or not changes:
        return Cell(f"{NOT_MEASURED}: --measure, and economics")
    a_year = known.economics.changes_per_year.p50
    hours = a_year * sum(row["minutes"] for row in changes) / len(changes) / 60
    usd = a_year * sum(row["usd"] for row in changes) / len(changes)
    text = f"{hours:,.1f} hours and {usd:,.0f} USD a year at {a_year:g} rule changes"
    text += f" ({EDIT_MINUTES:g} minutes of writing each, assumed)"
    return Cell(text, {"hours_per_year": hours, "usd_per_year": usd, "changes_per_year": a_year})


def _risk(known: Measured, one: CandidateResult) -> Cell:
    found = known.risk.get(one.name)
    if found is None:
        return Cell(f"{NOT_MEASURED}: --measure")
    parts = []
    if found["seed_sd"] is not None:
        parts.append(f"{100 * found['seed_sd']:.1f} points SD over {len(found['by_seed'])} seeds")
    if found["wording_sd"] is not None:
        parts.append(f"{100 * found['wording_sd']:.1f} points SD over {len(found['by_wording'])} wordings")
    if found["roll_back_s"] is not None:
        parts.append(f"back in {found['roll_back_s']:.2f} s")
    return Cell("; ".join(parts) or "nothing that varies", dict(found))


def _starting_point(known: Measured, one: CandidateResult) -> Cell:
    """What has to be there before the first answer: labels, and where the text goes."""
    labels = one.card.setup.labels
    away = bool(one.traits.get("data_leaves_machine"))
    text = f"{labels:,} labels" if labels else "the label definitions, no label"
    text += ", text leaves the machine" if away else ", text stays on the machine"
    return Cell(text, {"labels": labels, "data_leaves_machine": away})
