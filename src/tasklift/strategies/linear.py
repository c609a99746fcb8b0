"""TF-IDF over words and characters with a linear SVM: features, the separator, and how it is calibrated."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from scipy.special import expit, softmax
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from tasklift.errors import StrategyError
from tasklift.stats.calibration import fit_platt, fit_temperature
from tasklift.strategies.classifier import Probabilities, spread

#: What turns text into features; the order is the order of the columns.
ANALYSERS: tuple[dict[str, Any], ...] = (
    {"analyzer": "word", "ngram_range": (1, 2), "sublinear_tf": True, "strip_accents": None},
    {"analyzer": "char_wb", "ngram_range": (2, 5), "sublinear_tf": True, "min_df": 2},
)


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
    """Everything that answers: softmax(margins / temperature + offset).

    Attributes:
        offset: [labels]; zeros but where there are two labels.
    """

    features: Features
    separator: Separator
    temperature: float
    offset: NDArray[np.float64]

    def __call__(self, texts: Sequence[str]) -> Probabilities:
        """[n] texts -> [n, labels]."""
        return np.asarray(softmax(self.separator(self.features(texts)) / self.temperature + self.offset, axis=1))


def margins_left_out(
    texts: Sequence[str],
    truth: NDArray[np.int64],
    groups: NDArray[Any],
    wanted: Iterable[Any],
    strengths: Sequence[float],
    labels: int,
    cased: bool,
) -> dict[float, NDArray[np.float64]]:
    """C -> [n, labels] margins of every row of a wanted group, by a separator that saw no row of it; 0 elsewhere.

    Args:
        texts: [n].
        truth: [n] label indices.
        groups: [n].
    """
    out = {strength: np.zeros((len(texts), labels)) for strength in strengths}
    for group in wanted:
        fitting, judged = np.flatnonzero(groups != group).tolist(), np.flatnonzero(groups == group).tolist()
        features = Features.fit([texts[i] for i in fitting], cased)
        known, unknown = features([texts[i] for i in fitting]), features([texts[i] for i in judged])
        for strength, margins in out.items():
            margins[judged] = Separator.fit(known, truth[fitting], strength, labels)(unknown)
    return out


@dataclass(frozen=True)
class Scaling:
    """C, how well it did on rows not learnt from, and what makes its margins probabilities."""

    strength: float
    accuracy: float
    temperature: float
    offset: NDArray[np.float64]

    @classmethod
    def of_one_cut(cls, margins: dict[float, NDArray[np.float64]], truth: NDArray[np.int64]) -> Scaling:
        """The C that is right most often, and a temperature.

        Args:
            margins: C -> [m, labels].
            truth: [m].
        """
        right = {strength: float(np.mean(some.argmax(1) == truth)) for strength, some in margins.items()}
        best = max(margins, key=lambda strength: right[strength])
        offset = np.zeros(margins[best].shape[1])
        return cls(best, right[best], fit_temperature(margins[best], truth), offset)

    @classmethod
    def of_two_labels(cls, margins: dict[float, NDArray[np.float64]], truth: NDArray[np.int64]) -> Scaling:
        """The C of least log-loss, each with slope and offset (Platt 1999).

        An SVM draws its line where few rows lie, so of two labels the rarer one is said too seldom; a temperature
        leaves the line where it is, an offset moves it.

        Args:
            margins: C -> [n, 2], of all training rows.
            truth: [n].
        """
        found = []
        for strength, some in margins.items():
            sure = expit(some[:, 1] - some[:, 0])
            scaled = fit_platt(sure, (truth == 1).astype(np.float64))
            said = np.clip(scaled(sure), 1e-9, 1 - 1e-9)
            loss = float(-np.log(np.where(truth == 1, said, 1 - said)).mean())
            accuracy = float(np.mean((said > 0.5) == (truth == 1)))
            found.append((loss, cls(strength, accuracy, 1 / scaled.slope, np.array([0.0, scaled.offset]))))
        return min(found, key=lambda pair: pair[0])[1]
