"""How far ahead the leading option is, at both ends of each uncertain assumption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from tasklift.measure.report.plots import NARROW, cut
from tasklift.measure.report.svg import Scale, line, marker, short, svg, text

#: Letters of an assumption's name, and pixels that they need, beside a wide chart.
_LETTERS, _MARGIN = 30, 214
_FIGURES = 150


def tornado(rows: Sequence[Mapping[str, Any]], leading: str, family: str, width: int) -> Markup:
    """One bar an assumption, from its P10 (hollow) to its P90 (filled); left of the line another option leads.

    Args:
        rows: of `hinges_of`, the widest first.
        family: of the leading option.
    """
    phone = width <= NARROW
    step, top = (40, 26) if phone else (28, 28)
    left, right = (8, width - 8) if phone else (_MARGIN, width - _FIGURES)
    bottom = top + step * len(rows)
    ends = [end["ahead_usd"] for row in rows for end in row["ends"]] + [0.0]
    spare = 0.03 * (max(ends) - min(ends) or 1.0)
    across = Scale(min(ends) - spare, max(ends) + spare, left, right)
    parts = []
    for value in across.ticks(4 if phone else 6):
        parts += [line(across(value), top - 2, across(value), bottom, "grid")]
        parts += [text(across(value), bottom + 15, _money(value), "tick", "middle")]
    parts += [line(across(0), top - 10, across(0), bottom, "now"), *_sides(across, leading, top - 14)]
    for i, row in enumerate(rows):
        y = top + step * i + (28 if phone else step / 2)
        words, (low, high) = (y - 13 if phone else y + 4), row["ends"]
        parts.append(text(4 if phone else 0, words, cut(row["said"], _LETTERS), "label"))
        parts.append(text(width, words, f"{low['value']} to {high['value']}", "figure", "end"))
        parts += _bar(across, y, (low, high), family)
    title = f"How far ahead {leading} is, in USD a year, at the P10 and the P90 of each uncertain assumption"
    return svg(width, bottom + 22, title, *parts, kind="tornado")


def _bar(across: Scale, y: float, ends: tuple[Mapping[str, Any], Mapping[str, Any]], family: str) -> list[Markup]:
    """Ahead in the colour of the leading option; behind in that of the one that leads there."""
    low, high = sorted(end["ahead_usd"] for end in ends)
    parts = []
    if high > 0:
        parts.append(line(across(max(low, 0.0)), y, across(high), y, f"bar s-{family}"))
    if low < 0:
        behind = min(ends, key=lambda end: float(end["ahead_usd"]))
        parts.append(line(across(low), y, across(min(high, 0.0)), y, f"bar s-{behind['family']}"))
    hollow = (True, False)
    return parts + [
        marker(across(end["ahead_usd"]), y, end["family"], hollow=is_low)
        for end, is_low in zip(ends, hollow, strict=True)
    ]


def _sides(across: Scale, leading: str, y: float) -> list[Markup]:
    """Which side is which, where there is room for it."""
    zero, said = across(0), cut(leading, 16)
    parts = []
    if across.end - zero > 90:
        parts.append(text(zero + 6, y + 4, f"{said} is ahead", "note"))
    if zero - across.start > 60:
        parts.append(text(zero - 6, y + 4, "behind", "note", "end"))
    return parts


def _money(value: float) -> str:
    return "0" if value == 0 else f"{'−' if value < 0 else ''}${short(abs(value))}"
