"""The next best measurement: what it costs, and what the decision is expected to gain from it.

Labelling m rows more leaves the posterior mean of a rate at `mean + sqrt(m / (mass + m)) * (rate - mean)`,
with the rate drawn from today's posterior: for a Dirichlet these are exactly the first two moments of the
posterior mean that is to come (Jalal and Alarid-Escudero 2018), and costs are linear in the rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from tasklift.economics import Economics, Gates
from tasklift.measure.deciding.gates import metric_draws
from tasklift.measure.deciding.lines import Line
from tasklift.measure.deciding.options import Option, World
from tasklift.measure.deciding.quantities import Draws, mean_of
from tasklift.measure.evidence import Evidence

#: Numbers of further labelled rows that are weighed.
ROWS = (50, 100, 200, 500, 1000, 2000, 5000)
#: A study (a quote, a count of the last months) leaves this share of what is not known of an amount, as a
#: width on the logarithmic scale: no count of the past is the future.
LEAVES = 1 / 3
#: Parameters that no study is proposed for: rates are measured by rows, and unit prices matter by what they buy.
NOT_STUDIED = (".error_rate", ".accuracy")


@dataclass(frozen=True)
class Measurement:
    """Something to measure.

    Attributes:
        what: in words.
        how_many: rows; 1 for a pilot or a study.
        price_usd: what it costs.
        worth_usd: what it is expected to save over the horizon; None where it is about passing a gate.
        kind: `label`, `pilot` or `study`.
        parameter: the option or parameter that it is about; '' for all error rates.
        chance: probability that an option comes to pass the gates; None where some do already.
    """

    what: str
    how_many: int
    price_usd: float
    worth_usd: float | None
    kind: str
    parameter: str = ""
    chance: float | None = None

    @property
    def gain_usd(self) -> float:
        """Worth less price."""
        return (self.worth_usd or 0.0) - self.price_usd

    def to_json(self) -> dict[str, Any]:
        """Plain fields, money in cents."""
        return {key: round(v, 2) if isinstance(v, float) else v for key, v in asdict(self).items()}


@dataclass(frozen=True)
class Question:
    """What is to be decided: the options that pass, and those that only lack evidence for it.

    Attributes:
        allowed: options that pass the gates.
        hopeful: options that fail `min_metric` only.
        best: the one that would be chosen today; None: none passes.
        lines: expected costs of the allowed options by each uncertain parameter.
    """

    evidence: Evidence
    world: World
    economics: Economics
    gates: Gates
    allowed: Sequence[str]
    hopeful: Sequence[str]
    best: str | None
    lines: Sequence[Line]


def measurements(question: Question) -> list[Measurement]:
    """Everything worth considering, the best first."""
    if question.best is None:
        towards = _towards_the_gate(question)
        return [towards] if towards else []
    found = [*_labels(question), *_pilots(question), *_studies(question)]
    return sorted(found, key=lambda one: -one.gain_usd)


def expected_costs(world: World, names: Sequence[str]) -> Draws:
    """[draws, names] yearly cost with all but the error rates at their means."""
    shared = world.shared
    mean = {key: float(getattr(shared, key).mean()) for key in ("items_per_year", "error_usd", "review_usd")}

    def cost(option: Option) -> Draws:
        part, review = world.parts[option.name], float(option.draws.review_share.mean())
        draws = replace(option.draws, review_share=np.full_like(option.draws.wrong, review))
        per_item = draws.people_share * mean["review_usd"]
        per_item = per_item + draws.error_rate(shared.reviewer_accuracy) * mean["error_usd"]
        # Centred on the mean of the draws: that is what the options are compared by.
        varying = mean["items_per_year"] * (per_item - per_item.mean())
        return np.asarray(part.total(shared.items_per_year).mean() + varying)

    return np.stack([cost(world.options[name]) for name in names], axis=1)


def _labels(question: Question) -> list[Measurement]:
    """Label more rows, and let every measured option answer them."""
    world, economics = question.world, question.economics
    names = [*question.allowed, *question.hopeful]
    if not any(world.options[name].column is not None for name in names):
        return []
    costs = expected_costs(world, names)
    measured = np.array([world.options[name].column is not None for name in names])
    family = world.options[str(question.best)].family
    same = np.array([world.options[name].family == family for name in names])
    price = _row_price(question)
    # Where a lead within noise was passed over, what it is ahead by needs no measuring.
    now = costs.mean(axis=0)[: len(question.allowed)]
    ahead = float(now[same[: len(now)]].min() - now.min())
    found = []
    for rows in ROWS:
        to_come = _to_come(costs, np.where(measured, _learnt(world, rows), 0.0))
        for at, name in enumerate(names):
            if name in question.hopeful:
                to_come[np.logical_not(_passes(question, name, rows)), at] = np.inf
        # What knowing more saves beyond picking the best of the same family.
        worth = to_come[:, same].min(axis=1).mean() - to_come.min(axis=1).mean() - ahead
        years = economics.horizon_months / 12
        found.append(Measurement("label more test rows", rows, rows * price, max(float(worth), 0.0) * years, "label"))
    return found


def _pilots(question: Question) -> list[Measurement]:
    """Try out an option that has not been tried."""
    world, rows = question.world, len(question.evidence)
    names = list(question.allowed)
    found = []
    for at, name in enumerate(names):
        option = world.options[name]
        if option.belief is None:
            continue
        learnt = np.zeros(len(names))
        learnt[at] = (rows / (option.belief.mass + rows)) ** 0.5
        costs = expected_costs(world, names)
        worth = float(costs.mean(axis=0).min() - _to_come(costs, learnt).min(axis=1).mean())
        own = option.costs.pilot_usd
        price = mean_of(own) if own is not None else float(option.draws.setup_usd.mean())
        years = question.economics.horizon_months / 12
        found.append(Measurement(f"try out {name} on the same rows", 1, price, worth * years, "pilot", name))
    return found


def _studies(question: Question) -> list[Measurement]:
    """Find out more about an amount that is uncertain today."""
    prices = question.economics.prices
    price = mean_of(prices.study_hours) * mean_of(prices.person_hour_usd)
    known, years = (1 - LEAVES**2) ** 0.5, question.economics.horizon_months / 12
    return [
        Measurement(f"find out {line.name}", 1, price, line.worth(known) * years, "study", line.name)
        for line in question.lines
        if not line.name.endswith(NOT_STUDIED) and not line.name.startswith("prices.")
    ]


def _towards_the_gate(question: Question) -> Measurement | None:
    """Where no option passes but one might: the fewest rows that let it pass with even odds, else the most."""
    price, best = _row_price(question), None
    for rows in ROWS:
        chance = max((float(_passes(question, name, rows).mean()) for name in question.hopeful), default=0.0)
        if chance > 0.01 and (best is None or chance > (best.chance or 0) + 0.02):
            best = Measurement("label more test rows", rows, rows * price, None, "label", chance=chance)
        if chance >= 0.5:
            break
    return best


def _row_price(question: Question) -> float:
    """One row more: its label, and every measured option's answer to it."""
    prices = question.economics.prices
    answers = [o.draws.item_usd.mean() for o in question.world.options.values() if o.column is not None]
    return mean_of(prices.label_usd) * prices.annotators + float(sum(answers))


def _learnt(world: World, rows: int) -> float:
    """Share of today's spread that the posterior mean will have moved by."""
    units = rows / world.table.rows_per_unit
    return float((units / (world.table.mass + units)) ** 0.5)


def _to_come(costs: Draws, learnt: Draws) -> Draws:
    mean = costs.mean(axis=0)
    return np.asarray(mean + learnt * (costs - mean))


def _passes(question: Question, name: str, rows: int) -> NDArray[np.bool_]:
    """[draws] will the option pass `min_metric` with so many rows more?"""
    world, gates = question.world, question.gates
    values = metric_draws(question.evidence, world, world.options[name])
    learnt = _learnt(world, rows)
    mean, sd = values.mean(), max(float(values.std()) * (1 - learnt**2) ** 0.5, 1e-9)
    sure = ndtr((mean + learnt * (values - mean) - (gates.min_metric or 0.0)) / sd)
    passed = np.asarray(sure >= gates.gate_confidence)
    return np.resize(passed, world.shared.items_per_year.shape)
