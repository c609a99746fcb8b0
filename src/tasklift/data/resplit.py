"""Cutting rows into training, validation and test rows, near-duplicates always on one side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

from tasklift.data.audit.near import NearPair, clusters
from tasklift.data.split import split_dataset
from tasklift.dataset import Dataset
from tasklift.errors import DataError

By = Literal["label", "group", "time"]


def resplit(
    data: Dataset,
    near: Sequence[Sequence[int]],
    by: By,
    shares: tuple[float, float],
    seed: int = 0,
    *,
    stratum: Callable[[Any], str],
) -> Dataset:
    """The same rows with new splits `train`, `test` and, where it has a share, `validation`.

    Rows of one near-duplicate group and rows of one `group` (customer, conversation) fall on one side. By time, the
    latest rows are the test, and a group goes with its latest row.

    Args:
        near: groups of places that are nearly equal.
        by: `label` keeps the mix of labels, `group` keeps groups whole, `time` tests on the latest.
        shares: of test and of validation rows.
        seed: decides which rows, except by time.
        stratum: of an output, what `label` keeps the mix of (`Task.output.stratum`).

    Raises:
        DataError: shares that leave nothing to train on, or a part would be empty, or times are missing.
    """
    test, validation = shares
    if not 0 < test < 1 or not 0 <= validation < 1 - test:
        raise DataError(f"test share {test:g} and validation share {validation:g}: both and the rest must be positive")
    units = _units(data, near)
    heads = _heads(data, units, by)
    kept: Literal["label", "time"] = "label" if by != "time" else "time"
    first, second = split_dataset(heads, 1 - test, kept, seed, stratum)
    side = dict.fromkeys((row.id for row in second), "test")
    if validation:
        inner, held = split_dataset(first, 1 - validation / (1 - test), kept, seed + 1, stratum)
        side |= dict.fromkeys((row.id for row in held), "validation")
        first = inner
    side |= dict.fromkeys((row.id for row in first), "train")
    split = [""] * len(data)
    for unit, head in zip(units, heads, strict=True):
        for at in unit:
            split[at] = side[head.id]
    rows = [replace(row, split=name) for row, name in zip(data, split, strict=True)]
    return data.part(rows, f"split by {by}: test {test:g}, validation {validation:g}, seed {seed}")


def _units(data: Dataset, near: Sequence[Sequence[int]]) -> list[list[int]]:
    """Places that have to stay together, every place in one list."""
    pairs = [NearPair(group[0], at, 1.0) for group in near for at in group[1:]]
    first_of: dict[str, int] = {}
    for at, row in enumerate(data):
        if row.group is not None:
            pairs.append(NearPair(first_of.setdefault(row.group, at), at, 1.0))
    joined = clusters(len(data), [pair for pair in pairs if pair.first != pair.second])
    alone = set(range(len(data))) - {at for group in joined for at in group}
    return sorted([*joined, *([at] for at in alone)])


def _heads(data: Dataset, units: Sequence[Sequence[int]], by: By) -> Dataset:
    """One row for each unit, which is cut in its place: the latest by time, else the first."""

    def head(unit: Sequence[int]) -> int:
        return max(unit, key=lambda at: str(data.examples[at].time)) if by == "time" else unit[0]

    return data.part((data.examples[head(unit)] for unit in units), "one of each group")
