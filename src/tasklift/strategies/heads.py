"""Linear heads over vectors, for each kind of answer: what they learn from, how C is chosen, what their scores say."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression, Ridge
from threadpoolctl import ThreadpoolController

from tasklift.data.embed import Vectors
from tasklift.stats.calibration import fit_temperature
from tasklift.strategies.classifier import Probabilities, spread, taught

Loss = Literal["softmax", "sigmoid", "squared"]
Scores = NDArray[np.float64]
Truth = NDArray[Any]
Rows = tuple[Vectors, Truth]


@dataclass(frozen=True)
class Head:
    """A linear layer over embeddings: weights [width, dimensions], bias [width], temperature."""

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    temperature: float = 1.0

    def __call__(self, vectors: Vectors) -> Probabilities:
        """[n, dimensions] -> [n, labels]."""
        return np.asarray(softmax(self.scores(vectors) / self.temperature, axis=1))

    def scores(self, vectors: Vectors) -> Scores:
        """[n, dimensions] -> [n, width], before the temperature."""
        return np.asarray(vectors @ self.weights.T + self.bias, dtype=np.float64)  # vectors may be sparse


class Learner(Protocol):
    """How a head is fitted to one kind of answer.

    Attributes:
        width: scores a row.
        loss: what training end to end minimises.
        measure: name of what `quality` is.
    """

    @property
    def width(self) -> int: ...
    @property
    def loss(self) -> Loss: ...
    @property
    def measure(self) -> str: ...

    def path(self, rows: Rows, strengths: Sequence[float]) -> Iterator[Head]:
        """A head for each C, ascending."""
        ...

    def quality(self, scores: Scores, truth: Truth) -> float:
        """How good scores are; more is better."""
        ...

    def temperature(self, scores: Scores, truth: Truth) -> float:
        """What scores are divided by to be calibrated."""
        ...


@dataclass(frozen=True)
class OneLabel:
    """Exactly one of `width` labels: multinomial logistic regression, judged by accuracy. Truth: [n] indices."""

    width: int
    loss: Loss = "softmax"
    measure: str = "accuracy"

    def path(self, rows: Rows, strengths: Sequence[float]) -> Iterator[Head]:
        """Each C begins where the one before ended; labels without a row get a bias far below the others."""
        vectors, truth = rows
        seen = sorted(set(truth.tolist()))
        if len(seen) == 1:  # nothing to tell apart: that label is all there is to say
            down = _unseen(seen, self.width)
            yield from (Head(np.zeros((self.width, vectors.shape[1]), dtype=np.float32), -down) for _ in strengths)
            return
        regression = LogisticRegression(max_iter=2000, tol=1e-4, warm_start=True)
        for strength in sorted(strengths):
            with warnings.catch_warnings():
                # Nearly as many labels as rows is what small subsets of a learning curve are.
                warnings.filterwarnings("ignore", "The number of unique classes is greater than", UserWarning)
                with one_thread():
                    fitted = regression.set_params(C=strength).fit(vectors, truth)
            yield _head_of(fitted, self.width)

    def quality(self, scores: Scores, truth: Truth) -> float:
        """Accuracy."""
        return float(np.mean(scores.argmax(1) == truth))

    def temperature(self, scores: Scores, truth: Truth) -> float:
        """That of least log-loss."""
        return fit_temperature(scores, truth)


@dataclass(frozen=True)
class SomeLabels:
    """Any of `width` labels: one logistic regression each, judged by F1 over all labels of all rows (micro).

    Truth: [n, labels] of 0 and 1.
    """

    width: int
    loss: Loss = "sigmoid"
    measure: str = "micro_f1"

    def path(self, rows: Rows, strengths: Sequence[float]) -> Iterator[Head]:
        """Labels that every row has, or none, keep a constant score."""
        vectors, truth = rows
        mixed = [label for label in range(self.width) if 0 < truth[:, label].sum() < len(truth)]
        regressions = {label: LogisticRegression(max_iter=2000, tol=1e-4, warm_start=True) for label in mixed}
        constant = np.where(truth.mean(axis=0) > 0.5, 5.0, -5.0).astype(np.float32)
        for strength in sorted(strengths):
            weights = np.zeros((self.width, vectors.shape[1]), dtype=np.float32)
            bias = constant.copy()
            with one_thread():
                for label, regression in regressions.items():
                    fitted = regression.set_params(C=strength).fit(vectors, truth[:, label])
                    weights[label], bias[label] = fitted.coef_[0], fitted.intercept_[0]
            yield Head(weights, bias)

    def quality(self, scores: Scores, truth: Truth) -> float:
        """Micro-F1 at the cut that is best for it."""
        return max(micro_f1(scores > cut, truth) for cut in CUTS)

    def temperature(self, scores: Scores, truth: Truth) -> float:
        """That of least log-loss, labels taken as independent."""
        flat = np.stack([np.zeros(scores.size), scores.ravel()], axis=1)
        return fit_temperature(flat, truth.ravel().astype(np.int64))


#: Scores (log-odds) from which a label is named; the best is chosen on held-out rows.
CUTS = (-1.4, -1.0, -0.6, -0.3, 0.0, 0.3)


@dataclass(frozen=True)
class OneNumber:
    """A number: ridge regression on the standardised number, judged by the mean absolute error. Truth: [n, 1]."""

    width: int = 1
    loss: Loss = "squared"
    measure: str = "error"

    def path(self, rows: Rows, strengths: Sequence[float]) -> Iterator[Head]:
        """C is the inverse of the ridge penalty, as in a logistic regression."""
        for strength in sorted(strengths):
            fitted = Ridge(alpha=1 / strength).fit(rows[0], rows[1][:, 0])
            bias = np.array([fitted.intercept_], dtype=np.float32)
            yield Head(fitted.coef_[None, :].astype(np.float32), bias)

    def quality(self, scores: Scores, truth: Truth) -> float:
        """Mean absolute error, negative."""
        return -float(np.abs(scores - truth).mean())

    def temperature(self, scores: Scores, truth: Truth) -> float:
        """Numbers are not rescaled."""
        return 1.0


@dataclass(frozen=True)
class Plan:
    """What validation chose for a head.

    Attributes:
        strength: C.
        accuracy: on the rows it was chosen on; for other kinds than one label, `Learner.quality`.
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

    def notes(self, measure: str = "accuracy") -> dict[str, Any]:
        """For the card; `measure` names what the accuracy is."""
        said: dict[str, Any] = {
            "c": self.strength,
            f"validation_{measure}": abs(self.accuracy),
            "temperature": self.temperature,
        }
        return said | ({"definitions_learnt": True} if self.definitions else {})


