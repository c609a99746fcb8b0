"""A frozen sentence encoder with a logistic-regression head: the cheap fine-tune, seconds of training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
    FEW_ROWS,
    FOLDS,
    ClassifierCandidate,
    Probabilities,
    cross_folds,
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
        """Choose C and the temperature on validation (where rows are few: by cross-validation, with the choice
        whether definitions are learnt from), then fit the head on all rows."""
        require_rows(task, train, self.name)
        done = timed(self._fit, task, train)
        head, notes = done.value
        card = self.card(task, train, Resources(labels=len(train), cpu_s=done.cpu_s), notes=notes)
        return FrozenCandidate(card, head)

    def _fit(self, task: Task, train: Dataset) -> tuple[Head, dict[str, Any]]:
        embed = open_embedder(self.embedder).encode
        vectors, truth = embed(texts_of(train, task.input_fields)), label_indices(train, list(task.labels))
        if len(train) <= FEW_ROWS:
            defined = embed(list(task.labels.values()))
            plan = choose_crossed((vectors, truth), defined, cross_folds(train, FOLDS, self.seed), self.strengths)
            vectors, truth = plan.with_definitions((vectors, truth), defined)
        else:
            plan = self._choose_held_out(task, train, embed)
        head = fit_head(vectors, truth, plan.strength, len(task.labels))
        return Head(head.weights, head.bias, plan.temperature), plan.notes()

    def _choose_held_out(self, task: Task, train: Dataset, embed: Callable[[Sequence[str]], Vectors]) -> Plan:
        """C and temperature on the rows of a validation cut."""
        fitting, validation = (
            (embed(texts_of(rows, task.input_fields)), label_indices(rows, list(task.labels)))
            for rows in validation_cut(train, self.seed)
        )
        return Plan(*choose_head(fitting, validation, self.strengths, len(task.labels)))

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


@dataclass(frozen=True)
class Plan:
    """What validation chose for a head.

    Attributes:
        strength: C.
        accuracy: on the rows it was chosen on.
        temperature: fitted on the same rows.
        definitions: the labels' definitions are learnt from too, one row a label.
    """

    strength: float
    accuracy: float
    temperature: float
    definitions: bool = False

    def with_definitions(self, rows: Rows, defined: Vectors) -> Rows:
        """The rows to learn from."""
        return _joined(rows, defined) if self.definitions else rows

    def notes(self) -> dict[str, Any]:
        """For the card."""
        said: dict[str, Any] = {
            "c": self.strength,
            "validation_accuracy": self.accuracy,
            "temperature": self.temperature,
        }
        return said | ({"definitions_learnt": True} if self.definitions else {})


def choose_crossed(rows: Rows, defined: Vectors, folds: NDArray[np.int64], strengths: Sequence[float]) -> Plan:
    """C, then whether definitions help, by cross-validation on all of the few rows there are.

    With 8 rows a label, a validation cut of one of them misled the choice of C by a point of accuracy.

    Args:
        rows: vectors [n, dimensions] and label indices [n].
        defined: [labels, dimensions] the vectors of the labels' definitions.
        folds: [n] the fold of each row.
    """
    truth, labels = rows[1], len(defined)
    plain = crossed_logits(rows, folds, strengths, labels)
    accuracies = [float(np.mean(logits.argmax(1) == truth)) for logits in plain]
    at = int(np.argmax(accuracies))
    strength = sorted(strengths)[at]
    (helped,) = crossed_logits(rows, folds, [strength], labels, defined)
    accuracy = float(np.mean(helped.argmax(1) == truth))
    if accuracy > accuracies[at]:
        return Plan(strength, accuracy, fit_temperature(helped, truth), definitions=True)
    return Plan(strength, accuracies[at], fit_temperature(plain[at], truth))


def crossed_logits(
    rows: Rows, folds: NDArray[np.int64], strengths: Sequence[float], labels: int, defined: Vectors | None = None
) -> list[NDArray[np.float64]]:
    """For each C, ascending: [n, labels] of every row by a head that was fitted without its fold."""
    vectors, truth = rows
    out = [np.zeros((len(truth), labels)) for _ in strengths]
    for fold in np.unique(folds):
        held_out = folds == fold
        fitting = (vectors[~held_out], truth[~held_out])
        fitting = fitting if defined is None else _joined(fitting, defined)
        if len(set(fitting[1].tolist())) < 2:
            out_of_fold = [np.eye(labels)[fitting[1][:1]] for _ in strengths]  # one label is all there is to say
        else:
            heads = _path(fitting, strengths, labels)
            out_of_fold = [vectors[held_out] @ head.weights.T + head.bias for head in heads]
        for logits, found in zip(out, out_of_fold, strict=True):
            logits[held_out] = found
    return out


def choose_head(fitting: Rows, validation: Rows, strengths: Sequence[float], labels: int) -> tuple[float, float, float]:
    """The C with the best validation accuracy (the smaller on a tie), that accuracy, and its temperature."""
    vectors, truth = validation
    best: tuple[float, float, float] | None = None
    for strength, head in zip(sorted(strengths), _path(fitting, strengths, labels), strict=True):
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


def _path(rows: Rows, strengths: Sequence[float], labels: int) -> Iterator[Head]:
    """A head for each C, ascending: each begins where the one before ended."""
    regression = _regression(warm_start=True)
    for strength in sorted(strengths):
        yield _head_of(regression.set_params(C=strength).fit(*rows), labels)


def _joined(rows: Rows, defined: Vectors) -> Rows:
    return np.concatenate([rows[0], defined]), np.concatenate([rows[1], np.arange(len(defined))])


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
