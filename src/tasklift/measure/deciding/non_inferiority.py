"""Is the chosen option no worse than another one by more than a margin, overall and in each slice?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from tasklift.economics import Economics
from tasklift.measure.evidence import Evidence
from tasklift.stats.comparison import holm

#: One-sided level of the bound and of the family of all answers.
LEVEL = 0.05
#: Slices with fewer rows that both answered are left out: they could only say "not shown".
LEAST_ROWS = 20


@dataclass(frozen=True)
class NonInferior:
    """One question and its answer.

    Attributes:
        margin: how much less still counts as no worse.
        low: one-sided 95% bound of the paired difference of mean scores.
        rows: rows that both answered.
        p: that the difference is below the margin.
        p_holm: adjusted for all pairs and slices that are asked about.
        answer: shown, after the adjustment.
        slices: `name=value` -> the same within it.
    """

    margin: float
    low: float
    rows: int
    p: float
    p_holm: float
    answer: bool
    slices: Mapping[str, NonInferior]

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        found: dict[str, Any] = {"margin": self.margin, "low": round(self.low, 4), "rows": self.rows}
        found |= {"p": round(self.p, 5), "p_holm": round(self.p_holm, 5), "answer": self.answer}
        if self.slices:
            found["slices"] = {name: one.to_json() for name, one in self.slices.items()}
        return found


def non_inferior(evidence: Evidence, best: str, others: Sequence[str], economics: Economics) -> dict[str, NonInferior]:
    """`best vs other` -> answer, for the options that have rows."""
    asked: dict[tuple[str, str], tuple[float, float, int, float]] = {}
    for name in others:
        if not {best, name} <= set(evidence.options):
            continue
        mine, theirs = (evidence.options[n] for n in (best, name))
        both = mine.answered & theirs.answered
        labelled = np.logical_and.reduce([o.judge.labelled for o in (mine, theirs) if o.judge] or [both])
        for where, rows in _groups(evidence, both).items():
            if where and labelled[rows].sum() < LEAST_ROWS:
                continue  # a judge is not measured there
            margin = economics.margin_by_slice.get(where.partition("=")[2], economics.margin)
            asked[name, where] = (margin, *_bound((mine.score - theirs.score), rows, evidence.clusters, margin))
    adjusted = holm({f"{name}\n{where}": found[3] for (name, where), found in asked.items()})

    def answer(name: str, where: str, slices: Mapping[str, NonInferior]) -> NonInferior:
        margin, low, rows, p = asked[name, where]
        p_holm = adjusted[f"{name}\n{where}"]
        return NonInferior(margin, low, rows, p, p_holm, p_holm <= LEVEL, slices)

    return {
        f"{best} vs {name}": answer(name, "", {w: answer(n, w, {}) for n, w in asked if n == name and w})
        for name in others
        if (name, "") in asked
    }


def _groups(evidence: Evidence, both: NDArray[np.bool_]) -> dict[str, NDArray[np.int64]]:
    """'' and each slice with enough rows -> places of the rows that both answered."""
    found: dict[str, list[int]] = defaultdict(list)
    for at in np.flatnonzero(both):
        found[""].append(int(at))
        for name, value in evidence.slices[at].items():
            found[f"{name}={value}"].append(int(at))
    return {where: np.array(rows) for where, rows in found.items() if rows and (not where or len(rows) >= LEAST_ROWS)}


def _bound(
    difference: NDArray[np.float64], rows: NDArray[np.int64], clusters: Sequence[str] | None, margin: float
) -> tuple[float, int, float]:
    """Lower bound, rows, and p of "below minus margin".

    Adjusted Wald (Bonett and Price 2012): one row more for either side, which holds for scores between 0
    and 1 as well. Rows of a cluster are summed first.
    """
    values = difference[rows]
    sizes = np.ones(len(values))
    if clusters is not None:
        _, place = np.unique(np.array([clusters[at] for at in rows]), return_inverse=True)
        values, sizes = np.bincount(place, values).astype(float), np.bincount(place).astype(float)
    values, sizes = np.append(values, [1.0, -1.0]), np.append(sizes, [1.0, 1.0])
    mean = float(values.sum() / sizes.sum())
    # Variance of a ratio of sums; with rows of their own it is that of a mean.
    spread = float(np.sqrt(((values - mean * sizes) ** 2).sum()) / sizes.sum())
    return mean - float(ndtri(1 - LEVEL)) * spread, len(rows), float(ndtr(-(mean + margin) / max(spread, 1e-12)))
