"""What a learning curve is made of: one point a strategy, size and seed, kept row by row of the test."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasklift.errors import DataError
from tasklift.measure.evidence import CurvePoint, Evidence
from tasklift.strategies.artifact import fingerprint_of
from tasklift.whole import write_whole

SCHEMA_VERSION = 1
Right = NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """One strategy made with so many labels.

    Attributes:
        strategy: its name.
        family: the choice it stands for.
        labels: training rows.
        seed: which rows, which order, and which wording of a prompt.
        right: one character a test row: 1 right, 0 wrong.
        cpu_s: CPU seconds to make it and to answer.
    """

    strategy: str
    family: str
    labels: int
    seed: int
    right: str
    cpu_s: float = 0.0

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.right.count("1") / len(self.right)


@dataclass(frozen=True)
class Curve:
    """All points of a task.

    Attributes:
        task: its name.
        rows: hash of the test rows: points of other rows cannot be compared.
        points: strategy, size and seed, in the order measured.
        at: when the last one was measured, local time.
    """

    task: str
    rows: str
    points: tuple[Point, ...] = ()
    at: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def strategies(self) -> tuple[str, ...]:
        """Names, in the order measured."""
        return tuple(dict.fromkeys(point.strategy for point in self.points))

    def of(self, strategy: str) -> list[Point]:
        """Its points, by size and seed."""
        return sorted((p for p in self.points if p.strategy == strategy), key=lambda p: (p.labels, p.seed))

    def table(self, strategy: str) -> tuple[list[int], Right]:
        """Sizes that every seed has, and [sizes, seeds, test rows] 1 where right.

        Raises:
            DataError: no size has every seed yet.
        """
        points = self.of(strategy)
        seeds = sorted({point.seed for point in points})
        by = {(point.labels, point.seed): point for point in points}
        sizes = [size for size in sorted({p.labels for p in points}) if all((size, seed) in by for seed in seeds)]
        if not sizes:
            raise DataError(f"{self.task}: the curve of {strategy} is not finished; run `tasklift curve` again")
        cells = [[np.frombuffer(by[size, seed].right.encode(), np.uint8) - 48 for seed in seeds] for size in sizes]
        return sizes, np.array(cells, dtype=np.float64)

    def with_point(self, point: Point) -> Curve:
        """The curve with one more."""
        return replace(self, points=(*self.points, point))

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}


def curve_path(state: Path, task: str) -> Path:
    """Where the curve of a task is kept."""
    return state / "curves" / f"{task}.json"


def read_curve(path: Path) -> Curve | None:
    """The stored curve; None where there is none.

    Raises:
        DataError: damaged, or written by another version.
    """
    if not path.exists():
        return None
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
        if row.pop("schema_version", None) != SCHEMA_VERSION:
            raise DataError(f"{path}: written by another version; this one reads {SCHEMA_VERSION}")
        points = tuple(Point(**point) for point in row.pop("points"))
        return Curve(**{**row, "notes": tuple(row["notes"])}, points=points)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{path}: damaged ({error}); delete it and run `tasklift curve` again") from error


def write_curve(curve: Curve, path: Path) -> None:
    """Keep it; whole or not at all.

    Raises:
        DataError: the disk refused.
    """
    write_whole(path, json.dumps(curve.to_json(), ensure_ascii=False, indent=1) + "\n")


def curve_points(points: Iterable[Point]) -> tuple[CurvePoint, ...]:
    """What a decision needs of a curve: errors by size, means over the seeds."""
    by_size: dict[int, list[Point]] = {}
    for point in points:
        by_size.setdefault(point.labels, []).append(point)
    return tuple(
        CurvePoint(size, 1 - float(np.mean([p.accuracy for p in some])), len(some[0].right))
        for size, some in sorted(by_size.items())
        if size > 0
    )


def with_curves(evidence: Evidence, state: Path) -> Evidence:
    """Evidence with the task's learning curve: of measured options, and of options that were not tried in full.

    Where a model judged the answers there is none: a curve counts errors by the task's own rule.
    """
    curve = read_curve(curve_path(state, evidence.task)) if evidence.task and not evidence.judges else None
    if curve is None:
        return evidence
    found = {name: points for name in curve.strategies if (points := curve_points(curve.of(name)))}
    options = {
        name: replace(option, curve=found[name]) if name in found else option
        for name, option in evidence.options.items()
    }
    untried = {name: points for name, points in found.items() if name not in options and len(points) >= 3}
    seen = {"learning curve": fingerprint_of([asdict(point) for point in curve.points])[:16]}
    return replace(evidence, options=options, curves=untried, provenance={**evidence.provenance, **seen})


def default_sizes(rows: int, labels: int, count: int = 5) -> list[int]:
    """Sizes by halves of all rows, the smallest with two rows a label where that is possible."""
    least = min(max(2 * labels, 8), rows)
    sizes = [round(rows / 2**step) for step in range(count)]
    return sorted({size for size in sizes if size >= least} | {rows})


def checked_sizes(sizes: Sequence[int], rows: int) -> list[int]:
    """Sizes in order, each once.

    Raises:
        DataError: one is not positive, or more than there are rows.
    """
    wrong = [size for size in sizes if not 1 <= size <= rows]
    if wrong:
        raise DataError(f"--sizes {wrong[0]}: there are {rows} training rows, so sizes lie between 1 and {rows}")
    return sorted(set(sizes))
