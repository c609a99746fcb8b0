"""Do kept decisions still hold? Prices, shutdown dates, volume and the calendar against what was assumed."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasklift.llm.prices import TokenPrice
from tasklift.measure.records.ledger import Record

KINDS = ("input_usd", "cached_input_usd", "output_usd")


@dataclass(frozen=True)
class Today:
    """What is known today.

    Attributes:
        day: the date.
        prices: token prices by model.
        shutdowns: model -> day on which its endpoint says it ends; a model that is missing was not asked about.
        items_per_month: volume as it is now; None: not told.
    """

    day: datetime.date
    prices: Callable[[str], TokenPrice | None]
    shutdowns: Mapping[str, datetime.date] = field(default_factory=dict)
    items_per_month: float | None = None


def broken(record: Record, today: Today) -> list[str]:
    """Why the decision no longer holds; empty where it does."""
    validity = record.about["validity"]
    found = []
    if today.day > (until := datetime.date.fromisoformat(validity["until"])):
        found.append(f"it was valid until {until}")
    for model, kept in record.about["prices"].items():
        found += _price_reasons(model, kept, today.prices(model), validity["price_change"])
        found += _shutdown_reasons(model, record, today)
    found += _volume_reasons(validity["items_per_month"], today.items_per_month)
    return found


def models_of(records: Sequence[Record]) -> list[str]:
    """Hosted models that the records rest on."""
    return list(dict.fromkeys(model for record in records for model in record.about["prices"]))


def current(records: Sequence[Record]) -> list[Record]:
    """Those that no later one replaces."""
    replaced = {record.about["supersedes"] for record in records}
    return [record for record in records if record.id not in replaced]


def _price_reasons(model: str, kept: Mapping[str, Any] | None, now: TokenPrice | None, limit: float) -> list[str]:
    if now is None:
        return [f"{model}: its price is no longer known"] if kept else []
    if kept is None:
        return [
            f"{model}: its price was not known and now is ({now.input_usd:g} and {now.output_usd:g} USD per million)"
        ]
    moved = []
    for kind in KINDS:
        before, after = float(kept[kind]), float(getattr(now, kind))
        if abs(after - before) > limit * before:
            change = f"{(after - before) / before:+.0%}" if before else "from nothing"
            moved.append(f"{model}: {kind} went from {before:g} to {after:g} per million tokens ({change})")
    return moved


def _shutdown_reasons(model: str, record: Record, today: Today) -> list[str]:
    """An end within the horizon, counted from the day of the decision, that the economics did not know of."""
    end = today.shutdowns.get(model)
    if end is None:
        return []
    taken = datetime.datetime.fromisoformat(record.about["kept_at"]).date()
    horizon = taken + datetime.timedelta(days=round(30.44 * record.about["economics"]["horizon_months"]))
    known = {costs.get("end_of_life") for costs in record.about["economics"]["options"].values()}
    if end > horizon or end.isoformat() in known:
        return []
    return [f"{model}: shuts down on {end}, within the horizon (to {horizon})"]


def _volume_reasons(assumed: Mapping[str, float | None], now: float | None) -> list[str]:
    if now is None:
        return []
    low, high = assumed["low"] or 0.0, assumed["high"]
    if now < low or (high is not None and now > high):
        top = "any number" if high is None else f"{high:,.0f}"
        return [f"{now:,.0f} items a month: the choice was shown to hold from {low:,.0f} to {top}"]
    return []
