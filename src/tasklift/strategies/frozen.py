"""A frozen sentence encoder with a logistic-regression head: the cheap fine-tune, seconds of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tasklift.data.embed import open_embedder
from tasklift.dataset import Dataset
from tasklift.strategies.artifact import Arrays, Card, read_arrays
from tasklift.strategies.classifier import (
    FEW_ROWS,
    FOLDS,
    cross_folds,
    texts_of,
    validation_cut,
)
from tasklift.strategies.heads import Head, Plan, Scores, choose_crossed, choose_held_out, fit_head
from tasklift.strategies.recipe import Recipe, require, require_rows
from tasklift.strategies.scope import Scope, ScopedCandidate, check_share, require_label, without_scope
from tasklift.strategies.targets import SCORED_KINDS, Reading, ScoredCandidate, Target
from tasklift.strategy import Family, Resources
from tasklift.task import Task
from tasklift.worker import timed


@dataclass(frozen=True)
class FrozenEncoder(Recipe):
    """Logistic regression on frozen sentence embeddings.

    Attributes:
        embedder: registry name; `static` needs no torch.
        strengths: values of C to choose from, on validation.
        seed: of the validation cut.
        out_of_scope: share of rows like the training rows that may be left to a person because they look least like
            them; what looks less is left to a person too. 0: nothing is. One label only.
    """

    name: ClassVar[str] = "frozen"
    family: ClassVar[Family] = "finetune"
    version: ClassVar[int] = 2
    kinds: ClassVar[frozenset[str]] = SCORED_KINDS

    embedder: str = "minilm"
    strengths: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0, 100.0)
    seed: int = 0
    out_of_scope: float = 0.0

    def __post_init__(self) -> None:
        check_share(self.out_of_scope, self.name)
        require(
            bool(self.strengths) and min(self.strengths) > 0,
            self.name,
            f"strengths={self.strengths} must be positive",
        )

    def parameters(self) -> dict[str, Any]:
        """Without `out_of_scope` where nothing is left to a person."""
        return without_scope(super().parameters())

    def base(self) -> str:
        """Snapshot of the embedder."""
        return open_embedder(self.embedder).snapshot

    def fit(self, task: Task, train: Dataset) -> FrozenCandidate | ScoredCandidate:
        """Choose C and the temperature on validation (where rows are few: by cross-validation, with the choice
        whether definitions are learnt from), then fit the head on all rows."""
        require_rows(task, train, self.name, self.kinds)
        require_label(task, self.out_of_scope, self.name)
        done = timed(self._fit, task, train)
        head, plan, reading = done.value
        resources = Resources(labels=len(train), cpu_s=done.cpu_s)
        if isinstance(reading, Scope):
            reading.require(self.out_of_scope, self.name)
            return FrozenCandidate(self.card(task, train, resources, notes=plan.notes()), head, reading)
        notes = plan.notes(Target.of(task, train, self.name).learner.measure)
        card = self.card(task, train, resources, notes=notes, settings=reading.to_json())
        return ScoredCandidate(card, _Embedded(head, self.embedder))

    def _fit(self, task: Task, train: Dataset) -> tuple[Head, Plan, Reading | Scope]:
        target = Target.of(task, train, self.name)
        embed = open_embedder(self.embedder).encode
        rows = (embed(texts_of(train, task.input_fields)), target.truth(train))
        defined = embed(list(task.labels.values())) if task.output.kind == "label" else None
        stratum = task.output.stratum
        if len(train) <= FEW_ROWS:
            folds = cross_folds(train, FOLDS, self.seed, stratum)
            plan, scores = choose_crossed(target.learner, rows, defined, folds, self.strengths)
            judged = train
        else:
            fitting, judged = validation_cut(train, self.seed, stratum=stratum)
            pair = [(embed(texts_of(some, task.input_fields)), target.truth(some)) for some in (fitting, judged)]
            plan, scores = choose_held_out(target.learner, pair[0], pair[1], self.strengths)
        if defined is not None:
            rows = plan.with_definitions(rows, defined)
        head = fit_head(target.learner, rows, plan.strength)
        head = Head(head.weights, head.bias, plan.temperature)
        if task.output.kind == "label":
            return head, plan, Scope.of(scores)
        return head, plan, target.reading(task, judged, scores, plan.temperature)

    @staticmethod
    def load(folder: Path, card: Card) -> FrozenCandidate | ScoredCandidate:
        """A saved candidate."""
        stored = read_arrays(folder)
        head = Head(stored["weights"], stored["bias"], float(stored["temperature"][0]))
        if card.output_kind.kind == "label":
            return FrozenCandidate(card, head, Scope(stored["scope"]) if "scope" in stored else None)
        return ScoredCandidate(card, _Embedded(head, str(card.parameters["embedder"])))


class FrozenCandidate(ScopedCandidate):
    """Embedding, then a linear head."""

    def __init__(self, card: Card, head: Head, scope: Scope | None) -> None:
        super().__init__(card, head.temperature, scope)
        self._head = head
        self._embedder = open_embedder(str(card.parameters["embedder"]))

    def scores(self, texts: Sequence[str]) -> Scores:
        """[n] texts -> [n, labels]."""
        return self._head.scores(self._embedder.encode(texts))

    def arrays(self) -> Arrays:
        """The head, and the energies of held-out rows."""
        return _stored(self._head) | ({"scope": self.scope.held_out} if self.scope is not None else {})


class _Embedded:
    """Embedding, then a linear head, for answers that are not one label."""

    def __init__(self, head: Head, embedder: str) -> None:
        self._head, self._embedder = head, open_embedder(embedder)

    def scores(self, texts: Sequence[str]) -> Scores:
        """[n] texts -> [n, width]."""
        return self._head.scores(self._embedder.encode(texts))

    def arrays(self) -> Arrays:
        """The head."""
        return _stored(self._head)

    def parts(self) -> Mapping[str, Any]:
        """Nothing else."""
        return {}


def _stored(head: Head) -> dict[str, NDArray[Any]]:
    return {"weights": head.weights, "bias": head.bias, "temperature": np.array([head.temperature])}
