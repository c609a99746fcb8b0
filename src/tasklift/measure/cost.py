"""From quantities to money: prices are applied here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

from tasklift.economics import TokenPrices, UnitPrices
from tasklift.llm.prices import TokenPrice, price_of
from tasklift.measure.deciding.quantities import Draws, Sampler, mean_of
from tasklift.prediction import Usage
from tasklift.strategy import Resources


@dataclass(frozen=True)
class ItemCost:
    """Inference cost of one item.

    Attributes:
        usd: cost.
        source: which prices it rests on.
        missing: name of the model whose price is not known; '' where all is known.
    """

    usd: float
    source: str
    missing: str = ""


@dataclass(frozen=True)
class Serving:
    """How an option would be served, where that differs from how it was measured.

    Attributes:
        cached_share: share of prompt tokens from a prefix cache; None: as measured.
        batch_share: share of items at the batch price.
    """

    cached_share: float | None = None
    batch_share: float = 0.0


@dataclass(frozen=True)
class DrawnPrices:
    """[draws] of each unit price: the same draw for every option.

    Attributes:
        label_usd: one label by all annotators.
    """

    label_usd: Draws
    person_hour_usd: Draws
    cpu_hour_usd: Draws
    gpu_hour_usd: Draws
    training_usd_per_mtok: Draws

    @classmethod
    def of(cls, prices: UnitPrices, sampler: Sampler) -> DrawnPrices:
        """Draws of the unit prices."""
        drawn = {name: sampler.amount(f"prices.{name}", getattr(prices, name)) for name in cls.__dataclass_fields__}
        drawn["label_usd"] = drawn["label_usd"] * prices.annotators
        return cls(**drawn)


def drawn_setup(used: Resources, prices: DrawnPrices) -> Draws:
    """[draws] one-off cost of making a candidate (USD)."""
    return (
        used.labels * prices.label_usd
        + used.tokens / 1e6 * prices.training_usd_per_mtok
        + used.cpu_s / 3600 * prices.cpu_hour_usd
        + used.gpu_s / 3600 * prices.gpu_hour_usd
        + used.person_minutes / 60 * prices.person_hour_usd
    )


def setup_cost(used: Resources, prices: UnitPrices) -> float:
    """One-off cost of making a candidate, at the means of `prices` (USD)."""
    return float(drawn_setup(used, _means(prices))[0]) + asked_cost(used, prices).usd


def asked_cost(used: Resources, prices: UnitPrices) -> ItemCost:
    """What the hosted models cost that were asked while a candidate was made."""
    total, missing = 0.0, ""
    for model, tokens in used.asked.items():
        one = token_cost(Usage(**tokens), 1, prices, model, Serving())
        total, missing = total + one.usd, missing or one.missing
    return ItemCost(total, "tokens while it was made", missing)


def drawn_item(used: Usage, items: int, prices: DrawnPrices, tokens_usd: float) -> Draws:
    """[draws] mean inference cost of one item (USD).

    Args:
        used: quantities of all items together.
        tokens_usd: what one item's tokens cost.
    """
    machine = used.cpu_s / 3600 * prices.cpu_hour_usd + used.gpu_s / 3600 * prices.gpu_hour_usd
    return machine / items + tokens_usd


def item_cost(
    total: Usage, items: int, prices: UnitPrices, model: str | None, serving: Serving | None = None
) -> ItemCost:
    """Mean inference cost of one item at the means of `prices`.

    Args:
        total: quantities of all items together.
        items: how many items.
        model: name of the hosted model that was called; None where nothing hosted was.
    """
    tokens = token_cost(total, items, prices, model, serving or Serving())
    usd = float(drawn_item(total, items, _means(prices), tokens.usd)[0])
    return ItemCost(usd, tokens.source, tokens.missing)


def token_cost(total: Usage, items: int, prices: UnitPrices, model: str | None, serving: Serving) -> ItemCost:
    """What the tokens of one item cost; 0 where nothing hosted was called."""
    machine = "measured CPU seconds x cpu_hour_usd"
    if not model:
        return ItemCost(0.0, machine)
    price = token_price(model, prices)
    if price is None:
        asked = f"no token price is known for {model!r}: set item_usd, or [prices.tokens] of it, in the economics"
        return ItemCost(0.0, f"{machine}; {asked}", model)
    cached = total.cached_tokens if serving.cached_share is None else serving.cached_share * total.input_tokens
    tokens = (
        (total.input_tokens - cached) * price.input_usd
        + cached * price.cached_input_usd
        + total.output_tokens * price.output_usd
    )
    batched = 1 - serving.batch_share * (1 - prices.batch_factor)
    return ItemCost(batched * tokens / 1e6 / items, f"measured tokens x {price.snapshot}")


def token_price(model: str, prices: UnitPrices) -> TokenPrice | None:
    """Prices of a model's tokens: the user's own, else those of the table; None where neither knows it."""
    own: TokenPrices | None = prices.tokens.get(model) or prices.tokens.get(model.rpartition("#")[2])
    if own is None:
        return price_of(model)
    cached = own.input_usd if own.cached_input_usd is None else own.cached_input_usd
    return TokenPrice(own.input_usd, cached, own.output_usd, "prices.tokens")


def _means(prices: UnitPrices) -> DrawnPrices:
    values = {name: mean_of(getattr(prices, name)) for name in DrawnPrices.__dataclass_fields__}
    values["label_usd"] *= prices.annotators
    return DrawnPrices(**{name: Sampler(1).about(name, value, 0.0) for name, value in values.items()})
