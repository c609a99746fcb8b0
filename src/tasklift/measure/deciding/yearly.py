"""The yearly cost of one option: the formula, for numbers and for draws alike.

TC = K/T + M + G(V) + V * (kappa + h * c_R + e * c_E), with h the share of items that a person sees,
and e the errors that remain after people looked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasklift.economics import CapacityStep
from tasklift.measure.deciding.quantities import Draws


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
        wrong: cost weight of wrong answers an item before anybody looks: the error rate where errors cost the same.
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

    def mean(self, name: str) -> float:
        """Mean of one part."""
        return float(getattr(self, name).mean())


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


def yearly(option: OptionDraws, shared: Shared) -> Parts:
    """The formula, over all draws at once."""
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


def capacity(steps: tuple[CapacityStep, ...], items_per_year: Draws) -> Draws:
    """[draws] yearly cost of the smallest step that carries the volume; the largest one beyond that."""
    ordered = sorted(steps, key=lambda step: step.up_to_items_per_month)
    limits = np.array([step.up_to_items_per_month for step in ordered])
    prices = np.array([step.usd_per_year for step in ordered])
    return prices[np.minimum(np.searchsorted(limits, items_per_year / 12), len(ordered) - 1)]
