"""Which rows to ask for next: those that a model is unsure of, spread over what is different (Zhdanov 2019).

The first rows, when no model can be fitted, are the ones in the middle of as many clusters as rows are asked for:
typical and unlike each other. Later, rows are weighed by the model's uncertainty (one minus the margin between its two
likeliest labels), the unsurest are clustered with these weights, and the row nearest to each middle is asked for.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from tasklift.data.embed import Vectors

#: So many of the unsurest rows are clustered for each row that is asked for.
WIDER = 10
STRENGTH = 10.0  # of the regression, C
#: Rows that are clustered at most: more would take minutes and change little.
MOST = 20_000


def choose(vectors: Vectors, known: dict[int, str], count: int, seed: int = 0) -> list[int]:
    """Places of the rows to ask for, the most informative first.

    Args:
        vectors: [rows, dimensions] of all rows, length 1.
        known: place -> label of the rows that are labelled.
        count: how many; fewer where fewer are left.
        seed: of the clustering, and of which rows are looked at where there are very many.
    """
    draw = np.random.default_rng(seed)
    left = np.array([at for at in range(len(vectors)) if at not in known], dtype=np.int64)
    if len(left) > MOST:
        left = np.sort(draw.choice(left, MOST, replace=False))
    count = min(count, len(left))
    if count == 0:
        return []
    weights = np.ones(len(left))
    if len(set(known.values())) > 1:
        unsure = uncertainty(vectors[left], vectors[list(known)], list(known.values()))
        widest = np.argsort(-unsure, kind="stable")[: max(WIDER * count, count)]
        left, weights = left[widest], np.maximum(unsure[widest], 1e-6)
    return [int(left[at]) for at in _spread(vectors[left], weights, count, seed)]


def uncertainty(asked: Vectors, known: Vectors, labels: Sequence[str]) -> NDArray[np.float64]:
    """[asked] one minus the margin between the two likeliest labels: 0 where the model is sure, 1 where it is torn."""
    regression = LogisticRegression(C=STRENGTH, max_iter=300, tol=1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # many labels on few rows are meant
        warnings.simplefilter("ignore", ConvergenceWarning)  # an order needs no last digit
        chances = np.sort(regression.fit(known, np.array(labels)).predict_proba(asked), axis=1)
    return np.asarray(1 - (chances[:, -1] - chances[:, -2]))


def _spread(vectors: Vectors, weights: NDArray[np.float64], count: int, seed: int) -> list[int]:
    """Places of the rows nearest to the middles of weighted clusters, the heaviest cluster first."""
    if count == len(vectors):
        return [int(at) for at in np.argsort(-weights, kind="stable")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different rows than clusters
        found = KMeans(count, n_init=1, max_iter=20, random_state=seed).fit(vectors, sample_weight=weights)
    distance = np.linalg.norm(vectors - found.cluster_centers_[found.labels_], axis=1)
    picked: list[tuple[float, int]] = []
    for cluster in range(count):
        members = np.flatnonzero(found.labels_ == cluster)
        if len(members):
            picked.append((-float(weights[members].sum()), int(members[distance[members].argmin()])))
    chosen = [at for _, at in sorted(picked)]
    rest = [int(at) for at in np.argsort(-weights, kind="stable") if at not in set(chosen)]
    return [*chosen, *rest][:count]
