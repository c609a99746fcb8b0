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
from scipy.sparse import csr_matrix, hstack
from scipy.special import softmax
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from tasklift.dataset import Dataset
from tasklift.errors import StrategyError
from tasklift.stats.calibration import fit_temperature
from tasklift.strategies.answers import ConstantCandidate, constant_of
from tasklift.strategies.artifact import Arrays, Card, read_arrays
from tasklift.strategies.classifier import (
    ClassifierCandidate,
    Probabilities,
    label_indices,
    spread,
    texts_of,
    validation_cut,
)
from tasklift.strategies.heads import Head, Scores, choose_held_out, fit_head
from tasklift.strategies.recipe import EVERY_KIND, Recipe, require, require_rows
from tasklift.strategies.targets import SCORED_KINDS, Reading, ScoredCandidate, Target
from tasklift.strategy import Family, Resources
from tasklift.task import Task
from tasklift.worker import timed

#: What turns text into features; the order is the order of the columns.
ANALYSERS: tuple[dict[str, Any], ...] = (
    {"analyzer": "word", "ngram_range": (1, 2), "sublinear_tf": True, "strip_accents": None},
    {"analyzer": "char_wb", "ngram_range": (2, 5), "sublinear_tf": True, "min_df": 2},
)

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
    """TF-IDF over words and characters, linear SVM, temperature-scaled. For several labels a logistic regression each,
    for a number a ridge regression.

    Attributes:
        strengths: values of the SVM's C to choose from, on validation.
        cased: capitals count, and words are whatever stands between spaces: for prices, codes and shouting.
        seed: of the validation cut.
    """

    name: ClassVar[str] = "baseline"
    family: ClassVar[Family] = "baseline"
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
        """Choose C and the temperature on validation, then fit on all rows."""
        require_rows(task, train, self.name, self.kinds)
        if task.output.kind != "label":
            return self._fit_other(task, train)
        done = timed(self._fit, task, train)
        linear, notes = done.value
        card = self.card(task, train, Resources(labels=len(train), cpu_s=done.cpu_s), notes=notes)
        return BaselineCandidate(card, linear)

    def _fit(self, task: Task, train: Dataset) -> tuple[Linear, dict[str, Any]]:
        labels = list(task.labels)
        fitting, validation = validation_cut(train, self.seed)
        truth = label_indices(validation, labels)
        features = Features.fit(texts_of(fitting, task.input_fields), self.cased)
        known, unknown = (
            features(texts_of(fitting, task.input_fields)),
            features(texts_of(validation, task.input_fields)),
        )
        tried = {}
        for strength in self.strengths:
            logits = Separator.fit(known, label_indices(fitting, labels), strength, len(labels))(unknown)
            tried[strength] = (float(np.mean(logits.argmax(1) == truth)), logits)
        best = max(self.strengths, key=lambda c: tried[c][0])
        temperature = fit_temperature(tried[best][1], truth)
        features = Features.fit(texts_of(train, task.input_fields), self.cased)
        everything = features(texts_of(train, task.input_fields))
        separator = Separator.fit(everything, label_indices(train, labels), best, len(labels))
        notes = {"c": best, "validation_accuracy": tried[best][0], "temperature": temperature}
        return Linear(features, separator, temperature), notes

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
        return BaselineCandidate(card, Linear(features, separator, float(stored["temperature"][0])))


def _analysers(cased: bool) -> tuple[dict[str, Any], ...]:
    words, characters = ANALYSERS
    if not cased:
        return ANALYSERS
    return words | {"lowercase": False, "token_pattern": r"\S+"}, characters | {"lowercase": False}


@dataclass(frozen=True)
class Features:
    """Fitted TF-IDF vectorizers side by side."""

    vectorizers: tuple[Any, ...]

    @classmethod
    def fit(cls, texts: Sequence[str], cased: bool = False) -> Features:
        """Learn vocabulary and document frequencies. `min_df` falls to 1 where too few texts repeat anything.

        Raises:
            StrategyError: there is no word to learn from.
        """
        fitted = []
        for analyser in _analysers(cased):
            floor = {"min_df": 1} if len(texts) < 50 else {}
            vectorizer = TfidfVectorizer(**(analyser | floor), dtype=np.float32)
            try:
                fitted.append(vectorizer.fit(texts))
            except ValueError as error:  # scikit-learn: empty vocabulary
                raise StrategyError(
                    f"baseline: the {len(texts)} training texts hold no words (first: {texts[0][:40]!r}); "
                    "check that the rows' text fields are those of the task"
                ) from error
        return cls(tuple(fitted))

    @classmethod
    def restore(
        cls, vocabularies: Sequence[dict[str, int]], idf: Sequence[NDArray[np.float32]], cased: bool = False
    ) -> Features:
        """From stored vocabularies and inverse document frequencies."""
        restored = []
        for analyser, vocabulary, weights in zip(_analysers(cased), vocabularies, idf, strict=True):
            vectorizer = TfidfVectorizer(**(analyser | {"vocabulary": vocabulary}), dtype=np.float32)
            vectorizer.idf_ = weights
            restored.append(vectorizer)
        return cls(tuple(restored))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Vocabularies as JSON bytes, and the inverse document frequencies."""
        vocabularies = [{word: int(i) for word, i in v.vocabulary_.items()} for v in self.vectorizers]
        blob = np.frombuffer(json.dumps(vocabularies, ensure_ascii=False).encode(), dtype=np.uint8)
        idf = {f"idf_{i}": np.asarray(v.idf_, dtype=np.float32) for i, v in enumerate(self.vectorizers)}
        return {"vocabularies": blob, **idf}

    def __call__(self, texts: Sequence[str]) -> Any:
        """[n] texts -> sparse [n, features]."""
        return csr_matrix(hstack([vectorizer.transform(texts) for vectorizer in self.vectorizers]))


@dataclass(frozen=True)
class Separator:
    """One-against-rest linear SVM: weights [seen, features], bias [seen], the labels seen in training."""

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    seen: Sequence[int]
    labels: int

    @classmethod
    def fit(cls, features: Any, truth: NDArray[np.int64], strength: float, labels: int) -> Separator:
        """LinearSVC; with two classes scikit-learn keeps one row, which is mirrored here."""
        svm = LinearSVC(C=strength, dual=True, random_state=0, max_iter=5000).fit(features, truth)
        weights, bias = svm.coef_.astype(np.float32), np.atleast_1d(svm.intercept_).astype(np.float32)
        if len(svm.classes_) == 2:
            weights, bias = np.vstack([-weights, weights]), np.concatenate([-bias, bias])
        return cls(weights, bias, [int(c) for c in svm.classes_], labels)

    def __call__(self, features: Any) -> NDArray[np.float64]:
        """Sparse [n, features] -> margins [n, labels]."""
        margins = np.asarray(features @ self.weights.T + self.bias, dtype=np.float64)
        return spread(margins, self.seen, self.labels)


@dataclass(frozen=True)
class Linear:
    """Features, separator and temperature: everything that answers."""

    features: Features
    separator: Separator
    temperature: float

    def __call__(self, texts: Sequence[str]) -> Probabilities:
        """[n] texts -> [n, labels]."""
        return np.asarray(softmax(self.separator(self.features(texts)) / self.temperature, axis=1))


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
