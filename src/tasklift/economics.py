"""What answers, errors and people cost, and the limits a choice must pass: the file `economics.toml`."""

from __future__ import annotations

import datetime
import json
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, model_validator

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

    @property
    def known(self) -> bool:
        """No uncertainty."""
        return self.p10 == self.p90


def _plain_number(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value < 0:
            raise ValueError("must not be negative")
        return {"p10": value, "p50": value, "p90": value}
    return value


def _at_most_one(value: Quantity) -> Quantity:
    if value.p90 > 1:
        raise ValueError(f"a share lies between 0 and 1, not {value.p90:g}")
    return value


def _not_zero(value: Quantity) -> Quantity:
    if value.p50 <= 0:
        raise ValueError("without items there is nothing to decide; give the volume you expect")
    return value


#: Money or a count, drawn as a lognormal.
Amount = Annotated[Quantity, BeforeValidator(_plain_number)]
#: 0 to 1, drawn as a Beta.
Share = Annotated[Quantity, BeforeValidator(_plain_number), AfterValidator(_at_most_one)]
Volume = Annotated[Quantity, BeforeValidator(_plain_number), AfterValidator(_not_zero)]


def exactly(value: float) -> Quantity:
    """A quantity without uncertainty."""
    return Quantity(p10=value, p50=value, p90=value)


def option_key(name: str, key: str) -> str:
    """How economics.toml calls an amount of an option, quoted where TOML wants it."""
    plain = re.fullmatch(r"[A-Za-z0-9_-]+", name) is not None
    return f"options.{name if plain else json.dumps(name, ensure_ascii=False)}.{key}"


def _in_usd(value: object) -> object:
    if value != "USD":
        raise ValueError("amounts must be in USD; convert them first")
    return value


def _some_months(value: float) -> float:
    if value <= 0:
        raise ValueError("set-up is spread over this, so it must be more than 0 months")
    return value


class CapacityStep(Schema):
    """Standing capacity up to a volume."""

    up_to_items_per_month: float = Field(gt=0)
    usd_per_year: float = Field(ge=0)


class OptionCosts(Schema):
    """What one option costs, where the user knows better than the measurement.

    Attributes:
        family: of an option whose name does not tell it.
        setup_usd: one-off cost, spread over the horizon.
        upkeep_usd_per_year: yearly work that does not depend on rule changes.
        capacity_usd_per_year: standing machines, or `capacity` steps by volume.
        cost_per_change_usd: adapting the option to one change of the rules; where it is not given,
            `labels_per_change`, `hours_per_change` and the measured cost of making it once more.
        item_usd: inference cost of one item; overrides the measured quantities.
        cached_share: share of prompt tokens that a prefix cache serves; overrides what was measured.
        batch_share: share of items that can wait and run at the batch price.
        review_share: share of items that a person reviews, beside those it defers.
        accuracy: share of right answers of an option without rows: people, or one that is not built yet.
        planned_labels: labels it would be made with, read off its learning curve where it has not been tried in full.
        pilot_usd: what trying it out costs; where it is not given, the whole set-up.
        end_of_life: day on which its vendor shuts it down.
        migration_usd: moving to a successor; without it, an end of life within the horizon rules the option out.
        data_leaves_machine: for an option that was measured elsewhere, what the gate of that name asks.
        deterministic: the same.
    """

    family: str | None = None
    setup_usd: Amount | None = None
    upkeep_usd_per_year: Amount = exactly(0)
    capacity_usd_per_year: Amount = exactly(0)
    capacity: tuple[CapacityStep, ...] = ()
    cost_per_change_usd: Amount | None = None
    labels_per_change: Amount = exactly(0)
    hours_per_change: Amount = exactly(0)
    item_usd: Amount | None = None
    cached_share: float | None = Field(default=None, ge=0, le=1)
    batch_share: float = Field(default=0, ge=0, le=1)
    review_share: Share = exactly(0)
    accuracy: Share | None = None
    planned_labels: int | None = Field(default=None, gt=0)
    pilot_usd: Amount | None = None
    end_of_life: datetime.date | None = None
    migration_usd: Amount | None = None
    data_leaves_machine: bool | None = None
    deterministic: bool | None = None


class TokenPrices(Schema):
    """Tokens of one model, USD per million; cached ones cost as much as others where it is not given."""

    input_usd: float = Field(ge=0, allow_inf_nan=False)
    output_usd: float = Field(ge=0, allow_inf_nan=False)
    cached_input_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)


class UnitPrices(Schema):
    """Prices of the quantities that set-up and predictions use.

    Defaults are round figures for a small company, each a thing to replace by one's own.

    Attributes:
        label_usd: one label by one annotator.
        annotators: how many label each row.
        training_usd_per_mtok: training tokens, where a vendor trains; one's own machine is paid by the hour.
        batch_factor: what a batched token costs of a prompt one's price.
        study_hours: finding out more about one uncertain amount: a quote, a count.
        tokens: model -> prices, where the table that ships with Tasklift does not know them.
    """

    label_usd: Amount = exactly(0.25)
    annotators: int = Field(default=1, ge=1)
    person_hour_usd: Amount = exactly(60)
    cpu_hour_usd: Amount = exactly(0.05)
    gpu_hour_usd: Amount = exactly(2.0)
    training_usd_per_mtok: Amount = exactly(0)
    batch_factor: float = Field(default=0.5, ge=0, le=1)
    study_hours: Amount = exactly(8)
    tokens: dict[str, TokenPrices] = Field(default_factory=dict)


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
        item_value_usd: what an item is worth when it is handled; then doing nothing is an option.
        margin: how much less accurate still counts as "no worse" (share of items).
        margin_by_slice: the same for single slices.
        margin_by_metric: the same for further metrics, which are asked about only where they stand here.
        prices: prices of the measured quantities.
        options: what is known about single options, by name or by family (`prompt`, `finetune`, ...).
        gates: limits that replace the task's own.
    """

    currency: Annotated[Literal["USD"], BeforeValidator(_in_usd)] = "USD"
    horizon_months: Annotated[float, AfterValidator(_some_months)] = Field(default=12, allow_inf_nan=False)
    items_per_month: Volume
    error_usd: Amount = exactly(0)
    error_usd_by_label: dict[str, Amount] = Field(default_factory=dict)
    error_usd_by_slice: dict[str, Amount] = Field(default_factory=dict)
    review_usd: Amount = exactly(0)
    reviewer_accuracy: float = Field(default=0.97, ge=0, le=1)
    changes_per_year: Amount = exactly(0)
    item_value_usd: Amount | None = None
    margin: float = Field(default=0.02, ge=0, lt=1)
    margin_by_slice: dict[str, float] = Field(default_factory=dict)
    margin_by_metric: dict[Literal["macro_f1", "valid_outputs"], Annotated[float, Field(ge=0, lt=1)]] = Field(
        default_factory=dict
    )
    prices: UnitPrices = UnitPrices()
    options: dict[str, OptionCosts] = Field(default_factory=dict)
    gates: Gates | None = None
    _counted: str = PrivateAttr(default="")

    @property
    def counted(self) -> str:
        """Where `changes_per_year` was counted, in words; '' where it was given or left at its default."""
        return self._counted

    def with_counted_changes(self, per_year: float, where: str) -> Economics:
        """The same with a rate of change that was counted; the user's own stays."""
        if "changes_per_year" in self.model_fields_set:
            return self
        found = self.model_copy(update={"changes_per_year": exactly(per_year)})
        found._counted = where
        return found