def choose_crossed(
    learner: Learner, rows: Rows, defined: Vectors | None, folds: NDArray[np.int64], strengths: Sequence[float]
) -> tuple[Plan, Scores]:
    """C, then whether definitions help, by cross-validation on all of the few rows there are; and the scores of each
    row by the head that was fitted without its fold.

    With 8 rows a label, a validation cut of one of them misled the choice of C by a point of accuracy.

    Args:
        rows: vectors [n, dimensions] and truth [n].
        defined: [labels, dimensions] the vectors of the labels' definitions; None: there are none to learn from.
        folds: [n] the fold of each row.
    """
    truth = rows[1]
    known = taught(truth, folds)
    plain = crossed_scores(learner, rows, folds, strengths)
    qualities = [learner.quality(scores, truth) for scores in plain]
    at = int(np.argmax(qualities))
    strength, scores = sorted(strengths)[at], plain[at]
    plan = Plan(strength, qualities[at], learner.temperature(scores[known], truth[known]))
    if defined is not None:
        (helped,) = crossed_scores(learner, rows, folds, [strength], defined)
        if (quality := learner.quality(helped, truth)) > plan.accuracy:
            return Plan(strength, quality, learner.temperature(helped, truth), definitions=True), helped
    return plan, scores


def crossed_scores(
    learner: Learner,
    rows: Rows,
    folds: NDArray[np.int64],
    strengths: Sequence[float],
    defined: Vectors | None = None,
) -> list[Scores]:
    """For each C, ascending: [n, width] of every row by a head that was fitted without its fold."""
    vectors, truth = rows
    out = [np.zeros((len(truth), learner.width)) for _ in strengths]
    for fold in np.unique(folds):
        held_out = folds == fold
        fitting = (vectors[~held_out], truth[~held_out])
        fitting = fitting if defined is None else _joined(fitting, defined)
        for scores, head in zip(out, learner.path(fitting, strengths), strict=True):
            scores[held_out] = head.scores(vectors[held_out])
    return out


def choose_held_out(
    learner: Learner, fitting: Rows, validation: Rows, strengths: Sequence[float]
) -> tuple[Plan, Scores]:
    """The C that is best on validation rows (the smaller on a tie), and their scores.

    Raises:
        ValueError: no strengths.
    """
    vectors, truth = validation
    best: tuple[Plan, Scores] | None = None
    for strength, head in zip(sorted(strengths), learner.path(fitting, strengths), strict=True):
        scores = head.scores(vectors)
        quality = learner.quality(scores, truth)
        if best is None or quality > best[0].accuracy:
            best = Plan(strength, quality, learner.temperature(scores, truth)), scores
    if best is None:
        raise ValueError("choose_held_out: no strengths")
    return best


def one_thread() -> AbstractContextManager[Any]:
    """Keep matrix products on one thread inside.

    Those of a regression are small: further threads mostly wait for each other, and wait busily, so that a fit takes
    more time with them, and many times the CPU seconds where the machine has other work.
    """
    limited: AbstractContextManager[Any] = _libraries().limit(limits=1, user_api="blas")
    return limited


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()  # finding the loaded libraries takes milliseconds: numpy's and scipy's are by now


def fit_head(learner: Learner, rows: Rows, strength: float) -> Head:
    """The head of one C."""
    return next(learner.path(rows, [strength]))


def _joined(rows: Rows, defined: Vectors) -> Rows:
    return np.concatenate([rows[0], defined]), np.concatenate([rows[1], np.arange(len(defined))])


def micro_f1(said: NDArray[np.bool_], truth: Truth) -> float:
    """F1 over all labels of all rows: [n, labels] of what was said and of what is true."""
    both, total = float((said * truth).sum()), float(said.sum() + truth.sum())
    return 2 * both / total if total else 1.0


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
