"""A model as judge, and whether it may be believed: its agreement with people, and its known biases, measured first.

A judge's scores enter nothing by themselves. `agreement` says how far they go with the labels of people; `decide`
corrects them by such labels (the column `judge` of results.csv).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from tasklift.errors import DataError
from tasklift.llm.model import Message, Model, Request
from tasklift.stats.bootstrap import RowMetric, bca
from tasklift.stats.intervals import Interval, wilson

Floats = NDArray[np.float64]
#: Labels of people below which agreement is not told: its interval would say nothing.
FEWEST_LABELS = 30
#: A judge is believed where the lower end of kappa reaches "substantial" (Landis and Koch 1977).
LEAST_KAPPA = 0.6
Verdict = Literal["agrees with people", "does not agree with people", "not enough labels to tell"]

GRADE = """{rubric}

Question:
{source}

Answer to be judged:
{answer}

Is the answer good? Say yes or no.
Verdict:"""
PREFER = """{rubric}

Question:
{source}

Answer A:
{first}

Answer B:
{second}

Which answer is better? Say A or B.
Better:"""


@dataclass(frozen=True)
class Judge:
    """A model that grades answers.

    Attributes:
        model: who judges.
        rubric: what makes an answer good, as a careful stranger would have to be told.
    """

    model: Model
    rubric: str

    async def grade(self, sources: Sequence[str], answers: Sequence[str]) -> Floats:
        """[n] 1 where the judge says yes, else 0.

        Raises:
            ModelError: a call failed.
        """
        asked = [
            self._request(GRADE.format(rubric=self.rubric, source=source, answer=answer), ("yes", "no"))
            for source, answer in zip(sources, answers, strict=True)
        ]
        replies = await asyncio.gather(*(self.model.complete(request) for request in asked))
        return np.array([float(reply.text == "yes") for reply in replies])

    async def prefer(self, sources: Sequence[str], first: Sequence[str], second: Sequence[str]) -> PositionBias:
        """Which of two answers is better, asked in both orders.

        Raises:
            ModelError: a call failed.
        """
        straight, swapped = await asyncio.gather(
            self._choices(sources, first, second), self._choices(sources, second, first)
        )
        by_place = np.array([a == b for a, b in zip(straight, swapped, strict=True)])
        for_first = np.array([a == "A" and b == "B" for a, b in zip(straight, swapped, strict=True)])
        always_a = float(np.mean([a == "A" for a in straight + swapped]))
        return PositionBias(wilson(float(by_place.sum()), len(by_place)), always_a, for_first.astype(float), ~by_place)

    async def _choices(self, sources: Sequence[str], a: Sequence[str], b: Sequence[str]) -> list[str]:
        asked = [
            self._request(PREFER.format(rubric=self.rubric, source=source, first=one, second=other), ("A", "B"))
            for source, one, other in zip(sources, a, b, strict=True)
        ]
        return [reply.text for reply in await asyncio.gather(*(self.model.complete(request) for request in asked))]

    @staticmethod
    def _request(text: str, labels: tuple[str, ...]) -> Request:
        return Request((Message("user", text),), labels)


@dataclass(frozen=True)
class PositionBias:
    """How far a judge goes by the place of an answer.

    Attributes:
        by_place: share of pairs where swapping the answers did not swap the choice: the place decided.
        chose_first_place: share of all choices that fell on the first place; 0.5 without a bias.
        first_is_better: [pairs] 1 where the first answer won in both orders.
        counts: [pairs] the same answer won in both orders; the others say nothing.
    """

    by_place: Interval
    chose_first_place: float
    first_is_better: Floats
    counts: NDArray[np.bool_]


@dataclass(frozen=True)
class Agreement:
    """A judge against people, on the same answers.

    Attributes:
        rows: answers that both judged.
        agree: share on which they say the same, Wilson.
        kappa: Cohen's kappa, BCa interval; None where one of them always said the same.
        length: rank correlation of the judge's scores with the length of the answer, less that of the people's. Above
            0, the judge likes long answers more than people do.
        verdict: may it be believed?
    """

    rows: int
    agree: Interval
    kappa: Interval | None
    length: Interval | None
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return asdict(self)


def agreement(judged: Sequence[float], human: Sequence[float], answers: Sequence[str]) -> Agreement:
    """How far a judge goes with people.

    Args:
        judged: [n] 1 or 0, the judge.
        human: [n] 1 or 0, people.
        answers: [n] the judged texts, for the bias to length.

    Raises:
        DataError: lengths differ, there is nothing, or a value is neither 0 nor 1.
    """
    a, b = np.asarray(judged, dtype=np.float64), np.asarray(human, dtype=np.float64)
    if len(a) != len(b) or len(a) != len(answers) or not len(a):
        raise DataError(f"agreement: {len(a)} judged, {len(b)} labelled and {len(answers)} answers are not one set")
    if not np.isin(np.concatenate([a, b]), (0.0, 1.0)).all():
        raise DataError("agreement: labels of people and of the judge must be 0 or 1")
    varied = 0 < a.mean() < 1 and 0 < b.mean() < 1
    kappa = _interval(cohen_kappa(a, b)) if varied else None
    lengths = np.array([len(text) for text in answers], dtype=np.float64)
    length = _interval(_length_gap(a, b, lengths)) if varied and np.ptp(lengths) > 0 else None
    agree = wilson(float((a == b).sum()), len(a))
    if len(a) < FEWEST_LABELS or kappa is None:
        verdict: Verdict = "not enough labels to tell"
    else:
        verdict = "agrees with people" if kappa.low >= LEAST_KAPPA else "does not agree with people"
    return Agreement(len(a), agree, kappa, length, verdict)


def cohen_kappa(a: Floats, b: Floats) -> RowMetric:
    """Agreement of two raters beyond chance (Cohen 1960), on 0 and 1."""

    def finish(sums: Floats) -> Floats:
        same, first, second, n = sums.T
        p, q = first / n, second / n
        chance = p * q + (1 - p) * (1 - q)
        return np.asarray((same / n - chance) / np.maximum(1 - chance, 1e-12))

    return RowMetric(np.column_stack([a == b, a, b, np.ones(len(a))]).astype(np.float64), finish)


def _length_gap(a: Floats, b: Floats, lengths: Floats) -> RowMetric:
    """Rank correlation with length of a, less that of b. Ranks are those of all rows, also in a resample."""
    x = rankdata(lengths)
    columns = [np.ones(len(a)), x, x**2, a, a**2, a * x, b, b**2, b * x]

    def finish(sums: Floats) -> Floats:
        n, sx, sxx, sa, saa, sax, sb, sbb, sbx = sums.T

        def correlation(sy: Floats, syy: Floats, sxy: Floats) -> Floats:
            below = np.sqrt(np.maximum((n * sxx - sx**2) * (n * syy - sy**2), 1e-12))
            return np.asarray((n * sxy - sx * sy) / below)

        return np.asarray(correlation(sa, saa, sax) - correlation(sb, sbb, sbx))

    return RowMetric(np.column_stack(columns), finish)


def _interval(metric: RowMetric) -> Interval:
    value = float(metric(np.ones((1, len(metric.parts))))[0])
    try:
        return bca(metric, len(metric.parts))
    except DataError:  # every resample gives the same
        return Interval(value, value, value)


def texts_of(outputs: Sequence[Any]) -> list[str]:
    """Answers of any kind as a judge is shown them."""
    return [output if isinstance(output, str) else "" if output is None else str(output) for output in outputs]


def labels_from(rows: Sequence[Mapping[str, Any]], candidate: str) -> dict[str, float]:
    """Row id -> a person's label of one candidate's answers.

    Args:
        rows: objects with `id`, `right` (0 or 1) and optionally `candidate`.

    Raises:
        DataError: a row lacks one of them.
    """
    found: dict[str, float] = {}
    for at, row in enumerate(rows, 1):
        if row.get("candidate", candidate) != candidate:
            continue
        if "id" not in row or row.get("right") not in (0, 1):
            raise DataError(f"line {at}: a label is an object with `id` and `right` (0 or 1), not {dict(row)!r}")
        found[str(row["id"])] = float(row["right"])
    return found
