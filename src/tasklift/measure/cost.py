"""From quantities to money: prices are applied here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

from tasklift.economics import UnitPrices
from tasklift.llm.prices import price_of
from tasklift.prediction import Usage
from tasklift.strategy import Resources


@dataclass(frozen=True)
class ItemCost:
    """Inference cost of one item.

    Attributes:
        usd: cost.
        source: which prices it rests on.
    """

    usd: float
    source: str


def item_cost(total: Usage, items: int, prices: UnitPrices, model: str | None) -> ItemCost:
    """Mean inference cost of one item at the medians of `prices`.

    Args:
        total: quantities of all items together.
        items: how many items.
        model: name of the hosted model that was called; None where nothing hosted was.
    """
    machine = total.cpu_s / 3600 * prices.cpu_hour_usd.p50 + total.gpu_s / 3600 * prices.gpu_hour_usd.p50
    price = price_of(model) if model else None
    if price is None:
        source = "measured CPU seconds x cpu_hour_usd"
        if model:
            source += f"; no token price is known for {model!r}: set item_usd in the economics"
        return ItemCost(machine / items, source)
    fresh = total.input_tokens - total.cached_tokens
    tokens = (
        fresh * price.input_usd + total.cached_tokens * price.cached_input_usd + total.output_tokens * price.output_usd
    )
    return ItemCost((machine + tokens / 1e6) / items, f"measured tokens x {price.snapshot}")


def setup_cost(used: Resources, prices: UnitPrices) -> float:
    """One-off cost of making a candidate, at the medians of `prices` (USD)."""
    return (
        used.labels * prices.label_usd.p50
        + used.cpu_s / 3600 * prices.cpu_hour_usd.p50
        + used.gpu_s / 3600 * prices.gpu_hour_usd.p50
        + used.person_minutes / 60 * prices.person_hour_usd.p50
    )
