"""How many labels until it pays: one picture, as one self-contained SVG file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape

from tasklift.measure.curve.crossing import REACH, Crossing, Crossings, mean_line
from tasklift.measure.curve.points import Curve

WIDTH, HEIGHT = 760, 466
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 56, 110
COLOURS = ("#0b6e4f", "#b3541e", "#3a5a9b", "#8e3b8a", "#6b6b6b", "#a08c00")
DASHES = ("", "8 4", "2 4", "10 3 2 3", "5 5", "1 5")
#: Beyond the largest size measured the picture goes no further than this factor.
DRAWN_BEYOND = 2.0


def picture(curve: Curve, crossings: Sequence[Crossings]) -> str:
    """Accuracy against labels: points of each seed, means as lines, dotted where extended, both crossings as bars."""
    tables = {name: curve.table(name) for name in curve.strategies}
    sizes = [size for found, _ in tables.values() for size in found if size]
    low, high = float(min(sizes)), float(max(sizes)) * DRAWN_BEYOND
    values = [value for _, right in tables.values() for value in right.mean(axis=2).ravel()]
    floor = max(0.0, np.floor(10 * (min(values) - 0.03)) / 10)
    scale = _Scale(low, high, floor, min(1.0, np.ceil(20 * (max(values) + 0.02)) / 20))
    parts = [_axes(scale)]
    for place, (name, (known, right)) in enumerate(tables.items()):
        parts.append(_strategy(scale, name, place, known, right))
    shown = [one for one in crossings if one.average.labels is not None]
    for place, one in enumerate(shown[:2]):
        parts.append(_crossing(scale, one, place))
    title = f"{curve.task}: how many labels until tuning pays"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" font-family="system-ui, sans-serif" font-size="12"><title>{escape(title)}</title>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>'
        f'<text x="{LEFT}" y="22" font-size="15" font-weight="600" fill="#1a1a1a">{escape(title)}</text>'
        + "".join(parts)
        + "</svg>\n"
    )


class _Scale:
    """Labels (logarithmic) and accuracies to places in the picture."""

    def __init__(self, low: float, high: float, floor: float, ceiling: float) -> None:
        self.low, self.high, self.floor, self.ceiling = low, high, floor, ceiling

    def x(self, labels: float) -> float:
        share = np.log(max(labels, self.low) / self.low) / np.log(self.high / self.low)
        return float(LEFT + min(share, 1.0) * (WIDTH - LEFT - RIGHT))

    def y(self, accuracy: float) -> float:
        share = (accuracy - self.floor) / (self.ceiling - self.floor)
        return float(HEIGHT - BOTTOM - min(max(share, 0.0), 1.0) * (HEIGHT - TOP - BOTTOM))


def _axes(scale: _Scale) -> str:
    parts = []
    for step in np.arange(np.ceil(scale.floor * 20) / 20, scale.ceiling + 1e-9, 0.05 if _narrow(scale) else 0.1):
        y = scale.y(float(step))
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e3e3e3"/>')
        parts.append(_text(LEFT - 8, y + 4, f"{step:.0%}", "end"))
    for labels in _ticks(scale.low, scale.high):
        x = scale.x(labels)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#f0f0f0"/>')
        parts.append(_text(x, HEIGHT - BOTTOM + 16, f"{labels:,.0f}", "middle"))
    parts.append(
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 34, "labels (each label costs the same work)", "middle")
    )
    return "".join(parts)


def _narrow(scale: _Scale) -> bool:
    return scale.ceiling - scale.floor <= 0.45


def _ticks(low: float, high: float) -> list[float]:
    steps = [base * 10.0**power for power in range(0, 7) for base in (1, 2, 5)]
    return [step for step in steps if low * 0.999 <= step <= high]


def _strategy(scale: _Scale, name: str, place: int, sizes: list[int], right: np.ndarray) -> str:
    colour, dash = COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)]
    grid = np.geomspace(scale.low, scale.high, 90)
    means = mean_line(sizes, right, grid)
    last = max(sizes) or scale.high
    inside = [(scale.x(n), scale.y(v)) for n, v in zip(grid, means, strict=True) if n <= last * 1.001]
    beyond = [(scale.x(n), scale.y(v)) for n, v in zip(grid, means, strict=True) if n >= last * 0.98]
    parts = [_path(inside, colour, dash, 2.4), _path(beyond, colour, "1 4", 1.8)]
    by_seed = right.mean(axis=2)
    for size, values in zip(sizes, by_seed, strict=True):
        for value in values:
            x, y = scale.x(size or scale.low), scale.y(float(value))
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}" fill-opacity="0.55"/>')
    x = LEFT + place * 150
    parts.append(
        f'<line x1="{x}" x2="{x + 26}" y1="38" y2="38" stroke="{colour}" stroke-width="2.4" stroke-dasharray="{dash}"/>'
    )
    parts.append(_text(x + 32, 42, name))
    return "".join(parts)


def _crossing(scale: _Scale, found: Crossings, place: int) -> str:
    parts = []
    for row, (one, word) in enumerate(((found.average, "on average"), (found.sure, "surely"))):
        line = 2 * place + row
        parts.append(_bar(scale, one, HEIGHT - BOTTOM - 4 - 5 * line))
        parts.append(
            _text(LEFT, HEIGHT - BOTTOM + 54 + 13 * line, f"{found.tuned} over {found.prompted}, {word}: {told(one)}")
        )
    if found.average.labels is not None and found.average.labels <= scale.high:
        x = scale.x(found.average.labels)
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#444" stroke-dasharray="3 3"/>'
        )
    return "".join(parts)


def _bar(scale: _Scale, one: Crossing, base: float) -> str:
    """The interval along the bottom of the picture."""
    if one.labels is None or one.low is None:
        return ""
    low, high = scale.x(one.low), scale.x(one.high if one.high is not None else scale.high)
    return (
        f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{base}" y2="{base}" '
        'stroke="#444" stroke-width="3" stroke-opacity="0.5"/>'
    )


def told(one: Crossing) -> str:
    """A crossing in words."""
    if one.labels is None:
        return f"not within {REACH:g} times the labels measured ({1 - one.never:.0%} of draws cross)"
    low, high = (_number(one, end) for end in (one.low, one.high))
    return f"from {_number(one, one.labels)} labels on (90%: {low} to {high})"


def _number(one: Crossing, labels: float | None) -> str:
    if labels is None:
        return "no bound"
    return f"{labels:,.0f} or fewer" if labels <= one.least else f"{labels:,.0f}"


def _path(points: Sequence[tuple[float, float]], colour: str, dash: str, width: float) -> str:
    if len(points) < 2:
        return ""
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return (
        f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dash}"/>'
    )


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    made = Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" fill="#333">{}</text>')
    return str(made.format(x, y, anchor, words))
