"""Exact nearest neighbours among unit vectors: one product in float32, no index to build or to keep up to date.

At 384 dimensions 100,000 rows are 154 MB, read once a query: `python3 dev.py bench prompting search` prints the time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tasklift.data.embed import Vectors


def nearest(queries: Vectors, rows: Vectors, k: int, block: int = 512) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Indices and cosine similarities of the k nearest rows, nearest first, ties by row order.

    Args:
        queries: [n, dimensions], unit length.
        rows: [rows, dimensions], unit length.
        block: queries compared at once, which bounds memory.

    Returns:
        ([n, k], [n, k]); k is cut to the number of rows.
    """
    k = min(k, len(rows))
    index = np.empty((len(queries), k), dtype=np.int64)
    similarity = np.empty((len(queries), k), dtype=np.float64)
    for start in range(0, len(queries), block):
        # Rounded so that the last bits, which depend on the batch, never decide an order.
        scores = np.round(queries[start : start + block] @ rows.T, 6)
        top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        top.sort(axis=1)
        order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1, kind="stable")
        index[start : start + block] = np.take_along_axis(top, order, axis=1)
        similarity[start : start + block] = np.take_along_axis(scores, index[start : start + block], axis=1)
    return index, similarity
