"""The yearly cost of one option: the formula, for numbers and for draws alike.

TC = K/T + M + G + V * (kappa + h * c_R + e * c_E), with h the share of items that a person sees,
and e the errors that remain after people looked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtri

from tasklift.economics import CapacityStep, Economics, OptionCosts, Quantity, exactly
from tasklift.measure.cost import item_cost, setup_cost
from tasklift.measure.evaluation import CandidateResult
from tasklift.measure.metrics import right_of

Draws = NDArray[np.float64]
#: Standard normal distance between the 10th and the 50th percentile.
_Z90 = float(ndtri(0.9))


@dataclass(frozen=True)
class Option:
    """What the formula needs to know about one option.

    Attributes:
        name: candidate, or `human`.
        family: the choice it stands for.
        wrong: [rows] cost weight of an answered, wrong row (1 where errors cost the same), else 0.
        deferred: [rows] the same weight where a person answers, else 0.
        weight: [rows] that weight of every row.
        is_deferred: [rows] 1 where a person answers.
        costs: what the user knows about it.
        item: inference cost of an item (USD).
        setup: one-off cost (USD).
        sources: parameter -> given, measured or default.
    """

    name: str
    family: str
    wrong: Draws
    deferred: Draws
    is_deferred: Draws
    weight: Draws
    costs: OptionCosts
    item: Quantity
    setup: Quantity
    sources: Mapping[str, str]


@dataclass(frozen=True)
class World:
    """One draw, or many, of everything uncertain that all options share.

    Attributes:
        items_per_year: [draws].
        error_usd: [draws].
        review_usd: [draws].
        changes_per_year: [draws].
        weights: [draws, rows] each row sums to 1: how much each evaluated row stands for.
        horizon_years: spread of set-up cost.
        reviewer_accuracy: share of wrong answers that a person catches.
        unseen: [draws] weight of one row more that nobody has seen, right or wrong with even odds, so
            that a handful of rows that are all right is no certainty. It widens error rates; their
            mean stays what was measured, unless that is 0. None: no such row.
    """

    items_per_year: Draws
    error_usd: Draws
    review_usd: Draws
    changes_per_year: Draws
    weights: NDArray[np.float32]
    horizon_years: float
    reviewer_accuracy: float
    unseen: Draws | None = None

    @property
    def shared(self) -> Shared:
        """What the formula reads of it."""
        return Shared(
            self.items_per_year,
            self.error_usd,
            self.review_usd,
            self.changes_per_year,
            self.horizon_years,
            self.reviewer_accuracy,
        )


@dataclass(frozen=True)
class Shared:
    """What all options share, [draws] each.

    Attributes:
        items_per_year: volume.
        error_usd: one wrong answer that nobody caught.
        review_usd: one review by a person.
        changes_per_year: changes of the rules.
        horizon_years: set-up is spread over it.
        reviewer_accuracy: share of wrong answers that a review catches.
    """

    items_per_year: Draws
    error_usd: Draws
    review_usd: Draws
    changes_per_year: Draws
    horizon_years: float
    reviewer_accuracy: float


@dataclass(frozen=True)
class OptionDraws:
    """Everything about one option that the formula reads, [draws] each: a page can recompute it from these.

    Attributes:
        setup_usd: K, one-off.
        upkeep_usd_per_year: M without the changes.
        change_usd: adapting to one change of the rules.
        capacity_usd_per_year: G where it does not depend on volume.
        steps: G where it does; then the amount above is 0.
        item_usd: kappa.
        review_share: share of the answered items that a person reviews.
        wrong: cost weight of wrong answers an item before anybody looks: the error rate, where all
            errors cost the same.
        deferred: share of items that a person answers.
        given_away: cost weight of those.
        missed: share of those that the person gets wrong.
    """

    setup_usd: Draws
    upkeep_usd_per_year: Draws
    change_usd: Draws
    capacity_usd_per_year: Draws
    steps: tuple[CapacityStep, ...]
    item_usd: Draws
    review_share: Draws
    wrong: Draws
    deferred: Draws
    given_away: Draws
    missed: Draws

    @property
    def people_share(self) -> Draws:
        """h: items that a person answers or reviews."""
        return self.deferred + (1 - self.deferred) * self.review_share

    def error_rate(self, reviewer_accuracy: float) -> Draws:
        """e: errors that remain, in plain errors an item."""
        return self.wrong * (1 - self.review_share * reviewer_accuracy) + self.given_away * self.missed


@dataclass(frozen=True)
class Parts:
    """Yearly cost in two parts, [draws] each: what does not depend on volume, and what one item costs.

    Attributes:
        fixed: USD a year.
        unit: USD an item.
        steps: standing capacity by volume, on top.
    """

    fixed: Draws
    unit: Draws
    steps: tuple[CapacityStep, ...] = ()

    def total(self, items_per_year: Draws) -> Draws:
        """USD a year: [draws]."""
        standing = capacity(self.steps, items_per_year) if self.steps else 0.0
        return self.fixed + standing + items_per_year * self.unit


def option_of(result: CandidateResult, expected: list[object], weight: Draws, economics: Economics) -> Option:
    """An evaluated candidate as an option.

    Args:
        expected: the expected outputs, in row order.
        weight: [rows] cost of an error on this row relative to `error_usd`.
    """
    right = right_of(result.predictions, expected)
    away = np.isnan(right)
    family = result.card.family
    costs = economics.options.get(result.name, economics.options.get(family, OptionCosts()))
    hosted = result.card.parameters.get("model") if result.traits["remote"] else None
    measured = item_cost(result.scores.usage, result.scores.rows, economics.prices, str(hosted) if hosted else None)
    made = exactly(setup_cost(result.card.setup, economics.prices))
    sources = {
        "item_usd": "given" if costs.item_usd else f"measured ({measured.source})",
        "setup_usd": "given" if costs.setup_usd else f"measured ({result.card.setup.labels} labels x label_usd, CPU)",
    }
    wrong = np.where(away, 0.0, 1 - np.nan_to_num(right)) * weight
    return Option(
        result.name,
        family,
        wrong,
        away * weight,
        away.astype(float),
        weight,
        costs,
        costs.item_usd or exactly(measured.usd),
        costs.setup_usd or made,
        sources,
    )


def human_option(rows: int, weight: Draws, economics: Economics) -> Option:
    """A person answers everything."""
    costs = economics.options.get("human", OptionCosts())
    sources = {"item_usd": "none", "setup_usd": "given" if costs.setup_usd else "default"}
    return Option(
        "human",
        "human",
        np.zeros(rows),
        weight,
        np.ones(rows),
        weight,
        costs,
        costs.item_usd or exactly(0),
        costs.setup_usd or exactly(0),
        sources,
    )


def yearly(option: Option, world: World, rng: np.random.Generator) -> Parts:
    """The formula, over all draws at once."""
    return parts_of(drawn(option, world, rng), world.shared)


def parts_of(option: OptionDraws, shared: Shared) -> Parts:
    """The formula where everything is drawn already."""
    fixed = (
        option.setup_usd / shared.horizon_years
        + option.upkeep_usd_per_year
        + shared.changes_per_year * option.change_usd
        + option.capacity_usd_per_year
    )
    unit = (
        option.item_usd
        + option.people_share * shared.review_usd
        + option.error_rate(shared.reviewer_accuracy) * shared.error_usd
    )
    return Parts(fixed, unit, option.steps)


def drawn(option: Option, world: World, rng: np.random.Generator) -> OptionDraws:
    """Everything about one option, over all draws at once."""
    draws = len(world.items_per_year)
    costs = option.costs
    setup, upkeep, change = (
        draw(q, draws, rng) for q in (option.setup, costs.upkeep_usd_per_year, costs.cost_per_change_usd)
    )
    standing = np.zeros(draws) if costs.capacity else draw(costs.capacity_usd_per_year, draws, rng)
    reviewed = draw_share(costs.review_share, draws, rng)
    rates = world.weights @ np.stack([option.wrong, option.deferred, option.is_deferred], axis=1).astype(np.float32)
    wrong, given_away, deferred = (rates[:, i].astype(np.float64) for i in range(3))
    if world.unseen is not None:
        at_worst = (1 - deferred) * float(np.mean(option.weight))
        wider = np.maximum(0.0, wrong + world.unseen * (rng.integers(0, 2, draws) - 0.5) * at_worst)
        wrong = wider * (wrong.mean() / wider.mean()) if wrong.mean() > 0 else wider
    declared = costs.accuracy if option.family == "human" else None
    missed = np.full(draws, 1 - (world.reviewer_accuracy if declared is None else declared))
    item = draw(option.item, draws, rng)
    return OptionDraws(
        setup, upkeep, change, standing, costs.capacity, item, reviewed, wrong, deferred, given_away, missed
    )


def draw(quantity: Quantity, draws: int, rng: np.random.Generator) -> Draws:
    """[draws] lognormal values with the given percentiles (each side has its own width); a constant stays one."""
    if quantity.p10 == quantity.p90:
        return np.full(draws, quantity.p50)
    z = rng.standard_normal(draws)
    if quantity.p50 == 0:  # nothing to multiply: the upper half of a normal
        return np.asarray(quantity.p90 / _Z90 * np.maximum(z, 0))
    low, mid, high = (max(value, 1e-12) for value in (quantity.p10, quantity.p50, quantity.p90))
    down, up = math.log(mid / low) / _Z90, math.log(high / mid) / _Z90
    width = np.where(z < 0, down, up)
    return np.asarray(mid * np.exp(width * z))


def draw_share(quantity: Quantity, draws: int, rng: np.random.Generator) -> Draws:
    """[draws] logit-normal values with the given percentiles: always between 0 and 1, as a share is."""
    if quantity.p10 == quantity.p90:
        return np.full(draws, quantity.p50)
    z = rng.standard_normal(draws)
    low, mid, high = logit(np.clip([quantity.p10, quantity.p50, quantity.p90], 1e-6, 1 - 1e-6))
    return np.asarray(expit(mid + z / _Z90 * np.where(z < 0, mid - low, high - mid)))


def capacity(steps: tuple[CapacityStep, ...], items_per_year: Draws) -> Draws:
    """[draws] yearly cost of the smallest step that carries the volume; the largest one beyond that."""
    ordered = sorted(steps, key=lambda step: step.up_to_items_per_month)
    limits = np.array([step.up_to_items_per_month for step in ordered])
    prices = np.array([step.usd_per_year for step in ordered])
    return prices[np.minimum(np.searchsorted(limits, items_per_year / 12), len(ordered) - 1)]
