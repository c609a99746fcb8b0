"""What changed between two decisions of one question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasklift.economics import OptionCosts

#: Expected costs that differ by less than this share are draws of the same figure.
SAME_SHARE = 0.005


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Old and new value of everything that is not the same, by kind.

    Args:
        old: a stored record.
        new: the later one.

    Returns:
        choice, evidence, economics, prices, assumptions, options: name -> [old, new]; empty where nothing changed.
    """
    before, after = old["record"], new["record"]
    costs = {name: _cost(old, name) for name in old["options"]}, {name: _cost(new, name) for name in new["options"]}
    found = {
        "choice": _pairs({"choice": old["choice"]}, {"choice": new["choice"]}),
        "evidence": _pairs(before["evidence"]["hashes"], after["evidence"]["hashes"]),
        "economics": _given(_pairs(_flat(before["economics"]), _flat(after["economics"]))),
        "gates": _pairs(_flat(before["gates"]), _flat(after["gates"])),
        "prices": _pairs(_flat(_amounts(before["prices"])), _flat(_amounts(after["prices"]))),
        "options": {name: pair for name, pair in _pairs(*costs).items() if _moved(*pair)},
    }
    return {kind: pairs for kind, pairs in found.items() if pairs}


def lines_of(found: Mapping[str, Any]) -> list[str]:
    """The same for a reader."""
    if not found:
        return ["Nothing changed."]
    lines = []
    for kind, pairs in found.items():
        for name, (old, new) in pairs.items():
            what = {"choice": "the choice", "options": f"{name}, USD a year"}.get(kind, f"{kind}: {name}")
            lines.append(f"  {what}: {_shown(old)} -> {_shown(new)}")
    if "choice" not in found:
        lines.append("  The choice is the same.")
    return lines


def _cost(row: Mapping[str, Any], name: str) -> float | None:
    cost: float | None = row["options"][name]["expected_usd_per_year"]
    return cost


def _pairs(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {
        name: [old.get(name), new.get(name)] for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)
    }


def _given(pairs: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Without the defaults of an option that is only on one side: nobody gave them."""
    defaults = _flat(OptionCosts().model_dump(mode="json"))

    def by_default(name: str, pair: list[Any]) -> bool:
        key = next((key for key in defaults if name.startswith("options.") and name.endswith(f".{key}")), None)
        told = [value for value in pair if value is not None]
        return key is not None and len(told) == 1 and told[0] == defaults[key]

    return {name: pair for name, pair in pairs.items() if not by_default(name, pair)}


def _moved(old: float | None, new: float | None) -> bool:
    if old is None or new is None:
        return old is not new
    return abs(new - old) > SAME_SHARE * max(abs(old), abs(new))


def _amounts(prices: Mapping[str, Any]) -> dict[str, Any]:
    return {
        model: price and {key: value for key, value in price.items() if key.endswith("_usd")}
        for model, price in prices.items()
    }


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Nested keys joined by dots; a quantity is one value, and a number where it is certain."""
    if isinstance(value, Mapping):
        if set(value) == {"p10", "p50", "p90"}:
            return {name: value["p50"] if value["p10"] == value["p90"] else value}
        return {
            key: v
            for part, inner in value.items()
            for key, v in _flat(inner, f"{name}.{part}" if name else part).items()
        }
    return {name: value}


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, Mapping) and "p50" in value:
        return f"{_shown(value['p50'])} ({_shown(value['p10'])} to {_shown(value['p90'])})"
    if isinstance(value, list):
        return ", ".join(" ".join(f"{k}={_shown(v)}" for k, v in part.items()) for part in value) or "none"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"
