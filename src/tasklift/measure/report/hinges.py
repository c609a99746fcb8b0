"""What the choice hinges on: pairs of options, uncertain assumptions, and what knowing them would be worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tasklift.measure.report import words

#: So many of the widest assumptions are drawn, and so many of those most worth knowing are listed.
DRAWN, KNOWN = 8, 5
#: What is worth less than this share of the first on the list is left out.
LEAST = 0.01


def pairs_of(decided: Mapping[str, Any]) -> list[dict[str, str]]:
    """The leading option against each other one: which is cheaper from what volume on, and when set-up is paid back."""
    best, rows = decided["leading"], []
    for other in words.passing(decided):
        first = _found(decided["break_even"], best, other)
        if first is None:
            continue
        back = _found(decided["payback"], best, other)
        rows.append(
            {
                "against": other,
                "cheaper": f"{first[0]} {words.break_even(first[1])}",
                "payback": f"{back[0]}: {words.payback(back[1])}" if back else "",
            }
        )
    return rows


def hinges_of(decided: Mapping[str, Any]) -> dict[str, Any]:
    """The tornado against the next best option, what single numbers are worth knowing, and what to measure next."""
    best = decided["leading"]
    rival = next((name for name in words.passing(decided) if name != best), None)
    able = [best, rival]
    able += [found[end] for found in decided["tornado"] for end in ("leads_at_p10", "leads_at_p90")]
    rows = [_row(decided, found) for found in decided["tornado"] if _of_one_of(found["parameter"], decided, able)]
    worth = [
        {"name": name, "said": words.parameter(name), "usd": usd}
        for name, usd in decided["evppi"].items()
        if _of_one_of(name, decided, able)
    ]
    least = max(1.0, LEAST * max((row["usd"] for row in worth), default=0.0))
    return {
        "leading": best,
        "rival": rival,
        "rows": rows[:DRAWN],
        "knowing": [row for row in worth if row["usd"] >= least][:KNOWN],
        "next": words.measure_next(decided["next_measurement"]),
    }


def _found(pairs: Mapping[str, Any], best: str, other: str) -> tuple[str, Any] | None:
    """The entry of two options, and which of them stands first in it."""
    for first, second in ((best, other), (other, best)):
        if f"{first} vs {second}" in pairs:
            return first, pairs[f"{first} vs {second}"]
    return None


def _of_one_of(parameter: str, decided: Mapping[str, Any], able: Sequence[str | None]) -> bool:
    """A parameter that all options share, or that of an option which may lead. What an option that may not is
    measured at says something of the others too, since all answered the same rows, but nobody would ask for it."""
    option = parameter.rpartition(".")[0]
    return option not in decided["options"] or option in able


def _row(decided: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    name = found["parameter"]
    return {
        "parameter": name,
        "said": words.parameter(name),
        "ends": [
            {
                "value": words.parameter_value(name, found[end]),
                "ahead_usd": found[f"ahead_at_{end}_usd"],
                "leads": found[f"leads_at_{end}"],
                "family": decided["options"][found[f"leads_at_{end}"]]["family"],
            }
            for end in ("p10", "p90")
        ],
    }
