"""Simple rules that companies go by, and a decider that knows the generator: what ours is held against.

Each policy takes a company (its economics and its evaluation, never its truth) and names an option.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from companies import MEASURED, OPTIONS, Array, Company, Setting, cell_probabilities, cells, error_rates

from tasklift.economics import Quantity
from tasklift.measure.deciding.quantities import beta_of, mean_of

#: Draws of the generator's prior by which the informed decider weighs an evaluation.
LIBRARY = 100_000
#: Requests a month above which the guides say "at scale": 1,000 a day.
AT_SCALE = 30_000

Policy = Callable[[Company], str]
Narrow = np.ndarray[Any, np.dtype[np.float32]]


def median(value: Any) -> float:
    """The middle of what is believed."""
    return float(value["p50"] if isinstance(value, Mapping) else value)


def mean(value: Any) -> float:
    """The mean of an amount that is believed."""
    return mean_of(Quantity(**value)) if isinstance(value, Mapping) else float(value)


def mean_share(value: Any) -> float:
    """The mean of a share that is believed."""
    if not isinstance(value, Mapping):
        return float(value)
    a, b = beta_of(value["p10"], value["p50"], value["p90"])
    return a / (a + b)


def always(option: str) -> Policy:
    """The same answer to everybody."""
    return lambda company: option


def volume_rule(company: Company) -> str:
    """Fine-tune at 1,000 requests a day or more, else prompt."""
    return "finetune" if median(company.economics["items_per_month"]) >= AT_SCALE else "prompt"


def checklist(company: Company) -> str:
    """The majority of the seven questions: flexibility and speed speak for a prompt, stability and scale for
    fine-tuning; three of seven either way is in between, and layered."""
    e = company.economics
    for_prompt = [
        median(e["changes_per_year"]) >= 12,  # requirements change monthly
        median(e["error_usd"]) < 2 * median(e["review_usd"]),  # an inconsistent answer is no real risk
        median(e["items_per_month"]) < AT_SCALE,  # not at scale
        e["horizon_months"] <= 12,  # exploratory, soon to be replaced
        median(e["items_per_month"]) * median(e["error_usd"]) < 10_000,  # people can look at most of it
    ]
    votes = sum(for_prompt)
    return "prompt" if votes >= 4 else "finetune" if votes <= 1 else "layered"


def most_accurate(company: Company) -> str:
    """The best observed accuracy of the measured options."""
    return MEASURED[int(company.right.mean(axis=0).argmax())]


SIMPLE: Mapping[str, Policy] = {
    "always prompt": always("prompt"),
    "always fine-tune": always("finetune"),
    "always layered": always("layered"),
    "people only": always("human"),
    "checklist majority": checklist,
    "volume rule": volume_rule,
    "best observed accuracy": most_accurate,
}


@dataclass(frozen=True)
class Library:
    """Draws of a prior: what error rates a company may have, and how its rows would then fall.

    Attributes:
        error: [draws, 3].
        log_cells: [draws, 8] logarithm of the probability of each pattern.
    """

    error: Narrow
    log_cells: Narrow

    def error_given(self, counts: Sequence[np.ndarray[Any, np.dtype[np.int64]]]) -> Array:
        """[companies, 3] posterior mean of the error rates given each company's counts of patterns."""
        logs = self.log_cells @ np.stack(counts, axis=1).astype(np.float32)  # [draws, companies]
        weights = np.exp(logs - logs.max(axis=0), out=logs)
        return np.asarray((weights.T @ self.error) / weights.sum(axis=0)[:, None], dtype=np.float64)


@cache
def library_of(setting: Setting) -> Library:
    """The prior of a setting."""
    rng = np.random.default_rng(1)
    error, hard = error_rates(setting, LIBRARY, rng)
    return Library(
        error.astype(np.float32), np.log(np.maximum(cell_probabilities(error, hard), 1e-30)).astype(np.float32)
    )


def informed(
    group: Sequence[Company], library: Callable[[Company], Library] | None = None, batch: int = 25
) -> list[str]:
    """What a decider would choose that knows the generator's prior of error rates, and takes exact means of
    all that the company believes.

    Args:
        library: the prior of a company; None: that of its setting.
    """
    chosen = [""] * len(group)
    by_library: dict[int, tuple[Library, list[int]]] = {}
    for at, company in enumerate(group):
        one = library(company) if library else library_of(company.setting)
        by_library.setdefault(id(one), (one, []))[1].append(at)
    for one, places in by_library.values():
        for start in range(0, len(places), batch):
            some = places[start : start + batch]
            errors = one.error_given([cells(group[at].right) for at in some])
            for at, error in zip(some, errors, strict=True):
                chosen[at] = OPTIONS[int(expected_costs(group[at], error).argmin())]
    return chosen


def expected_costs(company: Company, error: Array) -> Array:
    """[options] expected yearly cost given error rates of the measured options."""
    e, options = company.economics, company.economics["options"]
    fixed = np.array(
        [
            mean(options[o]["setup_usd"]) / (e["horizon_months"] / 12)
            + mean(options[o]["upkeep_usd_per_year"])
            + mean(e["changes_per_year"]) * mean(options[o]["cost_per_change_usd"])
            for o in OPTIONS
        ]
    )
    reviewed = np.array([mean_share(options[o]["review_share"]) for o in MEASURED])
    wrong = error * (1 - reviewed * e["reviewer_accuracy"])
    people = np.append(reviewed, 1.0)
    errors = np.append(wrong, 1 - mean_share(options["human"]["accuracy"]))
    items = np.append(company.item_usd.mean(axis=0), mean(options["human"]["item_usd"]))
    unit = items + people * mean(e["review_usd"]) + errors * mean(e["error_usd"])
    return fixed + 12 * mean(e["items_per_month"]) * unit
