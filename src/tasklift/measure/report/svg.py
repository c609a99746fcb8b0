"""Inline SVG by hand: elements whose text is escaped, and scales with their ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup, escape

#: How lines of one family are told apart without colour.
DASHES = ("", "7 3", "2 3", "9 3 2 3")


def tag(name: str, *children: object, **attributes: object) -> Markup:
    """One element. `_` in attribute names stands for `-`; children that are not markup are escaped."""
    given = [
        f' {key.rstrip("_").replace("_", "-")}="{escape(_plain(value))}"'
        for key, value in attributes.items()
        if value is not None and value != ""
    ]
    inner = "".join(escape(child) for child in children)
    return Markup(f"<{name}{''.join(given)}>{inner}</{name}>")  # noqa: S704 - every part above is escaped


def svg(width: float, height: float, title: str, *children: object, kind: str = "") -> Markup:
    """A chart as an image with a name for those who do not see it."""
    return tag(
        "svg",
        tag("title", title),
        *children,
        viewBox=f"0 0 {_plain(width)} {_plain(height)}",
        width=width,
        height=height,
        role="img",
        class_=f"chart {kind}".strip(),
        xmlns="http://www.w3.org/2000/svg",
    )


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def text(x: float, y: float, words: object, class_: str = "", anchor: str = "start") -> Markup:
    """Words at a point of their base line."""
    return tag("text", words, x=x, y=y, class_=class_, text_anchor=None if anchor == "start" else anchor)


def path(points: Iterable[tuple[float, float]], class_: str, dash: str = "", closed: bool = False) -> Markup:
    """A line through points."""
    steps = " ".join(f"{'M' if i == 0 else 'L'}{_plain(x)} {_plain(y)}" for i, (x, y) in enumerate(points))
    return tag("path", d=steps + (" Z" if closed and steps else ""), class_=class_, stroke_dasharray=dash)


def marker(x: float, y: float, family: str, hollow: bool = False, size: float = 5.0) -> Markup:
    """A point whose shape, beside its colour, says the family."""
    shapes = {
        "prompt": [(0, -1.15), (1.1, 0.8), (-1.1, 0.8)],
        "finetune": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        "layered": [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
        "human": [(-1.1, -0.8), (1.1, -0.8), (0, 1.15)],
    }
    class_ = f"dot f-{family}" + (" hollow" if hollow else "")
    if family not in shapes:
        return tag("circle", cx=x, cy=y, r=size * 0.9, class_=class_)
    return path(((x + size * a, y + size * b) for a, b in shapes[family]), class_, closed=True)


@dataclass(frozen=True)
class Scale:
    """Values to pixels: linear, or logarithmic where both ends are positive.

    Attributes:
        low: value at `start`.
        high: value at `end`.
        start: pixels.
        end: pixels.
        log: by powers of ten.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value; values beyond the ends are drawn at the ends."""
        kept = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(kept / self.low) / math.log(self.high / self.low)
        else:
            share = (kept - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Round values inside."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            step = max(1, math.ceil((last - first + 1) / most))
            return [10.0**power for power in range(first, last + 1, step)]
        rough = (self.high - self.low) / most
        size = 10 ** math.floor(math.log10(rough))
        step_size = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.999)
        count = math.floor(self.high / step_size + 1e-9)
        return [i * step_size for i in range(math.ceil(self.low / step_size - 1e-9), count + 1)]


def decades(low: float, high: float) -> tuple[float, float]:
    """The powers of ten around two positive values; at least one decade."""
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    return 10.0**first, 10.0 ** max(last, first + 1)


def short(value: float) -> str:
    """1000 as 1k, and so on: for ticks."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _plain(value: object) -> object:
    """Pixels to a tenth, without trailing zeros."""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value
