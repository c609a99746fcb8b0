"""Scores of a model that judges, corrected by whatever labels of people exist (prediction-powered inference).

A judge is never trusted unmeasured: how far its scores count is measured on the rows that people labelled too, and
without such rows they count for nothing. The correction is that of `tasklift.stats.ppi`; here it is spread over the
rows, so that the posterior of a decision sees what it does: each row gets

    w f + c + [labelled] M/n (y - w f - c),    c = mean over labelled rows of (y - w f),

with y the label, f the judge's score, w the judge's weight, n labelled of M judged rows. The mean of these values
is the corrected mean, and weighing rows anew gives its spread (the augmented estimator of Robins, Rotnitzky and Zhao
1994, of which prediction-powered inference is the case of a random sample).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasklift.errors import DataError
from tasklift.stats.intervals import Interval, wilson
from tasklift.stats.ppi import FEWEST_LABELS, powered_mean

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Judged:
    """What a judge said of one option, and what that is worth.

    Attributes:
        rows: rows with an answer that was judged or labelled.
        labels: rows of them that a person labelled.
        agreement: share of rows with both on which judge and person say the same (both at least 0.5, or
            both below); None: no row has both.
        judge_mean: mean score of the judge, not corrected.
        corrected: mean of what people would say, with its 95% interval.
        weight: how far the judge is trusted, 0 (labels alone) to 1.
        labels_worth: how many labels alone would tell as much.
        labelled: [rows of the evidence] which rows a person labelled.
    """

    rows: int
    labels: int
    agreement: Interval | None
    judge_mean: float
    corrected: Interval
    weight: float
    labels_worth: float
    labelled: Flags

    def to_json(self) -> dict[str, Any]:
        """Plain fields, without the rows."""
        plain = {name: getattr(self, name) for name in ("rows", "labels", "judge_mean", "weight", "labels_worth")}
        for name in ("agreement", "corrected"):
            found: Interval | None = getattr(self, name)
            plain[name] = found and {"value": found.value, "low": found.low, "high": found.high}
        return plain

    def told(self, option: str) -> str:
        """In a sentence."""
        start = (
            f"{option}: a model judged {self.rows} answers (mean {self.judge_mean:.1%}), people {self.labels} of them"
        )
        if self.agreement is None or self.weight == 0:
            return f"{start}; its scores do not count, since {self._why()}: only people's labels do"
        c, a = self.corrected, self.agreement
        return (
            f"{start}; they agree on {a.value:.0%} [{a.low:.0%}, {a.high:.0%}]; corrected to {c.value:.1%} "
            f"[{c.low:.1%}, {c.high:.1%}], as good as {self.labels_worth:.0f} labels if those are a random sample"
        )

    def _why(self) -> str:
        if self.labels < FEWEST_LABELS:
            return f"{self.labels} labels are fewer than {FEWEST_LABELS}"
        return "on the labelled rows they do not go with what people say"


def corrected(option: str, human: Floats, judge: Floats, known_wrong: Flags) -> tuple[Floats, Judged]:
    """[rows] values whose mean is the corrected score, and what was measured of the judge.

    Args:
        option: for messages.
        human: [rows] label of a person, 0 to 1; NaN where there is none.
        judge: [rows] the judge's score, 0 to 1; NaN where there is none.
        known_wrong: [rows] no answer came: wrong without a label. They stay 0.

    Raises:
        DataError: no label of a person, or a row has neither label nor score.
    """
    y, f = np.where(known_wrong, np.nan, human), np.where(known_wrong, np.nan, judge)
    labelled, judged = ~np.isnan(y), ~np.isnan(f)
    open_ = ~known_wrong
    n, m = int(labelled.sum()), int(open_.sum())
    if (open_ & ~labelled & ~judged).any():
        raise DataError(f"{option}: some answers have neither a person's label nor a judge's score")
    if n == 0:
        raise DataError(
            f"{option}: a model judged {m} answers, but no person labelled any, so nobody knows what its scores are "
            f"worth; label at least {FEWEST_LABELS} answers drawn at random (0 or 1 in `correct`) and decide again"
        )
    mean_f = float(f[judged].mean()) if judged.any() else 0.0
    f = np.where(judged, f, mean_f)  # any constant will do: the correction takes it off again
    both = labelled & judged
    same = (y >= 0.5) == (f >= 0.5)
    agreement = wilson(float(same[both].sum()), int(both.sum())) if both.any() else None
    interval, weight, worth = _powered(y[labelled], f[labelled], f[open_ & ~labelled])
    told = Judged(m, n, agreement, mean_f, interval, weight, min(worth, float(m)), labelled)
    if n == m:
        return np.where(labelled, y, 0.0), told
    # `powered_mean` holds labelled rows against the others; here against all rows, labelled ones among them.
    w = weight * m / (m - n)
    shift = float((y - w * f)[labelled].mean())
    values = w * f + shift + np.where(labelled, m / n * (np.nan_to_num(y) - w * f - shift), 0.0)
    return np.where(open_, values, 0.0), told


def _powered(y: Floats, f: Floats, others: Floats) -> tuple[Interval, float, float]:
    """Interval, weight of the judge, and labels worth; the labels alone where a judge cannot be measured."""
    n = len(y)
    if n < FEWEST_LABELS or len(others) == 0 or np.ptp(y) == 0:
        return wilson(float(y.sum()), n), 0.0, float(n)
    found = powered_mean(y, f, others)
    low, high = max(found.interval.low, 0.0), min(found.interval.high, 1.0)
    value = min(max(found.interval.value, 0.0), 1.0)
    return Interval(value, low, high), found.weight, found.labels_worth


def labels_of_a_row(judges: Mapping[str, Judged], rows: int) -> float:
    """How many labels a row of the evidence is worth, of the option whose judge is worth least; 1 without judges."""
    return min((min(one.labels_worth / rows, 1.0) for one in judges.values()), default=1.0)
