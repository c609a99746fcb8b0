"""The charts, each drawn for a wide page or a phone: `width` decides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from markupsafe import Markup

from tasklift.measure.report.svg import DASHES, Scale, decades, line, marker, path, short, svg, tag, text

#: Pixels that the page gives a chart: on a desk, and on a phone 375 pixels wide.
WIDE, NARROW = 840, 335
_PHONE = 500
#: More points of a curve than these make a file larger and a line no finer.
_DRAWN = 400


@dataclass(frozen=True)
class Whisker:
    """One row of an interval chart.

    Attributes:
        name: what it is.
        family: decides colour and shape.
        value: estimate; None where there is none.
        low: lower bound.
        high: upper bound.
        figures: the same in words.
        second: a second estimate without interval, drawn hollow.
    """

    name: str
    family: str
    value: float | None
    low: float
    high: float
    figures: str
    second: float | None = None


@dataclass(frozen=True)
class Mark:
    """A vertical line across an interval chart."""

    value: float
    name: str


def intervals(
    rows: Sequence[Whisker],
    title: str,
    width: int,
    marks: Sequence[Mark] = (),
    unit: Literal["%", "points", "usd"] = "%",
    domain: tuple[float, float] | None = None,
) -> Markup:
    """A forest plot: an estimate and its interval a row, with figures beside (on a phone: above) each.

    Money is drawn by powers of ten.

    Args:
        domain: values at both ends; None: what the rows need.
    """
    phone = width < _PHONE
    step, top = (38, 20) if phone else (28, 22)
    left, right = (4, width - 8) if phone else (margin_of(row.name for row in rows), width - 168)
    scale = Scale(*domain, left, right) if domain else _interval_scale(rows, marks, left, right, unit == "usd")
    bottom = top + step * len(rows)
    parts = []
    for value in scale.ticks(4 if phone else 6):
        parts += [line(scale(value), top - 2, scale(value), bottom, "grid")]
        told = _tick(value, unit)
        parts += [text(_inside(scale(value), told, width), bottom + 15, told, "tick", "middle")]
    for mark in marks:
        x = scale(mark.value)
        side = "end" if x > (left + right) / 2 else "start"
        parts += [line(x, top - 6, x, bottom, "mark"), text(x, top - 9, mark.name, "note", side)]
    for i, row in enumerate(rows):
        y = top + step * i + (27 if phone else step / 2)
        words = y - 14 if phone else y + 4
        parts.append(text(left if phone else 0, words, cut(row.name), f"name t-{row.family}"))
        parts.append(text(width - 4 if phone else width, words, row.figures, "figure", "end"))
        if row.second is not None:
            parts.append(marker(scale(row.second), y, row.family, hollow=True))
        if row.value is not None:
            parts.append(line(scale(row.low), y, scale(row.high), y, f"whisker s-{row.family}"))
            parts.append(marker(scale(row.value), y, row.family))
    return svg(width, bottom + 22, title, *parts, kind="intervals")


def _inside(x: float, words: str, width: float) -> float:
    """Where words about x stay within the chart: at its ends they move in."""
    half = 3.8 * len(words)
    return min(max(x, half), width - half)


def margin_of(names: Iterable[str]) -> float:
    """Pixels that the longest of some names needs beside a chart."""
    return min(230.0, max(110.0, 24 + 8.0 * max((len(cut(name)) for name in names), default=0)))


def cut(name: str, most: int = 24) -> str:
    """A name that fits beside a chart; the tables have it in full."""
    return name if len(name) <= most else name[: most - 1] + "…"


def _interval_scale(rows: Sequence[Whisker], marks: Sequence[Mark], left: float, right: float, log: bool) -> Scale:
    ends = [end for row in rows if row.value is not None for end in (row.low, row.high)]
    ends += [row.second for row in rows if row.second is not None] + [mark.value for mark in marks]
    ends = ends or [0.0, 1.0]
    if log:
        return Scale(*decades(max(min(ends), 1e-9), max(*ends, 1e-8)), left, right, log=True)
    low, high = min(ends), max(ends)
    spare = 0.04 * (high - low or 1.0)
    return Scale(max(low - spare, 0.0) if low >= 0 else low - spare, high + spare, left, right)


def _tick(value: float, unit: str) -> str:
    if unit == "%":
        return f"{100 * value:.0f}%"
    if unit == "points":
        return f"{100 * value:+.0f}".replace("-", "−") if value else "0"
    return f"${short(value)}"


@dataclass(frozen=True)
class Curve:
    """Yearly cost of one option by monthly volume.

    Attributes:
        name: of the option.
        family: its family.
        points: (items a month, USD a year).
        band: (items a month, low, high); empty: no band is drawn.
        dash: pattern of the line.
    """

    name: str
    family: str
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float, float]] = ()
    dash: str = ""


@dataclass(frozen=True)
class Stretch:
    """Volumes at which one option is the cheapest: a piece of the strip below the curves."""

    name: str
    family: str
    low: float
    high: float


def cost(curves: Sequence[Curve], cheapest: Sequence[Stretch], now: float, title: str, width: int) -> Markup:
    """Yearly cost against volume, both by powers of ten; a strip below says which option is the cheapest where."""
    phone = width < _PHONE
    height, top, left = (330, 14, 44) if phone else (420, 14, 56)
    right, bottom = (width - 8, height - 64) if phone else (width - margin_of(c.name for c in curves), height - 64)
    xs = [x for curve in curves for x, _ in curve.points]
    ys = [y for curve in curves for _, y in curve.points]
    across = Scale(min(xs), max(xs), left, right, log=True)
    up = Scale(0.8 * max(min(ys), 1.0), 1.25 * max(*ys, 10.0), bottom, top, log=True)
    parts = []
    for value in across.ticks(5 if phone else 8):
        x = across(value)
        parts += [line(x, top, x, bottom, "grid"), text(x, bottom + 40, short(value), "tick", "middle")]
    for value in up.ticks(6):
        y = up(value)
        parts += [line(left, y, right, y, "grid"), text(left - 6, y + 4, f"${short(value)}", "tick", "end")]
    parts.append(text((left + right) / 2, height - 6, "items a month", "note", "middle"))
    for curve in curves:
        if curve.band:
            there = [(across(x), up(low)) for x, low, _ in curve.band]
            back = [(across(x), up(high)) for x, _, high in reversed(curve.band)]
            parts.append(path(there + back, f"band b-{curve.family}", closed=True))
    for curve in curves:
        points = [(across(x), up(y)) for x, y in curve.points]
        parts.append(path(points, f"curve s-{curve.family}", curve.dash))
    parts += [line(across(now), top, across(now), bottom + 22, "now")]
    parts += _strip(cheapest, across, bottom + 8)
    parts += _crossings(curves, cheapest, across, up)
    if not phone:
        ends = [(up(curve.points[-1][1]) + 4, curve) for curve in curves]
        for y, curve in _apart(ends, 14, top + 4, bottom):
            parts.append(text(right + 8, y, cut(curve.name), f"name t-{curve.family}"))
    return svg(width, height, title, *parts, kind="cost")


def legend(curve: Curve) -> Markup:
    """A piece of an option's line, for a list of names."""
    drawn = path([(1, 6), (31, 6)], f"curve s-{curve.family}", curve.dash)
    return tag("svg", drawn, viewBox="0 0 32 12", width=32, height=12, aria_hidden="true")


