"""The cost of a year where nothing has been measured: ranges that answers to a checklist move, and draws of them.

Every range is a belief with a source, not a measurement. The formula is that of `measure.yearly`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tasklift.economics import Economics, Quantity
from tasklift.measure.deciding.quantities import Draws, Sampler

Choice = Literal["prompt", "finetune", "layered"]
OPTIONS: tuple[Choice, ...] = ("prompt", "finetune", "layered")
#: Share of wrong answers that a validating person catches.
CATCHES = 0.97
#: Where an option fails a gate that it must pass, it may only run with a person looking at this share of its answers.
GATE_FALLBACK_REVIEW = 1.0


@dataclass(frozen=True)
class Belief:
    """A parameter before any measurement.

    Attributes:
        quantity: 10th, 50th, 90th percentile.
        unit: of the three.
        source: what the range rests on.
        share: it lies between 0 and 1.
    """

    quantity: Quantity
    unit: str
    source: str
    share: bool = False

    def draws(self, name: str, sampler: Sampler) -> Draws:
        """[sampler.size] values: Beta for a share, else lognormal."""
        return (sampler.share if self.share else sampler.amount)(name, self.quantity)


def _belief(p10: float, p50: float, p90: float, unit: str, source: str = "default") -> Belief:
    return Belief(Quantity(p10=p10, p50=p50, p90=p90), unit, source, unit == "share")


_WORK = "default: person-hours of a small team"
#: Banking77: prompted with retrieved examples 85-91% right, with definitions alone 60-83%; fine-tuned 92-94%
#: (Loukas et al. 2023 and others, collected in docs/advise.md).
_PUBLISHED = "default: published results on sorting tasks"

#: Beliefs where every answer is "unknown".
DEFAULTS: Mapping[str, Belief] = {
    "items_per_month": _belief(800, 12_000, 180_000, "items"),
    "changes_per_year": _belief(2, 6, 24, "changes"),
    "horizon_months": _belief(12, 12, 12, "months"),
    "error_usd": _belief(0.3, 1.2, 6, "USD"),
    "review_usd": _belief(0.2, 0.5, 1.2, "USD"),
    "review_share": _belief(0.05, 0.3, 0.8, "share"),
    "delay_usd_per_week": _belief(50, 300, 2_000, "USD"),
    "prompt_error": _belief(0.08, 0.13, 0.25, "share", _PUBLISHED),
    "core_error": _belief(0.03, 0.06, 0.10, "share", _PUBLISHED),
    "core_error_on_tail": _belief(0.20, 0.35, 0.55, "share"),
    "label_noise": _belief(0.005, 0.015, 0.04, "share"),
    "touched_by_a_change": _belief(0.01, 0.03, 0.08, "share"),
    "bad_format": _belief(0.002, 0.008, 0.03, "share"),
    "tail_to_people": _belief(0.10, 0.25, 0.50, "share"),
    "prompt_item_usd": _belief(0.0003, 0.001, 0.004, "USD", "default: 500-1,500 tokens of a small hosted model"),
    "core_item_usd": _belief(0.00001, 0.00005, 0.0003, "USD", "default: CPU or shared GPU time"),
    "core_capacity_usd_per_year": _belief(200, 800, 4_000, "USD"),
    "label_usd": _belief(0.1, 0.25, 0.8, "USD"),
    "labels": _belief(800, 2_000, 6_000, "labels"),
    "person_hour_usd": _belief(40, 60, 110, "USD"),
    "prompt_setup_hours": _belief(4, 12, 40, "hours", _WORK),
    "finetune_setup_hours": _belief(20, 50, 120, "hours", _WORK),
    "router_setup_hours": _belief(4, 10, 30, "hours", _WORK),
    "prompt_hours_per_change": _belief(1, 3, 8, "hours", _WORK),
    "retrain_hours_per_change": _belief(4, 10, 24, "hours", _WORK),
    "retrain_labels_per_change": _belief(50, 200, 600, "labels"),
    "changes_that_need_retraining": _belief(0.2, 0.4, 0.7, "share"),
    "prompt_weeks": _belief(0.5, 1, 3, "weeks"),
    "finetune_weeks": _belief(3, 6, 12, "weeks"),
    "layered_weeks": _belief(4, 7, 14, "weeks"),
    "prompt_lag_weeks": _belief(0.05, 0.2, 0.6, "weeks"),
    "retrain_lag_weeks": _belief(0.5, 1.5, 5, "weeks"),
}
#: P(an option passes the gate) before a measurement; the gate's name is the question that asks for it.
GATES: Mapping[str, Mapping[str, Belief]] = {
    "inconsistency_is_risky": {
        "prompt": _belief(0.35, 0.60, 0.80, "share"),
        "finetune": _belief(0.80, 0.92, 0.98, "share"),
        "layered": _belief(0.60, 0.82, 0.92, "share"),
    },
    "needs_explainability": {
        "prompt": _belief(0.20, 0.45, 0.70, "share"),
        "finetune": _belief(0.70, 0.85, 0.95, "share"),
        "layered": _belief(0.50, 0.70, 0.85, "share"),
    },
}
#: question -> answer -> parameter -> percentiles that replace the default.
MOVES: Mapping[str, Mapping[bool, Mapping[str, tuple[float, float, float]]]] = {
    "requirements_change_often": {
        True: {"changes_per_year": (12, 24, 52)},
        False: {"changes_per_year": (0.5, 2, 5)},
    },
    "humans_validate_outputs": {
        True: {"review_share": (0.55, 0.80, 0.95)},
        False: {"review_share": (0.005, 0.02, 0.08)},
    },
    "inconsistency_is_risky": {
        True: {"error_usd": (1, 4, 15)},
        False: {"error_usd": (0.1, 0.5, 1.5)},
    },
    "exploratory": {
        True: {"horizon_months": (6, 6, 6), "label_noise": (0.02, 0.05, 0.12)},
        False: {"horizon_months": (24, 24, 24), "label_noise": (0.002, 0.006, 0.02)},
    },
    "at_scale": {
        True: {"items_per_month": (30_000, 90_000, 400_000)},
        False: {"items_per_month": (300, 3_000, 20_000)},
    },
    "time_to_market_first": {
        True: {"delay_usd_per_week": (500, 2_000, 8_000)},
        False: {"delay_usd_per_week": (10, 50, 200)},
    },
    "outputs_feed_systems": {
        True: {"bad_format": (0.005, 0.02, 0.06)},
        False: {"bad_format": (0, 0, 0)},
    },
    "special_language": {
        True: {"prompt_error": (0.12, 0.20, 0.35)},
        False: {"prompt_error": (0.07, 0.11, 0.20)},
    },
    "prompt_length_costs": {
        True: {"prompt_item_usd": (0.002, 0.005, 0.02)},
        False: {"prompt_item_usd": (0.0002, 0.0006, 0.002)},
    },
    "prompts_hard_to_maintain": {
        True: {"prompt_hours_per_change": (4, 10, 24)},
        False: {"prompt_hours_per_change": (0.5, 1.5, 4)},
    },
}
#: Keys of economics.toml that replace a belief, with where they stand.
GIVEN = ("items_per_month", "error_usd", "review_usd", "changes_per_year")


def beliefs_of(answers: Mapping[str, bool | None], economics: Economics | None) -> dict[str, Belief]:
    """The defaults, moved by the answers, replaced by what the economics say.

    Args:
        answers: question -> True, False, or None where it is not known.
        economics: only keys that the file really holds are taken.
    """
    found = dict(DEFAULTS)
    for question, moves in MOVES.items():
        answer = answers.get(question)
        if answer is None:
            continue
        source = f"answer: {question} = {str(answer).lower()}"
        for name, (low, middle, high) in moves[answer].items():
            found[name] = _belief(low, middle, high, found[name].unit, source)
    if economics is None:
        return found
    for key in set(GIVEN) & economics.model_fields_set:
        found[key] = Belief(getattr(economics, key), found[key].unit, "given")
    if "horizon_months" in economics.model_fields_set:
        months = economics.horizon_months
        found["horizon_months"] = _belief(months, months, months, "months", "given")
    for key in {"label_usd", "person_hour_usd"} & economics.prices.model_fields_set:
        found[key] = Belief(getattr(economics.prices, key), found[key].unit, "given")
    return found


@dataclass(frozen=True)
class Simulated:
    """Draws of everything.

    Attributes:
        parts: option -> part of the yearly cost -> [draws] USD.
        totals: option -> [draws] USD a year.
        passes: option -> [draws] 1 where it passes every gate.
        drawn: parameter -> [draws].
        human_usd: [draws] USD a year if people answered everything.
    """

    parts: Mapping[str, Mapping[str, Draws]]
    totals: Mapping[str, Draws]
    passes: Mapping[str, Draws]
    drawn: Mapping[str, Draws]
    human_usd: Draws


def simulate(
    beliefs: Mapping[str, Belief],
    gates: Mapping[str, float],
    repeatable: tuple[float, float],
    draws: int = 8_000,
    seed: int = 0,
) -> Simulated:
    """Monte Carlo of the yearly cost of prompting, fine-tuning and layering.

    Args:
        beliefs: parameter -> range.
        gates: gate -> probability that it applies (1 asked for, 0 not, 0.5 unknown).
        repeatable: parameters of the Beta prior of the share of repeatable items.
        draws: how many.
        seed: of the draws.
    """
    sampler = Sampler(draws, seed)
    p = {name: belief.draws(name, sampler) for name, belief in beliefs.items()}
    p["repeatable"] = sampler.rng.beta(*repeatable, draws)
    passes = _passes(gates, sampler)
    years, volume = p["horizon_months"] / 12, 12 * p["items_per_month"]
    error, people = _errors(p), _people(p)
    setup, upkeep, item = _setup(p), _upkeep(p), _item(p)
    parts: dict[str, dict[str, Draws]] = {}
    for name in OPTIONS:
        reviewed = np.where(passes[name] > 0, p["review_share"], GATE_FALLBACK_REVIEW)
        seen = people[name] + (1 - people[name]) * reviewed
        uncaught = error[name] * (1 - reviewed * CATCHES) + people[name] * (1 - CATCHES)
        parts[name] = {
            "setup": setup[name] / years,
            "delay": p[f"{name}_weeks"] * p["delay_usd_per_week"] / years,
            "upkeep": upkeep[name],
            "capacity": np.zeros(draws) if name == "prompt" else p["core_capacity_usd_per_year"],
            "inference": volume * item[name],
            "review": volume * seen * p["review_usd"],
            "errors": volume * uncaught * p["error_usd"],
        }
    totals = {name: np.sum(list(found.values()), axis=0) for name, found in parts.items()}
    human = volume * (p["review_usd"] + (1 - CATCHES) * p["error_usd"])
    return Simulated(parts, totals, passes, p, human)


def _errors(p: Mapping[str, Draws]) -> dict[str, Draws]:
    """Share of items answered wrongly. A tuned model knows the repeatable items better and the others worse than
    a prompted one; after a change of the rules both are stale until they are adapted."""
    tail = 1 - p["repeatable"]
    noise = p["label_noise"]
    stale = p["changes_per_year"] * p["touched_by_a_change"] / 52
    prompt = p["prompt_error"] + p["bad_format"]
    finetune = p["repeatable"] * p["core_error"] + tail * p["core_error_on_tail"] + noise
    layered = p["repeatable"] * (p["core_error"] + noise) + tail * (1 - p["tail_to_people"]) * prompt
    lag = {"prompt": p["prompt_lag_weeks"], "finetune": p["retrain_lag_weeks"]}
    lag["layered"] = (lag["prompt"] + lag["finetune"]) / 2
    plain = {"prompt": prompt, "finetune": finetune, "layered": layered}
    return {name: np.minimum(plain[name] + np.minimum(stale * lag[name], 0.5), 0.95) for name in OPTIONS}


def _people(p: Mapping[str, Draws]) -> dict[str, Draws]:
    """Share of items that a person answers because no stage is sure."""
    none = np.zeros_like(p["repeatable"])
    return {"prompt": none, "finetune": none, "layered": (1 - p["repeatable"]) * p["tail_to_people"]}


def _setup(p: Mapping[str, Draws]) -> dict[str, Draws]:
    hour, labels = p["person_hour_usd"], p["labels"] * p["label_usd"]
    prompt, finetune = p["prompt_setup_hours"] * hour, p["finetune_setup_hours"] * hour + labels
    return {"prompt": prompt, "finetune": finetune, "layered": prompt + finetune + p["router_setup_hours"] * hour}


def _upkeep(p: Mapping[str, Draws]) -> dict[str, Draws]:
    hour = p["person_hour_usd"]
    prompt = p["prompt_hours_per_change"] * hour
    retrain = p["retrain_hours_per_change"] * hour + p["retrain_labels_per_change"] * p["label_usd"]
    once = {"prompt": prompt, "finetune": retrain, "layered": prompt + p["changes_that_need_retraining"] * retrain}
    return {name: p["changes_per_year"] * cost for name, cost in once.items()}


def _item(p: Mapping[str, Draws]) -> dict[str, Draws]:
    prompt, core = p["prompt_item_usd"], p["core_item_usd"]
    return {"prompt": prompt, "finetune": core, "layered": core + (1 - p["repeatable"]) * prompt}


def _passes(gates: Mapping[str, float], sampler: Sampler) -> dict[str, Draws]:
    found: dict[str, Draws] = {name: np.ones(sampler.size) for name in OPTIONS}
    for gate, applies in gates.items():
        asked, luck = sampler.strata() < applies, sampler.strata()
        for name in OPTIONS:
            fine = luck < GATES[gate][name].draws(f"{gate} {name}", sampler)
            found[name] = found[name] * np.where(asked, fine, True)
    return found
