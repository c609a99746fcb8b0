"""The fine-tuned encoder and the linear model over words and characters, weighed into one answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from tasklift.data.pretrained import BUNDLED
from tasklift.dataset import Dataset
from tasklift.errors import ArtifactError
from tasklift.strategies.artifact import Arrays, Card, write_artifact
from tasklift.strategies.baseline import Baseline, BaselineCandidate
from tasklift.strategies.classifier import (
    FOLDS,
    ClassifierCandidate,
    Probabilities,
    cross_folds,
    label_indices,
    taught,
    texts_of,
)
from tasklift.strategies.encoder import Encoder, EncoderCandidate
from tasklift.strategies.fitting import fit_nested, load_candidate
from tasklift.strategies.linear import margins_left_out
from tasklift.strategies.recipe import Recipe, require_rows
from tasklift.strategy import Family, Resources
from tasklift.task import Task
from tasklift.worker import timed

#: Pulls weights towards 1 and 0 and the bias towards 0 where held-out rows are few: the prior's weight in rows.
PRIOR_ROWS = 5.0


@dataclass(frozen=True)
class Blend(Recipe):
    """Both models' scores, weighed on rows that neither had seen (a logarithmic opinion pool).

    A sentence encoder reads meaning, in lower case and word pieces; the linear model reads spelling: capitals, digits,
    addresses, prices. Where both matter, as in spam, the two together are better than either.

    Attributes:
        max_epochs: of the encoder.
        base_model: of the encoder.
        folds: of the encoder's cross-validation. 3 and more: the weights are fitted on all rows instead of those that
            one cut holds out, for about three times the training time. 0: by the number of rows.
        seed: of both.
    """

    name: ClassVar[str] = "blend"
    family: ClassVar[Family] = "finetune"
    version: ClassVar[int] = 2

    max_epochs: int = 3
    base_model: str = BUNDLED
    folds: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        self._members()

    def _members(self) -> tuple[Encoder, Baseline]:
        encoder = Encoder(max_epochs=self.max_epochs, base_model=self.base_model, folds=self.folds, seed=self.seed)
        return encoder, Baseline(cased=True, seed=self.seed)

    def base(self) -> str:
        """Snapshot of the encoder before training."""
        return self._members()[0].base()

    def fit(self, task: Task, train: Dataset) -> BlendCandidate:
        """Fit both, then their weights on the rows that the encoder was held back from."""
        require_rows(task, train, self.name)
        done = timed(self._fit, task, train)
        encoder, linear, pool = done.value
        setup = Resources(labels=len(train), tokens=encoder.setup.tokens, cpu_s=done.cpu_s)
        notes = {"weights": {"encoder": pool.first, "linear": pool.second}, "epochs": encoder.notes["epochs"]}
        settings = {"first": pool.first, "second": pool.second, "bias": pool.bias.tolist()}
        return BlendCandidate(self.card(task, train, setup, notes=notes, settings=settings), encoder, linear)

    def _fit(self, task: Task, train: Dataset) -> tuple[EncoderCandidate, BaselineCandidate, Pool]:
        encoder, linear = (fit_nested(member, task, train) for member in self._members())
        if not isinstance(encoder, EncoderCandidate) or not isinstance(linear, BaselineCandidate):
            raise ArtifactError(f"{self.name}: its parts are {type(encoder).__name__} and {type(linear).__name__}")
        truth, labels = label_indices(train, list(task.labels)), len(task.labels)
        held_out = encoder.held_out
        everything, stratum = len(held_out.rows) == len(train), task.output.stratum
        cut = np.isin(np.arange(len(train)), held_out.rows)
        groups = cross_folds(train, FOLDS, self.seed, stratum) if everything else cut
        texts = texts_of(train, task.input_fields)
        wanted, strength = np.unique(groups) if everything else [True], float(linear.notes["c"])
        margins = margins_left_out(texts, truth, groups, wanted, (strength,), labels, cased=True)[strength]
        known = taught(truth, groups)[held_out.rows]
        rows = held_out.rows[known]
        return encoder, linear, Pool.fit(held_out.scores[known], margins[rows], truth[rows])

    @staticmethod
    def load(folder: Path, card: Card) -> BlendCandidate:
        """A saved candidate with its parts."""
        encoder, linear = load_candidate(folder / "encoder"), load_candidate(folder / "linear")
        if not isinstance(encoder, EncoderCandidate) or not isinstance(linear, BaselineCandidate):
            raise ArtifactError(f"{folder}: its parts are no encoder and no linear model; fit again")
        return BlendCandidate(card, encoder, linear)


@dataclass(frozen=True)
class Pool:
    """softmax(first * a + second * b + bias) of two models' scores a and b.

    Attributes:
        bias: [labels]; fitted for two labels only, where the rarer one is easily said too seldom.
    """

    first: float
    second: float
    bias: NDArray[np.float64]

    @classmethod
    def fit(cls, first: NDArray[np.float64], second: NDArray[np.float64], truth: NDArray[np.int64]) -> Pool:
        """The weights of least log-loss, not negative.

        Args:
            first: [m, labels] scores.
            second: [m, labels] scores.
            truth: [m] label indices.
        """
        labels = first.shape[1]

        def bias_of(free: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.array([-free[2], free[2]]) if labels == 2 else np.zeros(labels)

        def loss(free: NDArray[np.float64]) -> float:
            scores = log_softmax(free[0] * first + free[1] * second + bias_of(free), axis=1)
            prior = (free[0] - 1) ** 2 + free[1] ** 2 + free[2] ** 2
            return float(-scores[np.arange(len(truth)), truth].sum() + PRIOR_ROWS * prior / 2)

        found = minimize(loss, np.array([1.0, 0.5, 0.0]), bounds=[(0, None), (0, None), (None, None)])
        return cls(float(found.x[0]), float(found.x[1]), bias_of(found.x))

    def __call__(self, first: NDArray[np.float64], second: NDArray[np.float64]) -> Probabilities:
        """[n, labels] scores of both -> [n, labels]."""
        return np.asarray(softmax(self.first * first + self.second * second + self.bias, axis=1))


class BlendCandidate(ClassifierCandidate):
    """Encoder and linear model, weighed."""

    def __init__(self, card: Card, encoder: EncoderCandidate, linear: BaselineCandidate) -> None:
        super().__init__(card)
        self._encoder, self._linear = encoder, linear
        said: dict[str, Any] = dict(card.settings)
        self._pool = Pool(float(said["first"]), float(said["second"]), np.array(said["bias"], dtype=np.float64))

    def probabilities(self, texts: Sequence[str]) -> Probabilities:
        """[n] texts -> [n, labels]."""
        return self._pool(self._encoder.logits(self._encoder.vectors(texts)), self._linear.margins(texts))

    def arrays(self) -> Arrays:
        """Nothing beside its parts."""
        return {"none": np.zeros(1, dtype=np.float32)}

    def save(self, folder: Path) -> None:
        """With both parts."""
        write_artifact(folder, self.card, self.arrays(), {"encoder": self._encoder, "linear": self._linear})
