"""Rows that went wrong or unsure, in groups that can be looked at: clustered, named by their typical words, counted."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from tasklift.data.embed import Vectors

#: Rows of a cluster on average, and fewer than these are no group.
ABOUT, LEAST = 8, 3
#: Words that name a cluster, and clusters at most.
WORDS, MOST = 4, 30
#: One label from this share of a cluster's rows on: its rows look like a part of that label, a slice of it.
ONE_LABEL = 0.7
_WORD = re.compile(r"[^\W\d_][\w'-]{2,}")


@dataclass(frozen=True)
class Edge:
    """A group of rows at the edge of what is known.

    Attributes:
        name: its typical words, joined.
        rows: ids, those nearest to the middle first.
        why: reason (`deferred`, `unsure`, `wrong`, `corrected`) -> how many.
        labels: label that they carry -> how many; "" where none is known.
        offer: `slice` where at least half carry a label and nearly all of these the same, else `label`.
    """

    name: str
    rows: tuple[str, ...]
    why: Mapping[str, int]
    labels: Mapping[str, int]
    offer: str

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return {**asdict(self), "count": len(self.rows)}


@dataclass(frozen=True)
class EdgeRow:
    """A row that went wrong or unsure.

    Attributes:
        row: its id.
        text: what was asked.
        label: what it should have been; "" where nobody knows.
        why: `deferred`, `unsure`, `wrong` or `corrected`.
    """

    row: str
    text: str
    label: str
    why: str


def find_edges(rows: Sequence[EdgeRow], vectors: Vectors, background: Sequence[str], seed: int = 0) -> list[Edge]:
    """Groups, the largest first. Rows that stand alone are left out.

    Args:
        vectors: [rows, dimensions], length 1.
        background: texts of all rows: words are typical where they are commoner in the group than here.
        seed: of the clustering.
    """
    if len(rows) < LEAST:
        return []
    count = min(MOST, max(1, round(len(rows) / ABOUT)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different texts than clusters
        fitted = KMeans(count, n_init=4, random_state=seed).fit(vectors)
    usual = Counter(word for text in background for word in _words(text))
    edges: list[Edge] = []
    taken: Counter[str] = Counter()
    for cluster in range(count):
        members = np.flatnonzero(fitted.labels_ == cluster)
        if len(members) < LEAST:
            continue
        distance = np.linalg.norm(vectors[members] - fitted.cluster_centers_[cluster], axis=1)
        some = [rows[int(at)] for at in members[np.argsort(distance, kind="stable")]]
        labels = Counter(one.label for one in some)
        name = _name([one.text for one in some], usual, len(background))
        taken[name] += 1
        edges.append(
            Edge(
                name if taken[name] == 1 else f"{name}_{taken[name]}",
                tuple(one.row for one in some),
                dict(Counter(one.why for one in some).most_common()),
                dict(labels.most_common()),
                _offer(labels),
            )
        )
    return sorted(edges, key=lambda edge: -len(edge.rows))


def _offer(labels: Mapping[str, int]) -> str:
    """A slice of one label, or a new label; rows that nobody has labelled yet decide nothing."""
    known = [count for label, count in labels.items() if label]
    is_slice = sum(known) >= sum(labels.values()) / 2 and max(known, default=0) >= ONE_LABEL * sum(known)
    return "slice" if is_slice else "label"


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


def _name(texts: Sequence[str], usual: Mapping[str, int], total: int) -> str:
    """Words in many texts of the group and in few others, by the logarithm of the ratio times how often."""
    inside = Counter(word for text in texts for word in _words(text))

    def weight(word: str) -> float:
        share = inside[word] / len(texts)
        return float(share * np.log(share / ((usual.get(word, 0) + 1) / (total + 1))))

    common = [word for word, n in inside.items() if n > 1] or list(inside)
    best = sorted(common, key=lambda word: (-weight(word), word))[:WORDS]
    return "_".join(best) or "no_words"
