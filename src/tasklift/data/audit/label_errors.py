"""Labels that are likely wrong: confident learning on sentence vectors (Northcutt, Jiang and Chuang 2021).

Every row is judged by models that have not seen it (five folds, equal texts in one): a logistic regression and a vote
of the nearest rows, averaged. A label is suspect where another one is as probable as it usually is for rows of its
own, or `TIMES` as probable as the one that the row carries: the first finds errors where all probabilities are flat,
in small sets, the second where they are sharp. Suspects are ranked by the probability of the label that they carry.

Models that get fewer than `LEAST_AGREEMENT` of the labels right know too little to accuse any: then nothing is suspect.
"""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from tasklift.data.audit.finding import Finding, named, text_of_row
from tasklift.data.embed import Vectors
from tasklift.dataset import Example, text_key

CHECK = "label errors"
FOLDS = 5
#: A label with fewer different texts is not in the training part of every fold.
LEAST_TEXTS = 3
NEIGHBOURS = 10
#: How fast the vote of a neighbour falls with its distance (1 - cosine).
VOTE_WIDTH = 0.1
TIMES = 50.0
#: Below this share of labels that the models would give too, most of what they doubt is their own mistake.
LEAST_AGREEMENT = 0.5
STRENGTH = 10.0  # of the regression, C: little shrinking, which vectors of length 1 need
Embed = Callable[[Sequence[str]], Vectors]


@dataclass(frozen=True)
class Suspect:
    """A row whose label is likely wrong, and why.

    Attributes:
        row: its id.
        label: what it carries.
        suggested: what the models say.
        p_label, p_suggested: cross-validated probabilities.
        near: the nearest other rows with their labels and similarities: what the suggestion rests on.
    """

    row: str
    label: str
    suggested: str
    p_label: float
    p_suggested: float
    near: tuple[tuple[str, str, float], ...]

    def reason(self) -> str:
        """In words."""
        votes = Counter(label for _, label, _ in self.near)
        carried = ", ".join(f"{n} {label}" for label, n in votes.most_common(3))
        return (
            f"{self.label!r} has a probability of {self.p_label:.0%}, {self.suggested!r} of {self.p_suggested:.0%}; "
            f"its {len(self.near)} nearest rows: {carried}"
        )


@dataclass(frozen=True)
class Judged:
    """Every row that could be judged.

    Attributes:
        rows: [n] ids.
        confidence: [n] cross-validated probability of the label that the row carries.
        suspects: likely errors, the least probable label first.
        unjudged: ids of rows whose label has too few texts, or that have none.
        agreement: share of the judged rows whose label is also the models' first; 1 where none was judged.
    """

    rows: tuple[str, ...]
    confidence: NDArray[np.float64]
    suspects: tuple[Suspect, ...]
    unjudged: tuple[str, ...]
    agreement: float = 1.0

    @property
    def is_blind(self) -> bool:
        """The models know too little to call a label wrong."""
        return self.agreement < LEAST_AGREEMENT


def judge_labels(rows: Sequence[Example], embed: Embed, seed: int = 0) -> Judged:
    """Cross-validate every label. Rows whose output is no single label are left out.

    Args:
        embed: [n] texts -> [n, dimensions], rows of length 1.
        seed: of the folds.
    """
    texts_of: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if isinstance(row.output, str):
            texts_of[row.output].add(text_key(row.input))
    labels = sorted(label for label, texts in texts_of.items() if len(texts) >= LEAST_TEXTS)
    judged = [row for row in rows if row.output in labels]
    left = tuple(row.id for row in rows if row.output not in labels)
    if len(labels) < 2:
        return Judged((), np.empty(0), (), tuple(row.id for row in rows))
    place = {label: i for i, label in enumerate(labels)}
    given = np.array([place[row.output] for row in judged])
    vectors = embed([text_of_row(row) for row in judged])
    chances = cross_validated(vectors, given, _folds(judged, given, seed))
    confidence = chances[np.arange(len(judged)), given]
    agreement = float(np.mean(chances.argmax(axis=1) == given))
    if agreement < LEAST_AGREEMENT:
        return Judged(tuple(row.id for row in judged), confidence, (), left, agreement)
    suspects = []
    for at in suspect_places(chances, given):
        best = int(chances[at].argmax())
        suspects.append(
            Suspect(
                judged[at].id,
                labels[given[at]],
                labels[best],
                round(float(confidence[at]), 4),
                round(float(chances[at, best]), 4),
                tuple((judged[j].id, labels[given[j]], s) for j, s in _nearest(vectors, at)),
            )
        )
    return Judged(tuple(row.id for row in judged), confidence, tuple(suspects), left, agreement)


