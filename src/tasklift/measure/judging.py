"""A model as judge, and whether it may be believed: its agreement with people, and its known biases, measured first.

A judge's scores enter nothing by themselves. `agreement` says how far they go with the labels of people; `decide`
corrects them by such labels (the column `judge` of results.csv).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tasklift.errors import ContextOverflowError, DataError, InvalidOutputError
from tasklift.llm.model import Message, Model, Request
from tasklift.stats.bootstrap import RowMetric, bca, mean_metric
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
        """[n] 1 where the judge says yes, else 0; also 0 where what it says is neither, or the text is too long for it.

        Raises:
            ModelError: a call failed.
        """
        asked = [
            self._request(GRADE.format(rubric=self.rubric, source=source, answer=answer), ("yes", "no"))
            for source, answer in zip(sources, answers, strict=True)
        ]
        return np.array([float(said == "yes") for said in await self._said(asked)])

    async def prefer(self, sources: Sequence[str], first: Sequence[str], second: Sequence[str]) -> PositionBias:
        """Which of two answers is better, asked in both orders.

        Raises:
            ModelError: a call failed.
        """
        return position_bias(await self.choices(sources, first, second))

    async def choices(self, sources: Sequence[str], first: Sequence[str], second: Sequence[str]) -> list[str]:
        """[n] the two places chosen, with the first answer in place A and then in place B: "AB" is for the first
        answer, "BA" for the second, "AA" and "BB" for a place; "" where one choice was neither A nor B.

        Raises:
            ModelError: a call failed.
        """
        asked = [
            self._request(PREFER.format(rubric=self.rubric, source=source, first=a, second=b), ("A", "B"))
            for one, other in ((first, second), (second, first))
            for source, a, b in zip(sources, one, other, strict=True)
        ]
        said = await self._said(asked)
        pairs = zip(said[: len(sources)], said[len(sources) :], strict=True)
        return [a + b if a and b else "" for a, b in pairs]

    async def _said(self, asked: Sequence[Request]) -> list[str]:
        return list(await asyncio.gather(*(self._verdict(request) for request in asked)))

    async def _verdict(self, request: Request) -> str:
        """One of the request's labels; "" where the model gives none of them, or cannot take so long a text."""
        try:
            return (await self.model.complete(request)).text
        except (InvalidOutputError, ContextOverflowError):
            return ""

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


def position_bias(choices: Sequence[str]) -> PositionBias:
    """What pairs of choices tell of a judge, as `Judge.choices` gives them; those without a choice are left out.

    Raises:
        DataError: there is no pair.
    """
    known = [both for both in choices if both]
    if not known:
        raise DataError("position_bias: there is no pair of answers that the judge chose from")
    by_place = np.array([both[0] == both[1] for both in known])
    for_first = np.array([both == "AB" for both in known])
    always_a = float(np.mean([place == "A" for both in known for place in both]))
    return PositionBias(wilson(float(by_place.sum()), len(known)), always_a, for_first.astype(float), ~by_place)


@dataclass(frozen=True)
class Agreement:
    """A judge against people, on the same answers.

    Attributes:
        rows: answers that both judged.
        agree: share on which they say the same, Wilson; with clusters BCa.
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


def agreement(
    judged: Sequence[float],
    human: Sequence[float],
    answers: Sequence[str],
    clusters: Sequence[str] | None = None,
    least_kappa: float = LEAST_KAPPA,
) -> Agreement:
    """How far a judge goes with people.

    Args:
        judged: [n] 1 or 0, the judge.
        human: [n] 1 or 0, people.
        answers: [n] the judged texts, for the bias to length.
        clusters: [n] answers of one cluster (to one question) are drawn together; None: each by itself.
        least_kappa: the judge is believed where the lower end of kappa reaches it.

    Raises:
        DataError: lengths differ, there is nothing, or a value is neither 0 nor 1.
    """
    a, b = np.asarray(judged, dtype=np.float64), np.asarray(human, dtype=np.float64)
    if len(a) != len(b) or len(a) != len(answers) or not len(a):
        raise DataError(f"agreement: {len(a)} judged, {len(b)} labelled and {len(answers)} answers are not one set")
    if not np.isin(np.concatenate([a, b]), (0.0, 1.0)).all():
        raise DataError("agreement: labels of people and of the judge must be 0 or 1")
    if clusters is not None and len(set(clusters)) == len(a):
        clusters = None  # each is its own
    varied = 0 < a.mean() < 1 and 0 < b.mean() < 1
    kappa = _interval(cohen_kappa(a, b), clusters) if varied else None
    lengths = np.array([len(text) for text in answers], dtype=np.float64)
    length = _interval(_length_gap(a, b, lengths), clusters) if varied and np.ptp(lengths) > 0 else None
    if len(a) < FEWEST_LABELS or kappa is None:
        verdict: Verdict = "not enough labels to tell"
    else:
        verdict = "agrees with people" if kappa.low >= least_kappa else "does not agree with people"
    return Agreement(len(a), _share(a == b, clusters), kappa, length, verdict)


def _share(same: NDArray[np.bool_], clusters: Sequence[str] | None) -> Interval:
    """Wilson; with clusters BCa, or Wilson of as many rows as there are clusters where nothing varies."""
    if clusters is None:
        return wilson(float(same.sum()), len(same))
    found, units = _interval(mean_metric(same), clusters), len(set(clusters))
    return found if found.low < found.high else wilson(found.value * units, units)


def cohen_kappa(a: Floats, b: Floats) -> RowMetric:
    """Agreement of two raters beyond chance (Cohen 1960), on 0 and 1."""

    def finish(sums: Floats) -> Floats:
        same, first, second, n = sums.T
        p, q = first / n, second / n
        chance = p * q + (1 - p) * (1 - q)
        return np.asarray((same / n - chance) / np.maximum(1 - chance, 1e-12))

    return RowMetric(np.column_stack([a == b, a, b, np.ones(len(a))]).astype(np.float64), finish)


def _ranks(values: Floats) -> Floats:
    """[n] from 1 on, the mean rank of equal values; written out, since `scipy.stats` is slow to import."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[place], dtype=np.float64)


def _length_gap(a: Floats, b: Floats, lengths: Floats) -> RowMetric:
    """Rank correlation with length of a, less that of b. Ranks are those of all rows, also in a resample."""
    x = _ranks(lengths)
    columns = [np.ones(len(a)), x, x**2, a, a**2, a * x, b, b**2, b * x]

    def finish(sums: Floats) -> Floats:
        n, sx, sxx, sa, saa, sax, sb, sbb, sbx = sums.T

        def correlation(sy: Floats, syy: Floats, sxy: Floats) -> Floats:
            below = np.sqrt(np.maximum((n * sxx - sx**2) * (n * syy - sy**2), 1e-12))
            return np.asarray((n * sxy - sx * sy) / below)

        return np.asarray(correlation(sa, saa, sax) - correlation(sb, sbb, sbx))

    return RowMetric(np.column_stack(columns), finish)


def _interval(metric: RowMetric, clusters: Sequence[str] | None) -> Interval:
    value = float(metric(np.ones((1, len(metric.parts))))[0])
    try:
        return bca(metric, len(metric.parts), clusters)
    except DataError:  # every resample gives the same
        return Interval(value, value, value)


def texts_of(outputs: Sequence[Any]) -> list[str]:
    """Answers of any kind as a judge is shown them."""
    return [output if isinstance(output, str) else "" if output is None else str(output) for output in outputs]
