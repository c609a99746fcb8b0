"""Every overlay on the rows that it is for, against the base prompt: a matrix that names what an overlay broke."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasklift.dataset import Dataset
from tasklift.errors import DataError
from tasklift.measure.evaluation import Evaluation, Options, Progress, evaluate
from tasklift.measure.metrics import right_of
from tasklift.stats.comparison import holm, mcnemar_midp
from tasklift.stats.intervals import Interval, paired_difference, wilson
from tasklift.strategy import Strategy
from tasklift.task import Task

#: What a cell without a slice is about.
ALL = "all its rows"


@dataclass(frozen=True)
class Cell:
    """One overlay on some of its rows, against the base on the same rows.

    Attributes:
        overlay: its name.
        strategy: whose base prompt.
        part: `ALL`, `label=...` or a slice such as `channel=email`.
        rows: that both answered.
        base, own: accuracy without and with the overlay.
        difference: with minus without, 95% interval.
        broken, fixed: rows that only the base, or only the overlay, got right.
        p: McNemar mid-p.
        p_holm: adjusted among the cells of its kind: those about all rows, or the others.
    """

    overlay: str
    strategy: str
    part: str
    rows: int
    base: Interval
    own: Interval
    difference: Interval
    broken: int
    fixed: int
    p: float
    p_holm: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return asdict(self)


@dataclass(frozen=True)
class Matrix:
    """All overlays of a task.

    Attributes:
        cells: all of them.
        evaluations: ids, one for each overlay.
    """

    cells: tuple[Cell, ...]
    evaluations: tuple[str, ...]

    def broke(self) -> list[Cell]:
        """Cells where an overlay got more rows wrong than it mended, the surest first."""
        return sorted((one for one in self.cells if one.broken > one.fixed), key=lambda one: (one.p_holm, -one.broken))


def rows_of(rows: Dataset, name: str, where: Mapping[str, str]) -> Dataset:
    """The rows that an overlay is for.

    Raises:
        DataError: there are none.
    """
    chosen = [row for row in rows if all(row.slice.get(key) == value for key, value in where.items())]
    if not chosen:
        told = ", ".join(f"{key} = {value}" for key, value in where.items())
        raise DataError(f"overlay {name}: none of the {len(rows)} rows has {told}; mend its `slice` or label such rows")
    return rows.part(chosen, f"rows of overlay {name}") if where else rows


def overlay_matrix(
    task: Task,
    strategies: Mapping[str, Mapping[str, Strategy]],
    train: Dataset,
    rows: Mapping[str, Dataset],
    options: Options,
    progress: Progress | None = None,
) -> Matrix:
    """Evaluate every overlay and the base on the overlay's rows.

    Args:
        strategies: name -> overlay -> the strategy with it; '' for the base.
        rows: overlay -> its rows.
    """
    found: list[Cell] = []
    identities: list[str] = []
    for overlay, its_rows in rows.items():
        made = {name: by_overlay[""] for name, by_overlay in strategies.items()}
        made |= {f"{name}+{overlay}": by_overlay[overlay] for name, by_overlay in strategies.items()}
        evaluation = evaluate(task, made, train, its_rows, options, progress)
        identities.append(evaluation.id)
        for name in strategies:
            found += _cells(evaluation, overlay, name, task.slices)
    return Matrix(tuple(_adjusted(found)), tuple(identities))


def _cells(evaluation: Evaluation, overlay: str, name: str, slices: Sequence[str]) -> Iterator[Cell]:
    outputs = evaluation.rows.outputs
    base, own = (
        right_of(evaluation.result(one).predictions, outputs, evaluation.task) for one in (name, f"{name}+{overlay}")
    )
    for part, which in _parts(evaluation.rows, slices).items():
        cell = _cell(base[which], own[which])
        if cell is not None:
            yield replace(cell, overlay=overlay, strategy=name, part=part)


def _parts(rows: Dataset, slices: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    """Name -> [rows] which rows belong to it."""
    found = {ALL: np.ones(len(rows), dtype=bool)}
    if all(isinstance(output, str) for output in rows.outputs):
        for label in sorted(set(rows.outputs)):
            found[f"label={label}"] = np.array([output == label for output in rows.outputs])
    for name in slices:
        values = sorted({row.slice[name] for row in rows if name in row.slice})
        if len(values) > 1:
            found |= {f"{name}={value}": np.array([row.slice.get(name) == value for row in rows]) for value in values}
    return found


def _cell(base: NDArray[np.float64], own: NDArray[np.float64]) -> Cell | None:
    both = ~np.isnan(base) & ~np.isnan(own)
    count = int(both.sum())
    if not count:
        return None
    first, second = base[both], own[both]
    fixed, broken = int(((second == 1) & (first == 0)).sum()), int(((second == 0) & (first == 1)).sum())
    before, after = wilson(float(first.sum()), count), wilson(float(second.sum()), count)
    difference = paired_difference(fixed, broken, count)
    return Cell("", "", "", count, before, after, difference, broken, fixed, mcnemar_midp(fixed, broken))


def _adjusted(cells: Sequence[Cell]) -> list[Cell]:
    """With Holm among the headlines and among the details: many details must not hide a headline."""
    adjusted: dict[int, float] = {}
    for headline in (True, False):
        some = {str(at): one.p for at, one in enumerate(cells) if (one.part == ALL) == headline}
        adjusted |= {int(at): p for at, p in holm(some).items()}
    return [replace(one, p_holm=adjusted[at]) for at, one in enumerate(cells)]
