"""What the nearest labelled rows answer, for outputs that are not one label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from tasklift.data.embed import Vectors, open_embedder
from tasklift.data.nearest import nearest
from tasklift.dataset import Dataset
from tasklift.errors import StrategyError
from tasklift.metrics.base import Cases, open_metric
from tasklift.outputs.labels import Labels
from tasklift.outputs.number import Number
from tasklift.strategies.answers import Answer, AnsweringCandidate, number_of, plain
from tasklift.strategies.artifact import Arrays, Card, read_arrays
from tasklift.strategies.classifier import texts_of, validation_cut
from tasklift.task import Output, Task

#: A label is named where its share of the votes reaches this; chosen on validation.
CUTS = (0.3, 0.4, 0.5)
#: What the choice on validation looks at.
JUDGED_BY = {"labels": "set_f1", "number": "mae"}


@dataclass(frozen=True)
class Choice:
    """What may be chosen; as the parameters of `knn`."""

    embedder: str
    neighbours: tuple[int, ...]
    sharpness: tuple[float, ...]
    seed: int


@dataclass(frozen=True)
class Neighbours:
    """Labelled vectors and how they answer.

    Attributes:
        vectors: [rows, dimensions], unit length.
        answers: [rows].
        k: how many are asked; 1 copies the nearest row's answer.
        sharpness: similarity / sharpness is a neighbour's log-weight.
        cut: share of votes from which a label is named.
    """

    vectors: Vectors
    answers: Sequence[Any]
    k: int = 1
    sharpness: float = 0.1
    cut: float = 0.5

    def __call__(self, output: Output, vectors: Vectors) -> list[Any]:
        """[n, dimensions] -> [n] answers: voted labels, a weighted mean of numbers, else the nearest row's own."""
        index, similarity = nearest(vectors, self.vectors, self.k)
        weights = softmax(similarity / self.sharpness, axis=1)
        return [self._one(output, rows, weight) for rows, weight in zip(index, weights, strict=True)]

    def _one(self, output: Output, rows: NDArray[np.int64], weight: NDArray[np.float64]) -> Any:
        found = [self.answers[i] for i in rows]
        if isinstance(output, Labels):
            votes = {
                label: sum(w for w, said in zip(weight, found, strict=True) if label in said) for label in output.labels
            }
            return [label for label, vote in votes.items() if vote >= self.cut]
        if isinstance(output, Number) and not output.is_abstention(found[0]):
            some = [(w, said) for w, said in zip(weight, found, strict=True) if isinstance(said, int | float)]
            return number_of(output, float(sum(w * said for w, said in some) / sum(w for w, _ in some)))
        return found[0]


def fit_neighbours(task: Task, train: Dataset, choice: Choice) -> tuple[Neighbours, dict[str, Any]]:
    """Choose on validation where there is something to choose; every row then serves as a neighbour.

    Raises:
        StrategyError: too few rows to validate on.
    """
    embed = open_embedder(choice.embedder).encode
    everything = embed(texts_of(train, task.input_fields))
    answers = [plain(value) for value in train.outputs]
    judge = JUDGED_BY.get(task.output.kind)
    if judge is None:
        return Neighbours(everything, answers), {"k": 1}
    fitting, validation = validation_cut(train, choice.seed, stratum=task.output.stratum)
    metric = open_metric(judge, task.output.kind)
    rows, unknown = embed(texts_of(fitting, task.input_fields)), embed(texts_of(validation, task.input_fields))
    cuts = CUTS if task.output.kind == "labels" else CUTS[-1:]
    tried: list[tuple[float, tuple[int, float, float]]] = []
    for setting in product(choice.neighbours, choice.sharpness, cuts):
        said = Neighbours(rows, fitting.outputs, *setting)(task.output, unknown)
        cases = Cases(said, validation.outputs, task.output, task.right)
        value = float(metric.measure(cases)(np.ones((1, len(cases))))[0])
        tried.append((value if metric.higher_is_better else -value, setting))
    if not tried:
        raise StrategyError("knn: nothing to choose from")
    value, (k, sharpness, cut) = max(tried, key=lambda found: found[0])
    notes = {"k": k, "sharpness": sharpness, "cut": cut, f"validation_{judge}": abs(value)}
    return Neighbours(everything, answers, k, sharpness, cut), notes


def read_neighbours(folder: Path, card: Card) -> Neighbours:
    """What a saved candidate holds.

    Raises:
        ArtifactError: damaged.
    """
    chosen = {name: card.notes[name] for name in ("k", "sharpness", "cut") if name in card.notes}
    return Neighbours(read_arrays(folder)["vectors"], list(card.settings["answers"]), **chosen)


class NeighbourCandidate(AnsweringCandidate):
    """Embedding, then what the neighbours say."""

    def __init__(self, card: Card, neighbours: Neighbours) -> None:
        super().__init__(card)
        self._neighbours = neighbours
        self._embedder = open_embedder(str(card.parameters["embedder"]))

    def answers(self, texts: Sequence[str]) -> list[Answer]:
        """[n] texts -> [n] answers; how sure they are is not known."""
        return [(answer, None) for answer in self._neighbours(self.output, self._embedder.encode(texts))]

    def arrays(self) -> Arrays:
        """The labelled vectors."""
        return {"vectors": self._neighbours.vectors}
