"""Labelled rows to retrieve from: texts, answers and vectors; how good retrieving is, and the neighbours' vote."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasklift.data.embed import Vectors
from tasklift.data.nearest import nearest
from tasklift.dataset import Dataset
from tasklift.prediction import DECIMALS
from tasklift.strategies.artifact import Card, read_arrays
from tasklift.strategies.screen import (
    Limits,
    limits_from,
)
from tasklift.strategies.selection import Found, Picker
from tasklift.task import Task
from tasklift.tokens import estimated_tokens

#: Rows on which retrieval is measured when it is fitted.
MEASURED = 500
#: A row at similarity 0.69 votes a tenth as much as one at 0.92; and what a label without any row has.
SHARPNESS, UNSEEN = 8, 1e-3


@dataclass(frozen=True)
class Store:
    """The labelled rows: texts [n], label indices [n], vectors [n, dimensions], ids [n], and answers as they should
    be written [n].

    Where outputs are not one label, the indices are those of what a split keeps the mix of (`OutputKind.stratum`).
    """

    texts: Sequence[str]
    truth: NDArray[np.int64]
    vectors: Vectors
    ids: Sequence[str] = ()
    answers: Sequence[str] = ()

    def near(self, vectors: Vectors, count: int) -> list[Found]:
        """The `count` nearest rows of each of [n, dimensions] vectors."""
        index, similarity = nearest(vectors, self.vectors, count)
        return [
            Found(rows, likeness, self.vectors[rows], self.truth[rows])
            for rows, likeness in zip(index, similarity, strict=True)
        ]

    def likeness(self, vectors: Vectors, own: Sequence[int] | None = None) -> NDArray[np.float64]:
        """[n, dimensions] -> [n] largest cosine to a row; `own` says which row to leave out for each."""
        cosines = vectors @ self.vectors.T
        if own is not None:
            cosines[np.arange(len(own)), list(own)] = -1.0
        return np.asarray(cosines.max(axis=1), dtype=np.float64).round(DECIMALS)

    def limits(self, encode: Callable[[Sequence[str]], Vectors]) -> Limits:
        """Above which a sentence is foreign, from sentences of the rows, each compared with the other rows."""
        return limits_from(self.texts, lambda parts, own: self.likeness(encode(parts), own))

    def measured(self, picker: Picker) -> dict[str, float]:
        """Retrieval on its own, each of at most `MEASURED` rows left out in turn: how often the right label is among
        the examples, and how many tokens they take."""
        own = range(0, len(self.texts), max(1, len(self.texts) // MEASURED))
        right, tokens = 0, 0
        for at, found in zip(own, self.near(self.vectors[list(own)], picker.pool + 1), strict=True):
            others = found.rows != at
            left = Found(found.rows[others], found.similarity[others], found.vectors[others], found.labels[others])
            shown = picker.pick(left, self.texts)
            right += bool((self.truth[shown] == self.truth[at]).any())
            tokens += sum(estimated_tokens(self.texts[row][: picker.chars]) for row in shown)
        return {"right_label_shown": right / len(own), "example_tokens": tokens / len(own)}


def read_store(folder: Path, card: Card) -> Store:
    """The rows of a saved candidate.

    Raises:
        ArtifactError: damaged.
    """
    stored, settings, labels = read_arrays(folder), card.settings, list(card.labels)
    answers = settings.get("answers") or [labels[i] for i in stored["truth"]]
    ids = list(settings.get("ids", ()))
    return Store(list(settings["texts"]), stored["truth"], stored["vectors"], ids, list(answers))


def strata_of(task: Task, train: Dataset) -> NDArray[np.int64]:
    """[n] which stratum each row belongs to, for examples that are balanced."""
    _, codes = np.unique([task.output.stratum(value) for value in train.outputs], return_inverse=True)
    return codes.astype(np.int64)


def vote(near: Found, labels: Sequence[str]) -> dict[str, float]:
    """Label -> log of its share of the similarity of the rows found, each to the power `SHARPNESS`."""
    strength = np.full(len(labels), UNSEEN)
    np.add.at(strength, near.labels, np.clip(near.similarity, 0.0, 1.0) ** SHARPNESS)
    shares = np.log(strength / strength.sum())
    return dict(zip(labels, shares.tolist(), strict=True))


def agreed_accuracy(vectors: Vectors, truth: NDArray[np.int64], k: int) -> float:
    """Among rows whose k nearest other rows share one label: how often it is the right one.

    One row more of each kind is added, so that a handful of rows never claims certainty.

    Args:
        vectors: [n, dimensions], unit length.
        truth: [n] label indices.
    """
    index, _ = nearest(vectors, vectors, k + 1)
    own = index == np.arange(len(vectors))[:, None]
    # A repeated text may push a row out of its own neighbourhood: then its last neighbour goes.
    own[~own.any(axis=1), -1] = True
    labels = truth[index[~own].reshape(len(vectors), -1)]
    agreed = (labels == labels[:, :1]).all(axis=1)
    right = int((labels[agreed, 0] == truth[agreed]).sum())
    return (right + 1) / (int(agreed.sum()) + 2)
