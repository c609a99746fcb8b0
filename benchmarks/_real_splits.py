"""The part of the benchmark `statistics` that runs on real rows: Banking77's training rows, static embeddings."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from _common import Figure
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, softmax

from tasklift.data.embed import open_embedder
from tasklift.data.read import read_dataset
from tasklift.stats.intervals import wilson
from tasklift.stats.learn_then_test import learn_then_test
from tasklift.stats.learning_curve import fit_learning_curve
from tasklift.strategies.classifier import label_indices, texts_of
from tasklift.strategies.heads import Head, OneLabel, fit_head
from tasklift.task import Label, Task

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
DELTA = 0.1
#: C of the heads; not chosen, since no figure is about accuracy.
STRENGTH = 10.0
SPLITS, DRAWN = 500, 2500


def tuned_threshold(confidence: Array, wrong: Array, alpha: float) -> float | None:
    """The loosest threshold whose rows look good enough: no guarantee."""
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    good = np.cumsum(wrong[order]) / np.arange(1, len(ranked) + 1) <= alpha
    good &= np.append(ranked[1:] != ranked[:-1], True)
    return float(ranked[np.flatnonzero(good)[-1]]) if good.any() else None


def real_splits(folder: Path) -> list[Figure]:
    """A head on 5,000 rows, its threshold certified many times on draws of the rows that it has not seen."""
    vectors, truth, labels = embedded(folder)
    order = np.random.default_rng(14).permutation(len(truth))
    fitting, rest = order[:5000], order[5000:]
    logits = scores(fit_head(OneLabel(labels), (vectors[fitting], truth[fitting]), STRENGTH), vectors[rest])
    confidence, wrong = softmax(logits, axis=1).max(axis=1), (logits.argmax(axis=1) != truth[rest]).astype(float)
    figures = [curve_figure(vectors, truth, order, labels)]
    for alpha in (0.1, 0.05, 0.02):
        figures += [of_draws(confidence, wrong, alpha), of_halves(confidence, wrong, alpha)]
    return figures


def of_draws(confidence: Array, wrong: Array, alpha: float) -> Figure:
    """Certified on independent draws of the rows, judged by the risk on all of them: the real one."""
    rng, missed, naive, cover = np.random.default_rng(15), 0, 0, []
    for _ in range(SPLITS):
        drawn = rng.integers(0, len(wrong), DRAWN)
        found = learn_then_test(confidence[drawn], wrong[drawn], alpha, DELTA).threshold
        missed += exceeds(found, confidence, wrong, alpha)
        naive += exceeds(tuned_threshold(confidence[drawn], wrong[drawn], alpha), confidence, wrong, alpha)
        cover.append(0.0 if found is None else float(np.mean(confidence >= found)))
    said = (
        f"{SPLITS} draws of {DRAWN:,} of {len(wrong):,} rows; tuned instead: {naive / SPLITS:.0%}; "
        f"accepts {np.mean(cover):.1%}"
    )
    bar = DELTA + 2 * math.sqrt(DELTA * (1 - DELTA) / SPLITS)
    return Figure.share(f"LTT misses: Banking77 at {alpha:.0%} risk", wilson(missed, SPLITS), at_most=bar, note=said)


def of_halves(confidence: Array, wrong: Array, alpha: float) -> Figure:
    """Certified on one half, judged by what is seen on the other, whose own noise counts too."""
    rng, missed, naive, half = np.random.default_rng(16), 0, 0, len(wrong) // 2
    for _ in range(SPLITS):
        split = rng.permutation(len(wrong))
        first, second = split[:half], split[half:]
        found = learn_then_test(confidence[first], wrong[first], alpha, DELTA).threshold
        missed += exceeds(found, confidence[second], wrong[second], alpha)
        tuned = tuned_threshold(confidence[first], wrong[first], alpha)
        naive += exceeds(tuned, confidence[second], wrong[second], alpha)
    # Both halves are equally noisy: a bound of 1.28 standard errors of one is 0.91 of their difference.
    by_noise = float(ndtr(ndtri(DELTA) / math.sqrt(2)))
    said = f"{SPLITS} splits; at most {by_noise:.0%} by the noise of both; tuned instead: {naive / SPLITS:.0%}"
    return Figure.share(f"other half seen above {alpha:.0%} risk", wilson(missed, SPLITS), note=said)


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
        head = fit_head(OneLabel(labels), (vectors[rows], truth[rows]), STRENGTH)
        return float(np.mean(scores(head, vectors[held_out]).argmax(axis=1) != truth[held_out]))

    found = fit_learning_curve(sizes, [error(size) for size in sizes], len(held_out)).at(8000)
    seen = error(8000)
    said = f"expected {found.mean:.1%}, SD {found.sd:.1%}; measured {seen:.1%}"
    return Figure("real learning curve at twice the size, off by", abs(seen - found.mean), at_most=0.04, note=said)


def scores(head: Head, vectors: NDArray[np.float32]) -> Array:
    """Logits: [n, labels]."""
    return np.asarray(vectors @ head.weights.T + head.bias, dtype=np.float64)
