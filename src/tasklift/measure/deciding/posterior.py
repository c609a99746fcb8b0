"""What the measured rows say about error rates: a Dirichlet posterior over the joint right/wrong table.

Rows on which all options did the same fall into one cell, so that what options have in common cancels
where they are compared. Cells have their counts and no prior mass of their own; one rest cell with mass
`REST` stands for everything not seen: there each option is right or wrong with even odds. Spread over
cells, a prior would drag every option to the middle. With scores that are no 0 or 1, or rows in clusters,
every row or cluster is its own cell: the Bayesian bootstrap (Rubin 1981).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasklift.measure.deciding.quantities import Draws
from tasklift.measure.evidence import OptionEvidence
from tasklift.measure.judged import labels_of_a_row

#: Prior mass of the rest cell, in rows.
REST = 1.0
#: Draws that are computed at once where there are many cells.
_CHUNK = 2_000_000


@dataclass(frozen=True)
class JointTable:
    """Cells of rows that are alike, [cells] and [cells, options].

    Attributes:
        count: cells' weight in the posterior: rows that are alike, or 1 for a cluster.
        rows: rows that one unit of `count` stands for: 1, or the size of the cluster.
        wrong: cost weight of answered, wrong rows, summed over those rows.
        given_away: cost weight of rows that a person answers.
        deferred: rows that a person answers.
        right: score of the answered rows.
        row_weight: mean cost weight of a row: 1 where errors cost the same.
        labels: labels that one unit of `count` is worth: 1, fewer where a model judges in place of people.
    """

    count: Draws
    rows: Draws
    wrong: Draws
    given_away: Draws
    deferred: Draws
    right: Draws
    row_weight: float
    labels: float = 1.0

    @property
    def mass(self) -> float:
        """Weight of the whole posterior in labels, the rest cell included."""
        return float(self.count.sum()) * self.labels + REST

    @property
    def rest_rows(self) -> float:
        """Rows that the rest cell stands for, where its mass is `REST`."""
        return self.rows_per_unit / self.labels

    @property
    def rows_per_unit(self) -> float:
        """Rows of a mean unit: 1 without clusters."""
        return float(self.count @ self.rows / self.count.sum())


@dataclass(frozen=True)
class Rates:
    """[draws, options] each.

    Attributes:
        wrong: cost weight of wrong answers an item: the error rate, where all errors cost the same.
        given_away: cost weight of what people answer an item.
        deferred: share of items that people answer.
        right: mean score an item of what is answered.
    """

    wrong: Draws
    given_away: Draws
    deferred: Draws
    right: Draws


def joint_table(options: Sequence[OptionEvidence], weight: Draws, clusters: Sequence[str] | None) -> JointTable:
    """The table of `options` (in that order).

    Args:
        weight: [rows] cost of an error on the row relative to a plain one.
        clusters: [rows], see `Evidence`.
    """
    score = np.stack([option.score for option in options], axis=1)
    deferred = np.stack([option.deferred for option in options], axis=1).astype(float)
    right = np.where(deferred > 0, 0.0, np.nan_to_num(score))
    wrong = np.where(deferred > 0, 0.0, 1 - np.nan_to_num(score)) * weight[:, None]
    facts = np.concatenate([wrong, deferred * weight[:, None], deferred, right], axis=1)
    if clusters is not None:
        _, place = np.unique(np.array(clusters), return_inverse=True)
        rows = np.bincount(place).astype(float)
        cells = np.stack([np.bincount(place, column) for column in facts.T], axis=1)
        count = np.ones(len(rows))
    else:
        key = np.concatenate([facts, weight[:, None]], axis=1)
        _, first, counts = np.unique(key, axis=0, return_index=True, return_counts=True)
        cells, count, rows = facts[first], counts.astype(float), np.ones(len(counts))
    wrong, given_away, deferred, right = np.split(cells.astype(np.float64), 4, axis=1)
    judges = {option.name: option.judge for option in options if option.judge is not None}
    labels = labels_of_a_row(judges, len(score))
    return JointTable(count, rows, wrong, given_away, deferred, right, float(weight.mean()), labels)


def draw_rates(table: JointTable, size: int, rng: np.random.Generator) -> Rates:
    """[size, options] posterior draws whose means are the posterior means."""
    cells = np.concatenate([table.wrong, table.given_away, table.deferred, table.right], axis=1)
    rest = _rest_cell(table, size, rng)
    seen, rows = _weighted(table, cells, size, rng)
    mass = rng.standard_gamma(REST, size) * table.rest_rows
    values = (seen + mass[:, None] * rest) / (rows + mass)[:, None]
    total = table.count @ table.rows + REST * table.rest_rows
    mean = (table.count @ cells + REST * table.rest_rows * rest.mean(axis=0)) / total
    drawn = values.mean(axis=0)
    centred = values * np.divide(mean, drawn, out=np.ones_like(drawn), where=drawn > 0)
    wrong, given_away, deferred, _ = np.split(centred, 4, axis=1)
    # Scores are held against limits such as 1, so they are left as they fell. Values that correct a judge may
    # fall outside.
    right = np.split(values, 4, axis=1)[3].clip(0, 1)
    return Rates(wrong.clip(0), given_away, np.minimum(deferred, 1.0), right)


def _weighted(table: JointTable, cells: Draws, size: int, rng: np.random.Generator) -> tuple[Draws, Draws]:
    """[size, facts] sums under gamma weights of the cells, and the [size] rows that they stand for."""
    facts = np.concatenate([cells, table.rows[:, None]], axis=1).astype(np.float32)
    step = max(1, _CHUNK // len(table.count))
    sums = [_gammas(table.count, min(step, size - at), rng) @ facts for at in range(0, size, step)]
    whole = np.concatenate(sums).astype(np.float64)
    return whole[:, :-1], whole[:, -1]


def _gammas(count: Draws, size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    if (count == 1).all():
        return rng.standard_exponential((size, len(count)), dtype=np.float32)
    return rng.standard_gamma(count.astype(np.float32), (size, len(count)), dtype=np.float32)


def _rest_cell(table: JointTable, size: int, rng: np.random.Generator) -> Draws:
    """[size, facts] what an unseen row would show: deferred as often as seen, else right or wrong evenly.

    Right and wrong alternate, so that their shares are exactly even.
    """
    options = table.wrong.shape[1]
    share = table.count @ table.deferred / (table.count @ table.rows)
    away = rng.random((size, options)) < share
    even = np.stack([rng.permutation(size) % 2 for _ in range(options)], axis=1)
    heavy = table.row_weight
    return np.concatenate([heavy * (even * ~away), heavy * away, away, (1 - even) * ~away], axis=1).astype(float)
