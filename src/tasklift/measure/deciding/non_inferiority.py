"""Is the chosen option no worse than another one by more than a margin, overall and in each slice?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from tasklift.economics import Economics
from tasklift.measure.deciding.macro_f1 import macro_f1_draws
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
        p_holm: adjusted for all pairs, metrics and slices that are asked about.
        answer: shown, after the adjustment.
        slices: `name=value` -> the same within it.
        metrics: further metric -> the same for it, over all rows.
    """

    margin: float
    low: float
    rows: int
    p: float
    p_holm: float
    answer: bool
    slices: Mapping[str, NonInferior]
    metrics: Mapping[str, NonInferior] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        found: dict[str, Any] = {"margin": self.margin, "low": round(self.low, 4), "rows": self.rows}
        found |= {"p": round(self.p, 5), "p_holm": round(self.p_holm, 5), "answer": self.answer}
        if self.slices:
            found["slices"] = {name: one.to_json() for name, one in self.slices.items()}
        if self.metrics:
            found["metrics"] = {name: one.to_json() for name, one in self.metrics.items()}
        return found


#: What is asked: margin, bound, rows, p.
Asked = tuple[float, float, int, float]


def non_inferior(evidence: Evidence, best: str, others: Sequence[str], economics: Economics) -> dict[str, NonInferior]:
    """`best vs other` -> answer, for the options that have rows."""
    asked: dict[tuple[str, str], Asked] = {}
    for name in others:
        if {best, name} <= set(evidence.options):
            found = _by_slice(evidence, best, name, economics) | _by_metric(evidence, best, name, economics)
            asked |= {(name, what): one for what, one in found.items()}
    adjusted = holm({f"{name}\n{what}": found[3] for (name, what), found in asked.items()})

    def answer(name: str, what: str) -> NonInferior:
        p_holm = adjusted[f"{name}\n{what}"]
        return NonInferior(*asked[name, what], p_holm, p_holm <= LEVEL, {})

    def parts(name: str, metrics: bool) -> dict[str, NonInferior]:
        named = [what for other, what in asked if other == name and what]
        return {what: answer(name, what) for what in named if (what in economics.margin_by_metric) == metrics}

    return {
        f"{best} vs {name}": replace(answer(name, ""), slices=parts(name, False), metrics=parts(name, True))
        for name in others
        if (name, "") in asked
    }


def _by_slice(evidence: Evidence, best: str, other: str, economics: Economics) -> dict[str, Asked]:
    """'' and slice -> what is asked of the scores."""
    mine, theirs = (evidence.options[name] for name in (best, other))
    both = mine.answered & theirs.answered
    labelled = np.logical_and.reduce([o.judge.labelled for o in (mine, theirs) if o.judge] or [both])
    found: dict[str, Asked] = {}
    for where, rows in _groups(evidence, both).items():
        if where and labelled[rows].sum() < LEAST_ROWS:
            continue  # a judge is not measured there
        margin = economics.margin_by_slice.get(where.partition("=")[2], economics.margin)
        found[where] = (margin, *_bound(mine.score - theirs.score, rows, evidence.clusters, margin))
    return found


def _by_metric(evidence: Evidence, best: str, other: str, economics: Economics) -> dict[str, Asked]:
    """Metric with a margin of its own -> what is asked of it; a macro-F1 only where answers are known."""
    mine, theirs = (evidence.options[name] for name in (best, other))
    rows, found = np.arange(len(evidence)), {}
    for metric, margin in economics.margin_by_metric.items():
        if metric == "valid_outputs":
            valid = theirs.failed.astype(float) - mine.failed
            found[str(metric)] = (margin, *_bound(valid, rows, evidence.clusters, margin))
        elif mine.outputs and theirs.outputs and None not in evidence.expected:
            draws = [macro_f1_draws(evidence, one, economics.reviewer_accuracy) for one in (mine, theirs)]
            difference = draws[0] - draws[1]
            mean, sd = float(difference.mean()), max(float(difference.std()), 1e-12)
            low = float(np.quantile(difference, LEVEL))
            found[str(metric)] = (margin, low, len(rows), float(ndtr(-(mean + margin) / sd)))
    return found


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
