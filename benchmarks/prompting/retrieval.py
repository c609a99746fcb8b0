"""Labelled rows: is the right label among the neighbours, and how long does a search of 100,000 rows take?

    python3 dev.py bench prompting retrieval

Neighbours of Banking77's 3,080 test texts among its 10,003 training rows, by the bundled sentence encoder. The timed
rows are those vectors, each moved a little until there are 100,000: what is timed is one exact search, alone.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from _common import Figure, finish, note
from _run import hashes, kept, options_of
from _sets import banking77
from numpy.typing import NDArray

from tasklift.data.embed import Vectors, open_embedder
from tasklift.data.nearest import nearest
from tasklift.stats.intervals import wilson
from tasklift.strategies.classifier import label_indices, texts_of

NEIGHBOURS = 8
RECALL_BAR = 0.975
ROWS, QUERIES, SEARCH_BAR_MS = 100_000, 200, 20.0


def main() -> int:
    """Print and store the figures."""
    asked = options_of(__doc__).parse_args()
    made = banking77(asked.data)
    with kept("banking77"):
        note("embedding 13,083 texts (about two minutes the first time)")
        train, test = (open_embedder("minilm").encode(texts_of(rows, ("text",))) for rows in (made.train, made.test))
    labels = list(made.task.labels)
    truth, wanted = label_indices(made.train, labels), label_indices(made.test, labels)
    index, _ = nearest(test, train, 20)
    recall = {k: (truth[index[:, :k]] == wanted[:, None]).any(axis=1) for k in (1, 4, NEIGHBOURS, 20)}
    figures = [
        Figure.share(
            f"right label among {k} neighbours",
            wilson(int(right.sum()), len(right)),
            RECALL_BAR if k == NEIGHBOURS else None,
            note=f"{len(right)} rows",
        )
        for k, right in recall.items()
    ]
    wall, cpu = timed(many(train), test)
    said = f"median of {QUERIES} searches for 20 rows, 384 dimensions, float32, exact"
    figures += [
        Figure("100,000 rows searched", wall, at_most=SEARCH_BAR_MS, unit="ms", note=said),
        Figure("100,000 rows searched, CPU time", cpu, unit="ms", note="mean"),
    ]
    extra: dict[str, Any] = {"title": "Prompting: finding labelled rows", "data": hashes(made)}
    return finish("prompting_retrieval", "python3 dev.py bench prompting retrieval", figures, extra)


def many(vectors: Vectors) -> Vectors:
    """100,000 unit vectors: those given, again and again, each moved by a little noise."""
    draw = np.random.default_rng(0)
    rows = np.resize(vectors, (ROWS, vectors.shape[1])) + 0.02 * draw.standard_normal((ROWS, vectors.shape[1]))
    unit: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def timed(rows: Vectors, queries: Vectors) -> tuple[float, float]:
    """Median wall milliseconds of one search, and mean CPU milliseconds."""
    nearest(queries[:1], rows, 20)
    wall, cpu = [], time.process_time()
    for query in queries[:QUERIES]:
        begun = time.perf_counter()
        nearest(query[None], rows, 20)
        wall.append(time.perf_counter() - begun)
    return 1e3 * float(np.median(wall)), 1e3 * (time.process_time() - cpu) / QUERIES


if __name__ == "__main__":
    sys.exit(main())
