"""A stored decision as a page for people, in Markdown. Everything on it stands in the record's JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def page_of(row: Mapping[str, Any], reopened: Sequence[Mapping[str, Any]]) -> str:
    """The page.

    Args:
        row: the record as JSON.
        reopened: notes on why it no longer holds.
    """
    about = row["record"]
    lines = [f"# Decision {row['id']}: {row['choice']}", ""]
    for note in reopened:
        lines += [f"**Reopened {note['at']}**: {'; '.join(note['reasons'])}", ""]
    lines += [about["question"], "", f"Taken {about['kept_at']}, valid until {about['validity']['until']}."]
    if about["supersedes"]:
        lines.append(f"It replaces {about['supersedes']}.")
    lines += ["", "## Reasons", "", *_bullets(row["reasons"])]
    if row.get("cautions"):
        lines += ["", "## Cautions", "", *_bullets(row["cautions"])]
    lines += ["", "## Options", "", *_options(row["options"])]
    lines += ["", "## Break-even", "", *_break_even(row["break_even"])]
    lines += ["", "## What flips it", "", *_flips(row["flips"])]
    if row.get("next_measurement"):
        more = row["next_measurement"]
        lines += ["", "## Measure next", "", f"{more['what']}: {more['how_many']} for {more['price_usd']:,.0f} USD"]
    lines += ["", "## Evidence", "", f"{about['evidence']['source']}", "", *_hashes(about["evidence"]["hashes"])]
    lines += ["", "## Prices", "", *_prices(about["prices"])]
    lines += ["", "## Assumptions", "", *_assumptions(row["assumptions"])]
    lines += ["", "## Valid", "", *_validity(about["validity"])]
    return "\n".join(lines) + "\n"


def _bullets(texts: Iterable[str]) -> list[str]:
    return [f"- {text}" for text in texts] or ["- none"]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *body] if body else ["None."]


def _options(options: Mapping[str, Any]) -> list[str]:
    head = ("option", "family", "USD a year", "90% of draws", "P(best)", "accuracy", "answered", "gates")
    return _table(head, [_option(name, option) for name, option in options.items()])


def _option(name: str, option: Mapping[str, Any]) -> tuple[str, ...]:
    failed = [f"{gate}: {why}" for gate, why in option["gates"].items() if why != "passed"]
    accuracy = option["accuracy"]
    return (
        name,
        option["family"],
        _usd(option["expected_usd_per_year"]),
        f"{_usd(option['p5_usd'])} to {_usd(option['p95_usd'])}",
        f"{option['p_best']:.2f}",
        f"{accuracy['value']:.1%} ({accuracy['low']:.1%} to {accuracy['high']:.1%})" if accuracy else "-",
        f"{option['coverage']:.0%}",
        "; ".join(failed) or "passed",
    )


def _usd(value: float | None) -> str:
    return "not known" if value is None else f"{value:,.0f}"


def _break_even(pairs: Mapping[str, Any]) -> list[str]:
    lines = []
    for pair, found in pairs.items():
        if not isinstance(found, Mapping):
            lines.append(f"- {pair}: {found}")
            continue
        high = "no bound" if found["high"] is None else f"{found['high']:,.0f}"
        low = found["low"] or 0
        lines.append(f"- {pair}: from {found['items_per_month']:,.0f} items a month on (90%: {low:,.0f} to {high})")
    return lines or ["- nothing to compare with"]


def _flips(flips: Mapping[str, Any]) -> list[str]:
    known = {name: value for name, value in flips.items() if value is not None}
    return [f"- {name} = {value:,.4g}" for name, value in known.items()] or ["- nothing within a factor of 1,000"]


def _hashes(hashes: Mapping[str, str]) -> list[str]:
    return _table(("what", "hash or version"), [(what, f"`{value}`") for what, value in hashes.items()])


def _prices(prices: Mapping[str, Any]) -> list[str]:
    rows = [
        (
            model,
            f"{p['input_usd']:g}",
            f"{p['cached_input_usd']:g}",
            f"{p['output_usd']:g}",
            f"{p['source']}, {p['day']}",
        )
        if p
        else (model, "not known", "not known", "not known", "-")
        for model, p in prices.items()
    ]
    if not rows:
        return ["No hosted model is asked."]
    return _table(("model", "input", "cached input", "output (USD per million tokens)", "source and day"), rows)


def _assumptions(assumptions: Mapping[str, Any]) -> list[str]:
    return _table(
        ("parameter", "value", "source"),
        [
            (name, _value(found["value"]), " ".join(filter(None, (found["source"], found.get("detail", "")))))
            for name, found in assumptions.items()
        ],
    )


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_value(part)}" for key, part in value.items() if isinstance(part, int | float))
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"


def _validity(validity: Mapping[str, Any]) -> list[str]:
    volume = validity["items_per_month"]
    high = "any" if volume["high"] is None else f"{volume['high']:,.0f}"
    return _bullets(
        [
            f"until {validity['until']}",
            f"from {volume['low']:,.0f} to {high} items a month",
            f"while no token price moves by more than {validity['price_change']:.0%}",
            validity["drift"],
            validity["deprecation"],
        ]
    )
