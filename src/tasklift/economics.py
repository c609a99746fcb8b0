"""What answers, errors and people cost, and the limits a choice must pass: the file `economics.toml`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from tasklift.schema import Schema


class Quantity(Schema):
    """A number with its uncertainty: three percentiles, equal where it is known exactly."""

    p10: float = Field(ge=0, allow_inf_nan=False)
    p50: float = Field(ge=0, allow_inf_nan=False)
    p90: float = Field(ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _ordered(self) -> Quantity:
        if not self.p10 <= self.p50 <= self.p90:
            raise ValueError(f"percentiles must rise: p10={self.p10}, p50={self.p50}, p90={self.p90}")
        return self


def _plain_number(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"p10": value, "p50": value, "p90": value}
    return value


Amount = Annotated[Quantity, BeforeValidator(_plain_number)]


def exactly(value: float) -> Quantity:
    """A quantity without uncertainty."""
    return Quantity(p10=value, p50=value, p90=value)


class CapacityStep(Schema):
    """Standing capacity up to a volume."""

    up_to_items_per_month: float = Field(gt=0)
    usd_per_year: float = Field(ge=0)


class OptionCosts(Schema):
    """What one option costs, where the user knows better than the measurement.

    Attributes:
        setup_usd: one-off cost, spread over the horizon.
        upkeep_usd_per_year: yearly work that does not depend on rule changes.
        capacity_usd_per_year: standing machines, or `capacity` steps by volume.
        cost_per_change_usd: adapting the option to one change of the rules.
        item_usd: inference cost of one item; overrides the measured quantities.
        review_share: share of items that a person reviews, beside those it defers.
        accuracy: only for `human`: share of right answers.
    """

    setup_usd: Amount | None = None
    upkeep_usd_per_year: Amount = exactly(0)
    capacity_usd_per_year: Amount = exactly(0)
    capacity: tuple[CapacityStep, ...] = ()
    cost_per_change_usd: Amount = exactly(0)
    item_usd: Amount | None = None
    review_share: Amount = exactly(0)
    accuracy: float | None = Field(default=None, ge=0, le=1)


class UnitPrices(Schema):
    """Prices of the quantities that set-up and predictions use.

    Defaults are round figures for a small company, each a thing to replace by one's own.
    """

    label_usd: Amount = exactly(0.25)
    person_hour_usd: Amount = exactly(60)
    cpu_hour_usd: Amount = exactly(0.05)
    gpu_hour_usd: Amount = exactly(2.0)


class Gates(Schema):
    """Limits that an option must pass before its cost matters."""

    min_metric: float | None = Field(default=None, ge=0, le=1)
    gate_confidence: float = Field(default=0.9, gt=0, lt=1)
    max_p95_latency_s: float | None = Field(default=None, gt=0)
    min_valid_outputs: float | None = Field(default=None, ge=0, le=1)
    data_leaves_machine: bool = True
    deterministic: bool = False


class Economics(Schema):
    """Full-life economics of a task.

    Attributes:
        currency: only USD today.
        horizon_months: how long set-up cost is spread.
        items_per_month: volume.
        error_usd: one wrong answer that nobody caught.
        review_usd: one review by a person.
        reviewer_accuracy: share of wrong answers that a review catches, and the accuracy declared
            for deferred rows.
        changes_per_year: how often the rules change.
        margin: how much less accurate still counts as "no worse" (share of items).
        prices: prices of the measured quantities.
        options: what is known about single options, by family (`prompt`, `finetune`, ...).
        gates: limits that replace the task's own.
    """

    currency: Literal["USD"] = "USD"
    horizon_months: float = Field(default=12, gt=0)
    items_per_month: Amount
    error_usd: Amount = exactly(0)
    error_usd_by_label: dict[str, Amount] = Field(default_factory=dict)
    error_usd_by_slice: dict[str, Amount] = Field(default_factory=dict)
    review_usd: Amount = exactly(0)
    reviewer_accuracy: float = Field(default=0.97, ge=0, le=1)
    changes_per_year: Amount = exactly(0)
    margin: float = Field(default=0.02, ge=0, lt=1)
    prices: UnitPrices = UnitPrices()
    options: dict[str, OptionCosts] = Field(default_factory=dict)
    gates: Gates | None = None
