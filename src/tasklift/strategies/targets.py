"""From a task's answers to what a model learns, and from its scores back to answers: one label, several, a number."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from tasklift.dataset import Dataset
from tasklift.errors import StrategyError
from tasklift.metrics.base import Cases
from tasklift.metrics.right import Accuracy
from tasklift.outputs.labels import Labels
from tasklift.outputs.number import Number
from tasklift.stats.calibration import Platt, fit_platt
from tasklift.strategies.answers import Answer, AnsweringCandidate, number_of
from tasklift.strategies.artifact import Arrays, Card, write_artifact
from tasklift.strategies.classifier import label_indices
from tasklift.strategies.heads import CUTS, Learner, OneLabel, OneNumber, Scores, SomeLabels, Truth, micro_f1
from tasklift.task import Output, Task

#: Kinds of output that a linear head gives.
SCORED_KINDS = frozenset({"label", "labels", "number"})
#: How sure a number is: the share that was right among so many held-out rows with the nearest scores.
NEAREST_ROWS = 50


@dataclass(frozen=True)
class Target:
    """What is learnt of a task's answers.

    Attributes:
        learner: how a linear head is fitted.
        centre: of the numbers in the training rows; 0 for labels.
        scale: their standard deviation; 1 for labels.
    """

    output: Output
    learner: Learner
    centre: float = 0.0
    scale: float = 1.0

    @classmethod
    def of(cls, task: Task, train: Dataset, who: str) -> Target:
        """The target of a task.

        Raises:
            StrategyError: rows that abstain from a number, which a head cannot learn.
        """
        output = task.output
        if isinstance(output, Labels):
            return cls(output, SomeLabels(len(output.labels)))
        if not isinstance(output, Number):
            return cls(output, OneLabel(len(task.labels)))
        without = [row.id for row in train if not isinstance(row.output, int | float)]
        if without:
            raise StrategyError(
                f"{who}: {len(without)} training rows hold no number (first: {without[:1]}); "
                "leave them out, or use knn, prompt or fewshot, which can abstain"
            )
        numbers = np.array(train.outputs, dtype=np.float64)
        return cls(output, OneNumber(), float(numbers.mean()), float(numbers.std()) or 1.0)

    def truth(self, rows: Dataset) -> Truth:
        """[n] label indices, [n, labels] of 0 and 1, or [n, 1] standardised numbers."""
        if isinstance(self.output, Labels):
            named = [set(row.output) for row in rows]
            return np.array([[float(label in some) for label in self.output.labels] for some in named])
        if isinstance(self.output, Number):
            return (np.array([[row.output] for row in rows], dtype=np.float64) - self.centre) / self.scale
        return label_indices(rows, list(self.output.definitions))

    def reading(self, task: Task, rows: Dataset, scores: Scores, temperature: float) -> Reading:
        """How scores are read, fitted on those of held-out rows: [m, width]."""
        if isinstance(self.output, Labels):
            truth = self.truth(rows)
            cut = max(CUTS, key=lambda cut: (micro_f1(scores > cut, truth), -abs(cut)))
            bare = Reading(temperature=temperature, cut=cut)
        else:
            bare = Reading(centre=self.centre, scale=self.scale)
        answers, sure = bare.of(self.output, scores)
        right = Accuracy().rows(Cases(answers, rows.outputs, task.output, task.right))
        if isinstance(self.output, Labels):
            platt = fit_platt(sure, right)
            return Reading(temperature=temperature, cut=cut, slope=platt.slope, offset=platt.offset)
        order = np.argsort(scores[:, 0], kind="stable")
        steps = {"scores": scores[order, 0].round(4).tolist(), "right": right[order].tolist()}
        return Reading(centre=self.centre, scale=self.scale, held_out=steps)


@dataclass(frozen=True)
class Reading:
    """From scores to answers with how sure they are.

    Attributes:
        temperature: of several labels' log-odds.
        cut: log-odds from which a label is named.
        slope: Platt scaling of the probability that the whole set is right, labels taken as independent.
        offset: of the same.
        centre: a number is centre + scale * score.
        scale: see `centre`.
        held_out: scores of held-out rows, ascending, and whether the number was right.
    """

    temperature: float = 1.0
    cut: float = 0.0
    slope: float = 1.0
    offset: float = 0.0
    centre: float = 0.0
    scale: float = 1.0
    held_out: Mapping[str, list[float]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """For the card."""
        return dict(self.__dict__)

    def of(self, output: Output, scores: Scores) -> tuple[list[Any], NDArray[np.float64]]:
        """[n, width] -> [n] answers, and [n] how probable it is that each is right."""
        if isinstance(output, Labels):
            named = scores > self.cut
            answers = [[label for label, said in zip(output.labels, row, strict=True) if said] for row in named]
            odds = np.where(named, scores - min(self.cut, 0.0), -scores + max(self.cut, 0.0)) / self.temperature
            return answers, Platt(self.slope, self.offset)(np.prod(expit(odds), axis=1))
        if not isinstance(output, Number):
            raise StrategyError(f"outputs of kind {output.kind} are not read from scores")
        numbers = [number_of(output, self.centre + self.scale * float(score)) for score in scores[:, 0]]
        return numbers, self._share_right(scores[:, 0])

    def _share_right(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """[n] the share of right numbers among the held-out rows whose scores are nearest."""
        if not self.held_out:
            return np.full(len(scores), 0.5)
        known, right = np.array(self.held_out["scores"]), np.array(self.held_out["right"])
        sums = np.concatenate([[0.0], np.cumsum(right)])
        size = min(NEAREST_ROWS, len(known))
        start = np.clip(np.searchsorted(known, scores) - size // 2, 0, len(known) - size)
        return np.asarray((sums[start + size] - sums[start] + 1) / (size + 2))


class Scorer(Protocol):
    """A fitted model that scores texts."""

    def scores(self, texts: Sequence[str]) -> Scores:
        """[n] texts -> [n, width]."""
        ...

    def arrays(self) -> Arrays:
        """What has to be stored to score again."""
        ...

    @abstractmethod
    def parts(self) -> Mapping[str, Any]:
        """Sub-folder -> what else has to be stored, each with a `save(folder)`."""
        ...


class ScoredCandidate(AnsweringCandidate):
    """Several labels, or a number, read from the scores of a model."""

    def __init__(self, card: Card, scorer: Scorer) -> None:
        super().__init__(card)
        self.scorer = scorer
        self._reading = Reading(**card.settings)

    def answers(self, texts: Sequence[str]) -> list[Answer]:
        """[n] texts -> [n] answers."""
        answers, sure = self._reading.of(self.output, self.scorer.scores(texts))
        return list(zip(answers, sure.tolist(), strict=True))

    def arrays(self) -> Arrays:
        """The model's."""
        return self.scorer.arrays()

    def save(self, folder: Path) -> None:
        """With the parts of the model."""
        write_artifact(folder, self.card, self.arrays(), self.scorer.parts())
