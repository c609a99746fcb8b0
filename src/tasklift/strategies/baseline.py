"""The two baselines that are always in the table: the most frequent label, and TF-IDF with a linear SVM."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tasklift.dataset import Dataset
from tasklift.strategies.answers import ConstantCandidate, constant_of
from tasklift.strategies.artifact import Arrays, Card, read_arrays
from tasklift.strategies.classifier import (
    FOLDS,
    ClassifierCandidate,
    Probabilities,
    cross_folds,
    label_indices,
    texts_of,
    validation_cut,
)
from tasklift.strategies.heads import Head, Scores, choose_held_out, fit_head
from tasklift.strategies.linear import ANALYSERS, Features, Linear, Scaling, Separator, margins_left_out
from tasklift.strategies.recipe import EVERY_KIND, Recipe, require, require_rows
from tasklift.strategies.targets import SCORED_KINDS, Reading, ScoredCandidate, Target
from tasklift.strategy import Family, Resources
from tasklift.task import Task
from tasklift.worker import timed

#: A logistic or ridge regression wants a larger C than the SVM on the same features.
_SOFTER = 30.0


@dataclass(frozen=True)
class Majority(Recipe):
    """Always the most frequent answer, or the median of numbers: what a strategy must beat to be worth anything."""

    name: ClassVar[str] = "majority"
    family: ClassVar[Family] = "baseline"
    kinds: ClassVar[frozenset[str]] = EVERY_KIND

    def fit(self, task: Task, train: Dataset) -> MajorityCandidate | ConstantCandidate:
        """Count."""
        require_rows(task, train, self.name, self.kinds)
        if task.output.kind != "label":
            settings = {"answer": constant_of(task, train)}
            return ConstantCandidate(self.card(task, train, Resources(labels=len(train)), settings=settings))
        counts = Counter(train.outputs)
        shares = np.array([counts[label] / len(train) for label in task.labels])
        return MajorityCandidate(self.card(task, train, Resources(labels=len(train))), shares)

    @staticmethod
    def load(folder: Path, card: Card) -> MajorityCandidate | ConstantCandidate:
        """A saved candidate."""
        if "answer" in card.settings:
            return ConstantCandidate(card)
        return MajorityCandidate(card, read_arrays(folder)["shares"])


class MajorityCandidate(ClassifierCandidate):
    """The label shares of the training rows, whatever the text."""

    def __init__(self, card: Card, shares: NDArray[np.float64]) -> None:
        super().__init__(card)
        self._shares = shares

    def probabilities(self, texts: Sequence[str]) -> Probabilities:
        """[n, labels], every row the same."""
        return np.broadcast_to(self._shares, (len(texts), len(self._shares)))

    def arrays(self) -> Arrays:
        """The shares."""
        return {"shares": self._shares}


@dataclass(frozen=True)
class Baseline(Recipe):
    """TF-IDF over words and characters, linear SVM, calibrated. For several labels a logistic regression each, for a
    number a ridge regression.

    Attributes:
        strengths: values of the SVM's C to choose from, on validation.
        cased: capitals count, and words are whatever stands between spaces: for prices, codes and shouting.
        seed: of the validation cut.
    """

    name: ClassVar[str] = "baseline"
    family: ClassVar[Family] = "baseline"
    version: ClassVar[int] = 3
    kinds: ClassVar[frozenset[str]] = SCORED_KINDS

    strengths: tuple[float, ...] = (0.3, 1.0)
    cased: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        require(
            bool(self.strengths) and min(self.strengths) > 0,
            self.name,
            f"strengths={self.strengths} must be positive",
        )

    def fit(self, task: Task, train: Dataset) -> BaselineCandidate | ScoredCandidate:
        """Choose C and the calibration on rows not learnt from, then fit on all rows."""
        require_rows(task, train, self.name, self.kinds)
        if task.output.kind != "label":
            return self._fit_other(task, train)
        done = timed(self._fit, task, train)
        linear, notes = done.value
        card = self.card(task, train, Resources(labels=len(train), cpu_s=done.cpu_s), notes=notes)
        return BaselineCandidate(card, linear)

    def _fit(self, task: Task, train: Dataset) -> tuple[Linear, dict[str, Any]]:
        labels = list(task.labels)
        texts, truth = texts_of(train, task.input_fields), label_indices(train, labels)
        scaling = self._scaling(task, train, texts, truth)
        features = Features.fit(texts, self.cased)
        separator = Separator.fit(features(texts), truth, scaling.strength, len(labels))
        notes = {"c": scaling.strength, "validation_accuracy": scaling.accuracy, "temperature": scaling.temperature}
        return Linear(features, separator, scaling.temperature, scaling.offset), notes

    def _scaling(self, task: Task, train: Dataset, texts: list[str], truth: NDArray[np.int64]) -> Scaling:
        """On all rows by cross-validation for two labels of which each has rows enough, else on a cut."""
        width = len(task.labels)
        how = (self.strengths, width, self.cased)
        by_label = [{texts[at] for at in np.flatnonzero(truth == label)} for label in range(width)]
        if width == 2 and min(map(len, by_label)) >= FOLDS:
            folds = cross_folds(train, FOLDS, self.seed, task.output.stratum)
            return Scaling.of_two_labels(margins_left_out(texts, truth, folds, range(FOLDS), *how), truth)
        ids = {row.id for row in validation_cut(train, self.seed, stratum=task.output.stratum)[1]}
        held = np.array([row.id in ids for row in train])
        margins = margins_left_out(texts, truth, held, [True], *how)
        return Scaling.of_one_cut({strength: some[held] for strength, some in margins.items()}, truth[held])

    def _fit_other(self, task: Task, train: Dataset) -> ScoredCandidate:
        """A logistic regression for each of several labels, a ridge regression for a number, on the same features."""
        done = timed(self._scored, task, train)
        scorer, notes, reading = done.value
        resources = Resources(labels=len(train), cpu_s=done.cpu_s)
        return ScoredCandidate(self.card(task, train, resources, notes=notes, settings=reading.to_json()), scorer)

    def _scored(self, task: Task, train: Dataset) -> tuple[_Lexical, dict[str, Any], Reading]:
        target = Target.of(task, train, self.name)
        fitting, validation = validation_cut(train, self.seed, stratum=task.output.stratum)
        known, unknown = (texts_of(rows, task.input_fields) for rows in (fitting, validation))
        features = Features.fit(known, self.cased)
        strengths = [strength * _SOFTER for strength in self.strengths]
        pairs = [(features(known), target.truth(fitting)), (features(unknown), target.truth(validation))]
        plan, scores = choose_held_out(target.learner, pairs[0], pairs[1], strengths)
        reading = target.reading(task, validation, scores, plan.temperature)
        texts = texts_of(train, task.input_fields)
        features = Features.fit(texts, self.cased)
        head = fit_head(target.learner, (features(texts), target.truth(train)), plan.strength)
        return _Lexical(features, head), plan.notes(target.learner.measure), reading

    @staticmethod
    def load(folder: Path, card: Card) -> BaselineCandidate | ScoredCandidate:
        """A saved candidate."""
        stored = read_arrays(folder)
        vocabularies = json.loads(stored["vocabularies"].tobytes().decode())
        idf = [stored[f"idf_{i}"] for i in range(len(ANALYSERS))]
        features = Features.restore(vocabularies, idf, bool(card.parameters.get("cased")))
        if card.output_kind.kind != "label":
            return ScoredCandidate(card, _Lexical(features, Head(stored["weights"], stored["bias"])))
        separator = Separator(stored["weights"], stored["bias"], stored["seen"].tolist(), len(card.labels))
        temperature, offset = float(stored["temperature"][0]), stored.get("offset", np.zeros(len(card.labels)))
        return BaselineCandidate(card, Linear(features, separator, temperature, offset))


class BaselineCandidate(ClassifierCandidate):
    """TF-IDF and linear SVM."""

    def __init__(self, card: Card, linear: Linear) -> None:
        super().__init__(card)
        self._linear = linear

    def probabilities(self, texts: Sequence[str]) -> Probabilities:
        """[n] texts -> [n, labels]."""
        return self._linear(texts)

    def margins(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """[n] texts -> [n, labels], before the temperature."""
        return self._linear.separator(self._linear.features(texts))

    def arrays(self) -> Arrays:
        """Vocabularies as JSON bytes, the rest as arrays."""
        separator = self._linear.separator
        return {
            **self._linear.features.arrays(),
            "weights": separator.weights,
            "bias": separator.bias,
            "seen": np.array(separator.seen, dtype=np.int64),
            "temperature": np.array([self._linear.temperature]),
            "offset": self._linear.offset,
        }


@dataclass(frozen=True)
class _Lexical:
    """TF-IDF and a linear head, for answers that are not one label."""

    features: Features
    head: Head

    def scores(self, texts: Sequence[str]) -> Scores:
        """[n] texts -> [n, width]."""
        return self.head.scores(self.features(texts))

    def arrays(self) -> Arrays:
        """Features and head."""
        return {**self.features.arrays(), "weights": self.head.weights, "bias": self.head.bias}

    def parts(self) -> Mapping[str, Any]:
        """Nothing else."""
        return {}