def _strip(cheapest: Sequence[Stretch], across: Scale, y: float) -> list[Markup]:
    parts = []
    for piece in cheapest:
        x, end = across(piece.low), across(piece.high)
        wide = max(end - x - 1.5, 1.0)
        parts.append(tag("rect", x=x, y=y, width=wide, height=14.0, class_=f"strip f-{piece.family}"))
        if end - x > 7 * len(piece.name) + 6:
            parts.append(text((x + end) / 2, y + 11, piece.name, "on-strip", "middle"))
    return parts


def _crossings(curves: Sequence[Curve], cheapest: Sequence[Stretch], across: Scale, up: Scale) -> list[Markup]:
    """A ring where the cheapest option changes, with the volume above it."""
    parts = []
    points = {curve.name: curve.points for curve in curves}
    for piece in cheapest[1:]:
        x, y = across(piece.low), up(_between(points[piece.name], piece.low))
        parts.append(tag("circle", cx=x, cy=y, r=5.0, class_="ring"))
        side = "end" if x > (across.start + across.end) / 2 else "start"
        volume = f"{round_volume(piece.low):,.0f}"
        parts.append(text(x + (-9 if side == "end" else 9), y + 18, volume, "crossing", side))
    return parts


def round_volume(items: float) -> float:
    """Three significant digits."""
    return float(f"{items:.3g}")


def _between(points: Sequence[tuple[float, float]], x: float) -> float:
    before = max((p for p in points if p[0] <= x), default=points[0])
    after = min((p for p in points if p[0] >= x), default=points[-1])
    if before[0] == after[0]:
        return before[1]
    share = (x - before[0]) / (after[0] - before[0])
    return before[1] + share * (after[1] - before[1])


