"""Cost against volume: the mean lines, where they cross, and which option is the cheapest in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tasklift.economics import CapacityStep
from tasklift.measure.deciding.yearly import Parts, capacity
from tasklift.measure.report.model import Embedded, Setting
from tasklift.measure.report.plots import Curve, Stretch, dash_of
from tasklift.measure.report.svg import decades

#: Points of a drawn line, and of the search for the cheapest option.
POINTS, SEARCHED = 49, 241
#: Volumes are drawn this far below and above the assumed one.
REACH = 100.0


@dataclass(frozen=True)
class Line:
    """Mean yearly cost of one option by volume.

    Attributes:
        fixed: USD a year without the steps.
        unit: USD an item.
        steps: standing capacity by volume.
    """

    fixed: float
    unit: float
    steps: tuple[CapacityStep, ...]

    def __call__(self, items_per_month: float) -> float:
        """USD a year."""
        standing = float(capacity(self.steps, np.array([12 * items_per_month]))[0]) if self.steps else 0.0
        return self.fixed + standing + 12 * items_per_month * self.unit


def volumes(embedded: Embedded, points: int) -> list[float]:
    """Monthly volumes by equal factors, whole powers of ten at both ends."""
    base = embedded.base["items_per_month"] or 1000.0
    low, high = decades(max(base / REACH, 1.0), max(base * REACH, 1000.0))
    share = np.arange(points) / (points - 1)
    return [float(value) for value in low * (high / low) ** share]


def lines(embedded: Embedded, setting: Setting) -> dict[str, Line]:
    """Option -> its mean line."""
    _, parts = embedded.at(setting)
    return {
        name: Line(float(found.fixed.mean()), float(found.unit.mean()), found.steps) for name, found in parts.items()
    }


def cheapest(found: Mapping[str, Line], allowed: Sequence[str], grid: Sequence[float]) -> list[Stretch]:
    """The cheapest of the allowed options along the volumes; a change is found to a ten-thousandth."""
    if not allowed:
        return []
    winners = [min(allowed, key=lambda name: found[name](x)) for x in grid]
    pieces = [Stretch(winners[0], "", grid[0], grid[-1])]
    for i in range(1, len(grid)):
        if winners[i] == winners[i - 1]:
            continue
        low, high, before = grid[i - 1], grid[i], found[winners[i - 1]]
        while high / low > 1.0001:
            middle = (low * high) ** 0.5
            low, high = (middle, high) if before(middle) <= found[winners[i]](middle) else (low, middle)
        pieces[-1] = replace(pieces[-1], high=high)
        pieces.append(Stretch(winners[i], "", high, grid[-1]))
    return pieces


def drawn(embedded: Embedded, setting: Setting, banded: Sequence[str]) -> tuple[list[Curve], list[Stretch]]:
    """Curves of all options, with the 90% band of those named, and the strip of the cheapest."""
    found, (_, parts) = lines(embedded, setting), embedded.at(setting)
    grid, names = volumes(embedded, POINTS), list(embedded.options)
    dashes = dash_of(names, [embedded.families[name] for name in names])
    curves = []
    for name in names:
        points = [(x, found[name](x)) for x in grid]
        band = _band(parts[name], grid) if name in banded else []
        curves.append(Curve(name, embedded.families[name], points, band, dashes[name]))
    pieces = cheapest(found, embedded.allowed, volumes(embedded, SEARCHED))
    return curves, [replace(piece, family=embedded.families[piece.name]) for piece in pieces]


def _band(parts: Parts, grid: Sequence[float]) -> list[tuple[float, float, float]]:
    """P5 and P95 of the yearly cost at each volume: what is uncertain beside the volume itself."""
    band = []
    for x in grid:
        low, high = np.quantile(parts.total(np.full(len(parts.unit), 12 * x)), [0.05, 0.95])
        band.append((x, float(low), float(high)))
    return band
