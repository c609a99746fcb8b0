"""The part of the benchmark `statistics` that runs on real rows: Banking77's training rows, static embeddings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from _common import Figure
from numpy.typing import NDArray
from scipy.special import softmax

from tasklift.data.embed import open_embedder
from tasklift.data.read import read_dataset
from tasklift.stats.intervals import wilson
from tasklift.stats.learn_then_test import learn_then_test
from tasklift.stats.learning_curve import fit_learning_curve
from tasklift.strategies.classifier import label_indices, texts_of
from tasklift.strategies.frozen import Head, fit_head
from tasklift.task import Label, Task

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
DELTA = 0.1
#: C of the heads; not chosen, since no figure is about accuracy.
STRENGTH = 10.0
SPLITS = 500


def tuned_threshold(confidence: Array, wrong: Array, alpha: float) -> float | None:
    """The loosest threshold whose rows look good enough: no guarantee."""
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    good = np.cumsum(wrong[order]) / np.arange(1, len(ranked) + 1) <= alpha
    good &= np.append(ranked[1:] != ranked[:-1], True)
    return float(ranked[np.flatnonzero(good)[-1]]) if good.any() else None


def real_splits(folder: Path) -> list[Figure]:
    """Banking77, training rows only: a head on static embeddings, certified on many random splits."""
    vectors, truth, labels = embedded(folder)
    order = np.random.default_rng(14).permutation(len(truth))
    fitting, rest = order[:5000], order[5000:]
    logits = scores(fit_head(vectors[fitting], truth[fitting], STRENGTH, labels), vectors[rest])
    confidence, wrong = softmax(logits, axis=1).max(axis=1), (logits.argmax(axis=1) != truth[rest]).astype(float)
    figures = [curve_figure(vectors, truth, order, labels)]
    for alpha in (0.1, 0.05, 0.02):
        rng, missed, naive, cover = np.random.default_rng(15), 0, 0, []
        for _ in range(SPLITS):
            split = rng.permutation(len(rest))
            first, second = split[: len(rest) // 2], split[len(rest) // 2 :]
            found = learn_then_test(confidence[first], wrong[first], alpha, DELTA).threshold
            tuned = tuned_threshold(confidence[first], wrong[first], alpha)
            missed += exceeds(found, confidence[second], wrong[second], alpha)
            naive += exceeds(tuned, confidence[second], wrong[second], alpha)
            cover.append(0.0 if found is None else float(np.mean(confidence[second] >= found)))
        said = (
            f"{SPLITS} splits of the same {len(rest):,} rows, delta {DELTA:.0%}; tuned instead: {naive / SPLITS:.0%}; "
            f"accepts {np.mean(cover):.1%}"
        )
        what = f"real splits, other half above {alpha:.0%} risk"
        figures.append(Figure.share(what, wilson(missed, SPLITS), note=said))
    return figures


def exceeds(threshold: float | None, confidence: Array, wrong: Array, alpha: float) -> bool:
    """Is the share of wrong answers among accepted rows above alpha?"""
    if threshold is None or not np.any(confidence >= threshold):
        return False
    return float(wrong[confidence >= threshold].mean()) > alpha


def embedded(folder: Path) -> tuple[NDArray[np.float32], Ints, int]:
    """Vectors [n, 256], label numbers [n] and how many labels, of the training rows."""
    path = folder / "banking77.jsonl"
    names = sorted({json.loads(line)["label"] for line in path.read_text(encoding="utf-8").splitlines()})
    task = Task(name="banking77", instruction="Sort.", output=Label(labels={name: name for name in names}))
    train = read_dataset(path, task).where("train")
    vectors = open_embedder("static").encode(texts_of(train, task.input_fields))
    return vectors, label_indices(train, names), len(names)


def curve_figure(vectors: NDArray[np.float32], truth: Ints, order: Ints, labels: int) -> Figure:
    """Errors of heads on up to 4,000 rows, extended to 8,000; 2,000 other rows judge."""
    held_out, sizes = order[8000:], [500, 1000, 2000, 4000]

    def error(size: int) -> float:
        rows = order[:size]
        head = fit_head(vectors[rows], truth[rows], STRENGTH, labels)
        return float(np.mean(scores(head, vectors[held_out]).argmax(axis=1) != truth[held_out]))

    found = fit_learning_curve(sizes, [error(size) for size in sizes], len(held_out)).at(8000)
    seen = error(8000)
    said = f"expected {found.mean:.1%}, SD {found.sd:.1%}; measured {seen:.1%}"
    return Figure("real learning curve at twice the size, off by", abs(seen - found.mean), at_most=0.04, note=said)


def scores(head: Head, vectors: NDArray[np.float32]) -> Array:
    """Logits: [n, labels]."""
    return np.asarray(vectors @ head.weights.T + head.bias, dtype=np.float64)