def _apart(ends: list[tuple[float, Curve]], gap: float, low: float, high: float) -> list[tuple[float, Curve]]:
    """Labels moved so that none covers another, from the bottom up, then back inside."""
    placed: list[tuple[float, Curve]] = []
    limit = high
    for y, curve in sorted(ends, key=lambda end: -end[0]):
        y = min(y, limit)
        placed.append((y, curve))
        limit = y - gap
    lift = max(0.0, low - placed[-1][0]) if placed else 0.0
    return [(y + lift, curve) for y, curve in placed]


def reliability(found: dict[str, Any], size: int = 176) -> Markup:
    """How often answers were right, by how sure the candidate was; bars below count the rows."""
    left, top, right, bottom, floor = 30, 6, size - 6, size - 40, size - 18
    across, up = Scale(0, 1, left, right), Scale(0, 1, bottom, top)
    parts = [line(left, bottom, right, top, "diagonal"), line(left, bottom, right, bottom, "axis")]
    for value in (0, 0.5, 1):
        parts += [text(across(value), size - 4, f"{value:g}", "tick", "middle")]
        parts += [text(left - 5, up(value) + 4, f"{value:g}", "tick", "end")]
        parts += [line(left, up(value), right, up(value), "grid")]
    most = max(b["rows"] for b in found["bins"])
    for b in found["bins"]:
        x = across(b["confidence"])
        high = (floor - bottom - 4) * b["rows"] / most
        start, end = across(b["from"]) + 0.5, across(b["to"]) - 0.5
        parts.append(tag("rect", x=start, y=floor - high, width=end - start, height=high, class_="count"))
        parts.append(line(x, up(b["right"]["low"]), x, up(b["right"]["high"]), f"whisker s-{found['family']}"))
        parts.append(marker(x, up(b["right"]["value"]), found["family"], size=3.6))
    title = f"{found['name']}: share of right answers by confidence; ECE {found['ece']:.3f}"
    return svg(size, size, title, *parts, kind="reliability")


def risk(found: dict[str, Any], width: int) -> Markup:
    """P(wrong | answered without a person) against the share of rows answered, with the chosen threshold."""
    phone = width < _PHONE
    height, left, top = (250 if phone else 320), 46, 14
    right, bottom = width - 12, height - 42
    points = [p for p in found["points"] if p["risk"]]
    points = points[:: max(1, len(points) // _DRAWN)] + points[-1:]
    certificate = found["certificate"]
    highest = max([*(p["risk"]["value"] for p in points), certificate["alpha"]]) * 1.25
    across, up = Scale(0, 1, left, right), Scale(0, min(1.0, max(highest, 0.02)), bottom, top)
    parts = []
    for value in across.ticks(5):
        parts += [line(across(value), top, across(value), bottom, "grid")]
        parts += [text(across(value), bottom + 16, f"{100 * value:.0f}%", "tick", "middle")]
    for value in up.ticks(5):
        parts += [line(left, up(value), right, up(value), "grid")]
        parts += [text(left - 6, up(value) + 4, f"{100 * value:g}%", "tick", "end")]
    there = [(across(p["coverage"]), up(p["risk"]["low"])) for p in points]
    back = [(across(p["coverage"]), up(p["risk"]["high"])) for p in reversed(points)]
    parts.append(path(there + back, "band b-layered", closed=True))
    parts.append(path([(across(p["coverage"]), up(p["risk"]["value"])) for p in points], "curve s-layered"))
    y = up(certificate["alpha"])
    parts += [line(left, y, right, y, "mark"), text(left + 6, y - 6, f"tolerated: {certificate['alpha']:.0%}", "note")]
    chosen = found["chosen"]
    if chosen and chosen["risk"]:
        x, y = across(chosen["coverage"]), up(chosen["risk"]["value"])
        parts += [line(x, up(chosen["risk"]["low"]), x, up(chosen["risk"]["high"]), "whisker s-layered")]
        parts += [marker(x, y, "layered", size=7), text(x - 10, y - 12, "certified threshold", "crossing", "end")]
    parts.append(text((left + right) / 2, height - 6, "rows answered without a person", "note", "middle"))
    title = f"{found['name']}: share of wrong answers among those given without a person, by share of rows answered"
    return svg(width, height, title, *parts, kind="risk")


def dash_of(names: Sequence[str], families: Sequence[str]) -> dict[str, str]:
    """A dash pattern for each option: the first of a family is drawn solid."""
    seen: dict[str, int] = {}
    found = {}
    for name, family in zip(names, families, strict=True):
        found[name] = DASHES[seen.get(family, 0) % len(DASHES)]
        seen[family] = seen.get(family, 0) + 1
    return found
