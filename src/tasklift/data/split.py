"""Cutting a dataset in two: by label, by group or by time, the same way for the same seed."""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from tasklift.dataset import Dataset, Example, text_key
from tasklift.errors import DataError


def split_dataset(
    data: Dataset,
    share: float,
    by: Literal["label", "group", "time"] = "label",
    seed: int = 0,
    stratum: Callable[[Any], str] = repr,
    whole_groups: bool = False,
) -> tuple[Dataset, Dataset]:
    """Cut into two parts, the first with about `share` of the rows.

    Args:
        by: `label` keeps the mix of labels, and equal texts together; `group` keeps groups whole
            (rows without a group are groups of one); `time` gives the earlier rows to the first part.
        seed: decides which rows; the same seed and rows give the same cut. Unused for `time`.
        stratum: of an output, what `label` keeps the mix of (`Task.output.stratum`): outputs that hardly ever
            repeat, such as texts, are all of one stratum.
        whole_groups: `label` keeps groups whole too; the mix is then that of their first rows.

    Raises:
        DataError: the share is not between 0 and 1, a part would be empty, or times are missing or not ISO 8601.
    """
    if not 0 < share < 1:
        raise DataError(f"share={share} must lie between 0 and 1, both excluded")
    if by == "time":
        chosen = _earliest(data, share)
    elif by == "group":
        chosen = _grouped(data.examples, share, seed)
    else:
        chosen = _stratified(data.examples, share, seed, stratum, whole_groups)
    first = [row for i, row in enumerate(data.examples) if i in chosen]
    second = [row for i, row in enumerate(data.examples) if i not in chosen]
    if not first or not second:
        raise DataError(f"{data.name}: {len(data)} rows are too few to be cut at share={share} by {by}")
    step = f"split by {by} at {share:g}, seed {seed}"
    return data.part(first, f"{step}, first"), data.part(second, f"{step}, second")


def sample(data: Dataset, size: int, seed: int = 0, *, stratum: Callable[[Any], str]) -> Dataset:
    """At most `size` rows, stratified by output (`Task.output.stratum`), in their original order."""
    if size >= len(data):
        return data
    strata = _strata(data.examples, stratum)
    ranked = {label: sorted(rows, key=lambda i: _draw(data.examples[i].id, seed)) for label, rows in strata.items()}
    # A row's place within its stratum, as a share of the stratum: taking the smallest keeps the mix.
    place = {
        i: ((n + 0.5) / len(rows), _draw(data.examples[i].id, seed))
        for rows in ranked.values()
        for n, i in enumerate(rows)
    }
    chosen = sorted(sorted(place, key=lambda i: place[i])[:size])
    return data.part((data.examples[i] for i in chosen), f"sample({size}, seed={seed})")


def _draw(name: str, seed: int) -> bytes:
    """A number that depends on the id and the seed alone, so that adding rows moves no other row."""
    return hashlib.sha256(f"{seed}\x1f{name}".encode()).digest()


def _strata(rows: Sequence[Example], stratum: Callable[[Any], str]) -> dict[str, list[int]]:
    strata: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        strata[stratum(row.output)].append(index)
    return strata


def units_of(rows: Sequence[Example], whole_groups: bool) -> list[list[int]]:
    """Places that stay together: those of equal texts or, where asked for, those of a group."""
    units: dict[tuple[bool, str], list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        grouped = whole_groups and row.group is not None
        units[grouped, str(row.group) if grouped else text_key(row.input)].append(index)
    return list(units.values())


def _stratified(
    rows: Sequence[Example], share: float, seed: int, stratum: Callable[[Any], str], whole_groups: bool
) -> set[int]:
    """Per label, the first `share` of the texts in a random order; a single row goes to the first part, and
    of three rows or more at least one goes to each.

    A text with several labels counts to the first of them.
    """
    strata: dict[str, list[list[int]]] = defaultdict(list)
    for unit in units_of(rows, whole_groups):
        strata[stratum(rows[unit[0]].output)].append(unit)
    chosen: set[int] = set()
    for units in strata.values():
        size = sum(len(unit) for unit in units)
        wanted = max(1, round(share * size))
        if size > 2:  # such a label stands on both sides
            wanted = min(wanted, size - 1)
        ordered = sorted(units, key=lambda unit: _draw(rows[unit[0]].id, seed))
        if whole_groups and len(units) > 2:
            ordered.pop()  # large groups would fill the first part
        for unit in ordered:
            if wanted <= 0:
                break
            chosen.update(unit)
            wanted -= len(unit)
    return chosen


def _grouped(rows: Sequence[Example], share: float, seed: int) -> set[int]:
    groups: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        groups[row.group if row.group is not None else f"\x1f{row.id}"].append(index)
    names = sorted(groups)
    random.Random(seed).shuffle(names)
    chosen: set[int] = set()
    for name in names[:-1]:  # one group is left for the second part
        if len(chosen) >= share * len(rows):
            break
        chosen.update(groups[name])
    return chosen


def _earliest(data: Dataset, share: float) -> set[int]:
    without = [row.id for row in data if not row.time]
    if without:
        raise DataError(f"{data.name}: a split by time needs `time` on every row; missing on {', '.join(without[:5])}")
    order = sorted(range(len(data)), key=lambda i: moment_of(data.examples[i]))
    return set(order[: round(share * len(data))])


def moment_of(row: Example) -> datetime:
    """The time of a row, UTC where it names no zone.

    Raises:
        DataError: it is not ISO 8601.
    """
    try:
        moment = datetime.fromisoformat(str(row.time))
    except ValueError as error:
        raise DataError(
            f"row {row.id}: time {row.time!r} is not ISO 8601; write it like 2026-05-31 or 2026-05-31T08:30:00Z"
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
