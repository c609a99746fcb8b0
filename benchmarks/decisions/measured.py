"""Companies whose rows are really measured: right/wrong tables of four public data sets, under sampled economics.

A table holds ids and 0 or 1, no text. A company has its own mix of topics: groups of rows weigh differently
for it, and what an option gets wrong under that mix is its true error rate. Its evaluation is drawn from the
rows under the same mix.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from companies import MEASURED, SETTINGS, Array, Company, cells, company, item_costs
from numpy.typing import NDArray
from policies import Library

FOLDER = Path(__file__).parent / "tables"
#: How different companies' mixes are: mass of the Dirichlet distribution over groups of rows.
MIX = 20.0
#: Draws of mixes by which somebody knows one table, and all of them together.
ONE, ALL = 20_000, 100_000


@dataclass(frozen=True, eq=False)
class Table:
    """Measured options on all rows of one data set.

    Attributes:
        name: data set, and which strategies stand for prompt, finetune and layered.
        right: [rows, measured options] 0 or 1.
        group: [rows] group of the row (its expected label), numbered.
    """

    name: str
    right: NDArray[np.int8]
    group: NDArray[np.int64]

    def cells_by_group(self) -> Array:
        """[groups, 8] share of each right/wrong pattern among the rows of each group."""
        counts = np.stack([cells(self.right[self.group == at]) for at in range(int(self.group.max()) + 1)])
        return np.asarray(counts / counts.sum(axis=1, keepdims=True))

    def mixes(self, count: int, rng: np.random.Generator) -> Array:
        """[count, groups] how often each group occurs at a company."""
        sizes = np.bincount(self.group)
        return rng.dirichlet(MIX * sizes / sizes.sum() + 1e-3, count)

    def mixed(self, count: int, rng: np.random.Generator) -> Array:
        """[count, 8] share of each right/wrong pattern at so many companies."""
        return np.asarray(self.mixes(count, rng) @ self.cells_by_group())


@cache
def tables() -> tuple[Table, ...]:
    """Every combination that the folder holds: `<data set>.csv` with the columns `id`, `group` and one a
    strategy, named `<role>:<strategy>`."""
    return tuple(table for path in sorted(FOLDER.glob("*.csv")) for table in _read(path))


def measured_companies(count: int, seed: int, found: Sequence[Table]) -> list[Company]:
    """Companies of every setting, each with the rows of one of the tables."""
    return [_company(seed, number, found[number % len(found)]) for number in range(count)]


@cache
def generator_prior() -> Library:
    """What somebody knows who has this generator: all tables, in turn, and the mixes; neither which table a company
    has, nor its mix."""
    found = tables()
    return _library([table.mixed(ALL // len(found), np.random.default_rng(4)) for table in found])


def own_prior(one: Company, found: Sequence[Table]) -> Library:
    """What somebody knows who is told which table the company has, and not its mix: a part of the truth."""
    return _own(next(at for at, table in enumerate(found) if table.name == one.setting.name))


@cache
def _own(at: int) -> Library:
    return _library([tables()[at].mixed(ONE, np.random.default_rng(2))])


def _library(some: Sequence[Array]) -> Library:
    mixed = np.concatenate(some)
    right = np.array([[cell >> option & 1 for option in range(3)] for cell in range(8)])
    return Library((mixed @ (1 - right)).astype(np.float32), np.log(np.maximum(mixed, 1e-9)).astype(np.float32))


def _company(seed: int, number: int, table: Table) -> Company:
    setting = replace(SETTINGS[number // len(tables()) % len(SETTINGS)], name=table.name)
    made = company(setting, seed, number)
    rng = np.random.default_rng([seed, number, 3])
    mix = table.mixes(1, rng)[0]
    weight = mix[table.group] / np.bincount(table.group)[table.group]
    weight /= weight.sum()
    # Without replacement, so that no row is seen twice; of a table as large as these that changes little.
    size = min(len(made.right), len(table.right) // 2)
    rows = rng.choice(len(table.right), size=size, replace=True, p=weight)
    truth = replace(made.truth, error=weight @ (1 - table.right))
    return replace(made, truth=truth, right=table.right[rows], item_usd=item_costs(truth, size, rng))


def _read(path: Path) -> list[Table]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    by_role = {role: [name for name in rows[0] if name.startswith(f"{role}:")] for role in MEASURED}
    names = {name: at for at, name in enumerate(sorted({row["group"] for row in rows}))}
    group = np.array([names[row["group"]] for row in rows])
    found = []
    for prompt in by_role["prompt"]:
        for finetune in by_role["finetune"]:
            for layered in by_role["layered"]:
                columns = (prompt, finetune, layered)
                right = np.array([[int(row[name]) for name in columns] for row in rows], dtype=np.int8)
                told = " / ".join(name.partition(":")[2] for name in columns)
                found.append(Table(f"{path.stem}: {told}", right, group))
    return found