def suspect_places(chances: NDArray[np.float64], given: NDArray[np.int64]) -> list[int]:
    """Places whose label is likely wrong, the least probable label first.

    A row counts for label j where p_j is at least the mean p_j of the rows that carry j; of several, the most
    probable. Rows that count for another label than theirs are off the diagonal of the confident joint.

    Args:
        chances: [n, labels] cross-validated probabilities.
        given: [n] indices of the labels that rows carry.
    """
    own = chances[np.arange(len(given)), given]
    limits = np.array([chances[given == j, j].mean() if np.any(given == j) else 1.0 for j in range(chances.shape[1])])
    confident = np.where(chances >= limits[None, :], chances, -1.0)
    counts_for = np.where(confident.max(axis=1) >= 0, confident.argmax(axis=1), given)
    off_diagonal = (counts_for != given) & (chances.argmax(axis=1) != given)
    wrong = np.flatnonzero(off_diagonal | (chances.max(axis=1) >= TIMES * np.maximum(own, 1e-12)))
    return [int(at) for at in wrong[np.argsort(own[wrong], kind="stable")]]


def cross_validated(vectors: Vectors, given: NDArray[np.int64], folds: NDArray[np.int64]) -> NDArray[np.float64]:
    """[n, labels] probabilities of each row by models of the other folds."""
    labels = int(given.max()) + 1
    out = np.zeros((len(given), labels))
    for fold in np.unique(folds):
        inside, outside = folds == fold, folds != fold
        seen = np.unique(given[outside])
        regression = LogisticRegression(C=STRENGTH, max_iter=300, tol=1e-3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # many labels on few rows are meant
            warnings.simplefilter("ignore", ConvergenceWarning)  # a ranking needs no last digit
            regression.fit(vectors[outside], given[outside])
        by_line = np.zeros((int(inside.sum()), labels))
        by_line[:, seen] = regression.predict_proba(vectors[inside])
        out[inside] = (by_line + _votes(vectors[outside], given[outside], vectors[inside], labels)) / 2
    return out


def _votes(known: Vectors, given: NDArray[np.int64], asked: Vectors, labels: int) -> NDArray[np.float64]:
    """[asked, labels] shares of the nearest rows' votes, near ones counting more."""
    count = min(NEIGHBOURS, len(known))
    out = np.zeros((len(asked), labels))
    for begin in range(0, len(asked), 1024):
        some = slice(begin, begin + 1024)
        similar = asked[some] @ known.T
        top = np.argpartition(-similar, count - 1, axis=1)[:, :count]
        weight = np.exp((np.take_along_axis(similar, top, axis=1) - 1) / VOTE_WIDTH)
        for column in range(count):
            np.add.at(out[some], (np.arange(len(similar)), given[top[:, column]]), weight[:, column])
    return np.asarray(out / np.maximum(out.sum(axis=1, keepdims=True), 1e-12))


def _folds(rows: Sequence[Example], given: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """[n] fold of each row: labels spread evenly, equal texts together."""
    draw = np.random.default_rng(seed)
    fold_of: dict[str, int] = {}
    filled = np.zeros((int(given.max()) + 1, FOLDS))
    out = np.zeros(len(rows), dtype=np.int64)
    for at in draw.permutation(len(rows)):
        key = text_key(rows[at].input)
        if key not in fold_of:
            fold_of[key] = int(filled[given[at]].argmin())
        out[at] = fold_of[key]
        filled[given[at], out[at]] += 1
    return out


def _nearest(vectors: Vectors, at: int) -> list[tuple[int, float]]:
    similar = vectors @ vectors[at]
    similar[at] = -2.0
    count = min(NEIGHBOURS, len(vectors) - 1)
    top = np.argpartition(-similar, count - 1)[:count]
    return [(int(j), round(float(similar[j]), 3)) for j in top[np.argsort(-similar[top])]]


def label_findings(judged: Judged) -> list[Finding]:
    """One finding with all suspects, each with the models' reasons; or that the models cannot tell."""
    if judged.is_blind:
        told = f"cannot be judged: models of the other rows give {judged.agreement:.0%} of the labels as they stand"
        remedy = "label more rows, or take a better --embedder: from half on, likely errors are named"
        return [Finding(CHECK, "note", told, remedy)]
    if not judged.suspects:
        return []
    ids = tuple(one.row for one in judged.suspects)
    worst = judged.suspects[0]
    reasons = {
        one.row: {
            "label": one.label,
            "suggested": one.suggested,
            "p_label": one.p_label,
            "p_suggested": one.p_suggested,
            "reason": one.reason(),
            "near": [{"row": row, "label": label, "similarity": similar} for row, label, similar in one.near],
        }
        for one in judged.suspects
    }
    return [
        Finding(
            CHECK,
            "warning",
            f"{len(ids)} labels are likely wrong ({named(ids)}); the first: {worst.reason()}",
            "look at them in order; `tasklift data clean --labels remove` takes them out, `--labels relabel` takes the "
            "suggestion",
            ids,
            {"rows": reasons},
        )
    ]
