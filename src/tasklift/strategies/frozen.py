"""A frozen sentence encoder with a logistic-regression head: the cheap fine-tune, seconds of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from tasklift.data.embed import Vectors, open_embedder
from tasklift.dataset import Dataset
from tasklift.stats.calibration import fit_temperature
from tasklift.strategies.artifact import Arrays, Card, read_arrays
from tasklift.strategies.classifier import (
    ClassifierCandidate,
    Probabilities,
    label_indices,
    spread,
    texts_of,
    validation_cut,
)
from tasklift.strategies.recipe import Recipe, require, require_rows
from tasklift.strategy import Family, Resources
from tasklift.task import Task
from tasklift.worker import timed


@dataclass(frozen=True)
class Head:
    """A linear layer over embeddings: weights [labels, dimensions], bias [labels], temperature."""

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    temperature: float = 1.0

    def __call__(self, vectors: Vectors) -> Probabilities:
        """[n, dimensions] -> [n, labels]."""
        logits = (vectors @ self.weights.T + self.bias).astype(np.float64)
        return np.asarray(softmax(logits / self.temperature, axis=1))


@dataclass(frozen=True)
class FrozenEncoder(Recipe):
    """Logistic regression on frozen sentence embeddings.

    Attributes:
        embedder: registry name; `static` needs no torch.
        strengths: values of C to choose from, on validation.
        seed: of the validation cut.
    """

    name: ClassVar[str] = "frozen"
    family: ClassVar[Family] = "finetune"

    embedder: str = "minilm"
    strengths: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0, 100.0)
    seed: int = 0

    def __post_init__(self) -> None:
        require(
            bool(self.strengths) and min(self.strengths) > 0,
            self.name,
            f"strengths={self.strengths} must be positive",
        )

    def base(self) -> str:
        """Snapshot of the embedder."""
        return open_embedder(self.embedder).snapshot

    def fit(self, task: Task, train: Dataset) -> FrozenCandidate:
        """Choose C and the temperature on validation, then fit the head on all rows."""
        require_rows(task, train, self.name)
        done = timed(self._fit, task, train)
        head, notes = done.value
        card = self.card(task, train, Resources(labels=len(train), cpu_s=done.cpu_s), notes=notes)
        return FrozenCandidate(card, head)

    def _fit(self, task: Task, train: Dataset) -> tuple[Head, dict[str, Any]]:
        labels = list(task.labels)
        fitting, validation = validation_cut(train, self.seed)
        embed = open_embedder(self.embedder).encode
        vectors, held_out = (
            embed(texts_of(fitting, task.input_fields)),
            embed(texts_of(validation, task.input_fields)),
        )
        best, accuracy, temperature = choose_head(
            (vectors, label_indices(fitting, labels)),
            (held_out, label_indices(validation, labels)),
            self.strengths,
            len(labels),
        )
        everything = embed(texts_of(train, task.input_fields))
        head = fit_head(everything, label_indices(train, labels), best, len(labels))
        notes = {"c": best, "validation_accuracy": accuracy, "temperature": temperature}
        return Head(head.weights, head.bias, temperature), notes

    @staticmethod
    def load(folder: Path, card: Card) -> FrozenCandidate:
        """A saved candidate."""
        stored = read_arrays(folder)
        return FrozenCandidate(card, Head(stored["weights"], stored["bias"], float(stored["temperature"][0])))


class FrozenCandidate(ClassifierCandidate):
    """Embedding, then a linear head."""

    def __init__(self, card: Card, head: Head) -> None:
        super().__init__(card)
        self._head = head
        self._embedder = open_embedder(str(card.parameters["embedder"]))

    def probabilities(self, texts: Sequence[str]) -> Probabilities:
        """[n] texts -> [n, labels]."""
        return self._head(self._embedder.encode(texts))

    def arrays(self) -> Arrays:
        """The head."""
        return {
            "weights": self._head.weights,
            "bias": self._head.bias,
            "temperature": np.array([self._head.temperature]),
        }


Rows = tuple[Vectors, NDArray[np.int64]]


def choose_head(fitting: Rows, validation: Rows, strengths: Sequence[float], labels: int) -> tuple[float, float, float]:
    """The C with the best validation accuracy (the smaller on a tie), that accuracy, and its temperature."""
    vectors, truth = validation
    best: tuple[float, float, float] | None = None
    regression = _regression(warm_start=True)  # each C begins where the one before ended
    for strength in sorted(strengths):
        head = _head_of(regression.set_params(C=strength).fit(*fitting), labels)
        logits = (vectors @ head.weights.T + head.bias).astype(np.float64)
        accuracy = float(np.mean(logits.argmax(1) == truth))
        if best is None or accuracy > best[1]:
            best = (strength, accuracy, fit_temperature(logits, truth))
    if best is None:
        raise ValueError("choose_head: no strengths")
    return best


def fit_head(vectors: Vectors, truth: NDArray[np.int64], strength: float, labels: int) -> Head:
    """Multinomial logistic regression; labels without a row get a bias far below the others."""
    return _head_of(_regression(C=strength).fit(vectors, truth), labels)


def _regression(**parameters: Any) -> LogisticRegression:
    return LogisticRegression(max_iter=2000, tol=1e-4, **parameters)


def _head_of(fitted: LogisticRegression, labels: int) -> Head:
    weights, bias = fitted.coef_.astype(np.float32), fitted.intercept_.astype(np.float32)
    if len(fitted.classes_) == 2:
        # scikit-learn keeps one row for two classes; halved and mirrored, the softmax is the same.
        weights, bias = np.vstack([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    seen = [int(c) for c in fitted.classes_]
    full = np.zeros((labels, weights.shape[1]), dtype=np.float32)
    full[seen] = weights
    return Head(
        full,
        spread(bias[None, :].astype(np.float64), seen, labels)[0].astype(np.float32) - _unseen(seen, labels),
    )


def _unseen(seen: Sequence[int], labels: int) -> NDArray[np.float32]:
    """A further step down for labels without a row, far enough that they never win."""
    down = np.full(labels, 25.0, dtype=np.float32)
    down[list(seen)] = 0.0
    return down
