"""Vote of the nearest labelled rows: no training, new labels count at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from tasklift.data.embed import Vectors, open_embedder
from tasklift.data.nearest import nearest
from tasklift.dataset import Dataset
from tasklift.stats.calibration import fit_temperature
from tasklift.strategies.artifact import Arrays, Card, read_arrays
from tasklift.strategies.classifier import (
    ClassifierCandidate,
    Probabilities,
    label_indices,
    texts_of,
    validation_cut,
)
from tasklift.strategies.neighbours import Choice, NeighbourCandidate, fit_neighbours, read_neighbours
from tasklift.strategies.recipe import EVERY_KIND, Recipe, require, require_rows
from tasklift.strategy import Family, Resources
from tasklift.task import Task
from tasklift.worker import timed

#: Added to every vote share before its logarithm, so that a label without a vote is unlikely, not impossible.
FLOOR = 1e-3


@dataclass(frozen=True)
class Knn(Recipe):
    """Nearest neighbours on sentence embeddings, votes weighted by similarity.

    Attributes:
        embedder: registry name.
        neighbours: values of k to choose from, on validation.
        sharpness: softmax temperatures of the similarities to choose from; smaller trusts the nearest more.
        seed: of the validation cut.
    """

    name: ClassVar[str] = "knn"
    family: ClassVar[Family] = "baseline"
    version: ClassVar[int] = 2
    kinds: ClassVar[frozenset[str]] = EVERY_KIND

    embedder: str = "minilm"
    neighbours: tuple[int, ...] = (5, 10, 20)
    sharpness: tuple[float, ...] = (0.03, 0.1)
    seed: int = 0

    def __post_init__(self) -> None:
        require(
            bool(self.neighbours) and min(self.neighbours) > 0,
            self.name,
            f"neighbours={self.neighbours} must be positive",
        )
        require(
            bool(self.sharpness) and min(self.sharpness) > 0,
            self.name,
            f"sharpness={self.sharpness} must be positive",
        )

    def base(self) -> str:
        """Snapshot of the embedder."""
        return open_embedder(self.embedder).snapshot

    def fit(self, task: Task, train: Dataset) -> KnnCandidate | NeighbourCandidate:
        """Choose k, sharpness and temperature on validation; every row then serves as a neighbour."""
        require_rows(task, train, self.name, self.kinds)
        if task.output.kind != "label":
            return self._fit_other(task, train)
        done = timed(self._fit, task, train)
        vote, notes = done.value
        resources = Resources(labels=len(train), cpu_s=done.cpu_s)
        card = self.card(task, train, resources, notes=notes, settings={"ids": list(train.ids)})
        return KnnCandidate(card, vote)

    def _fit_other(self, task: Task, train: Dataset) -> NeighbourCandidate:
        choice = Choice(self.embedder, self.neighbours, self.sharpness, self.seed)
        done = timed(fit_neighbours, task, train, choice)
        found, notes = done.value
        resources = Resources(labels=len(train), cpu_s=done.cpu_s)
        settings = {"answers": list(found.answers), "ids": list(train.ids)}
        card = self.card(task, train, resources, notes=notes, settings=settings)
        return NeighbourCandidate(card, found)

    def _fit(self, task: Task, train: Dataset) -> tuple[Vote, dict[str, Any]]:
        labels = list(task.labels)
        fitting, validation = validation_cut(train, self.seed, stratum=task.output.stratum)
        embed = open_embedder(self.embedder).encode
        rows = embed(texts_of(fitting, task.input_fields)), label_indices(fitting, labels)
        unknown, truth = embed(texts_of(validation, task.input_fields)), label_indices(validation, labels)
        best: tuple[float, float, Vote] | None = None
        for k in self.neighbours:
            for sharp in self.sharpness:
                logits = Vote(*rows, k, sharp, 1.0, len(labels)).logits(unknown)
                temperature = fit_temperature(logits, truth)
                accuracy = float(np.mean(logits.argmax(1) == truth))
                loss = -float(np.log(softmax(logits / temperature, axis=1)[np.arange(len(truth)), truth]).mean())
                if best is None or (accuracy, -loss) > best[:2]:
                    best = (accuracy, -loss, Vote(*rows, k, sharp, temperature, len(labels)))
        if best is None:
            raise ValueError("knn: nothing to choose from")
        chosen = best[2]
        vectors = embed(texts_of(train, task.input_fields))
        vote = Vote(vectors, label_indices(train, labels), chosen.k, chosen.sharpness, chosen.temperature, len(labels))
        return vote, {
            "k": vote.k,
            "sharpness": vote.sharpness,
            "validation_accuracy": best[0],
            "temperature": vote.temperature,
        }

    @staticmethod
    def load(folder: Path, card: Card) -> KnnCandidate | NeighbourCandidate:
        """A saved candidate."""
        if card.output_kind.kind != "label":
            return NeighbourCandidate(card, read_neighbours(folder, card))
        stored, notes = read_arrays(folder), card.notes
        vote = Vote(
            stored["vectors"],
            stored["truth"],
            notes["k"],
            notes["sharpness"],
            notes["temperature"],
            len(card.labels),
        )
        return KnnCandidate(card, vote)


@dataclass(frozen=True)
class Vote:
    """Labelled vectors and how they vote.

    Attributes:
        vectors: [rows, dimensions], unit length.
        truth: [rows] label indices.
        k: how many neighbours vote.
        sharpness: similarity / sharpness is a neighbour's log-weight.
        temperature: of the final softmax.
        labels: number of labels.
    """

    vectors: Vectors
    truth: NDArray[np.int64]
    k: int
    sharpness: float
    temperature: float
    labels: int

    def logits(self, vectors: Vectors) -> NDArray[np.float64]:
        """[n, dimensions] -> log vote shares [n, labels]."""
        index, similarity = nearest(vectors, self.vectors, self.k)
        weight = softmax(similarity / self.sharpness, axis=1)
        shares = np.zeros((len(vectors), self.labels))
        np.add.at(shares, (np.arange(len(vectors))[:, None], self.truth[index]), weight)
        return np.asarray(np.log(shares + FLOOR))

    def __call__(self, vectors: Vectors) -> Probabilities:
        """[n, dimensions] -> [n, labels]."""
        return np.asarray(softmax(self.logits(vectors) / self.temperature, axis=1))


class KnnCandidate(ClassifierCandidate):
    """Embedding, then a vote."""

    def __init__(self, card: Card, vote: Vote) -> None:
        super().__init__(card)
        self._vote = vote
        self._embedder = open_embedder(str(card.parameters["embedder"]))

    def probabilities(self, texts: Sequence[str]) -> Probabilities:
        """[n] texts -> [n, labels]."""
        return self._vote(self._embedder.encode(texts))

    def arrays(self) -> Arrays:
        """The labelled vectors."""
        return {"vectors": self._vote.vectors, "truth": self._vote.truth}
