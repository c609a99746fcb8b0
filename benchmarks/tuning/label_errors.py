"""Labels that are likely wrong: a twentieth of Banking77's training labels flipped, found, and taken out.

    python3 dev.py bench tuning label_errors [--data FOLDER]

Flipped to any other label, and, as a harder case without a bar, to the label that is nearest by its vectors' mean.
Rows are ranked by the probability of the label that they carry. Accuracy is that of the frozen head (C chosen on
validation cut from the rows it is given) on the test rows, trained on clean, flipped and cleaned labels. Banking77 has
wrong labels of its own, which count as false alarms here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from _common import Figure, finish, note
from _run import hashes, kept, options_of
from _sets import Benchmark, banking77
from numpy.typing import NDArray

from tasklift.data.audit.label_errors import Judged, judge_labels
from tasklift.data.embed import open_embedder
from tasklift.dataset import Dataset
from tasklift.stats.intervals import paired_difference, wilson
from tasklift.strategies.frozen import FrozenEncoder

SHARE, RECALL = 0.05, 0.7
PRECISION_BAR, LOSS_BAR = 0.8, 0.005
SEED = 0


def main(arguments: Sequence[str]) -> int:
    """Flip, look, train three times."""
    asked = options_of(__doc__).parse_args(arguments)
    made = banking77(asked.data)
    begun = time.process_time()
    figures: list[Figure] = []
    with kept("banking77"):
        for how, bar in (("to any label", PRECISION_BAR), ("to the nearest label", None)):
            note(f"flipped {how}")
            flipped, where = flip(made.train, nearest=bar is None)
            judged = judge_labels(flipped.examples, open_embedder("minilm").encode)
            figures += ranked(how, judged, where, bar)
            if bar is not None:
                figures += accuracies(made, flipped, judged)
    extra: dict[str, Any] = {
        "title": "Likely label errors: Banking77, 5% of training labels flipped",
        "cpu_s": round(time.process_time() - begun, 1),
    }
    return finish("tuning_label_errors", "python3 dev.py bench tuning label_errors", figures, extra | hashes(made))


def flip(train: Dataset, nearest: bool) -> tuple[Dataset, frozenset[str]]:
    """The rows with a share of their labels wrong, and the ids of those."""
    draw = np.random.default_rng(SEED)
    labels = sorted(set(train.outputs))
    place = {label: i for i, label in enumerate(labels)}
    chosen = set(draw.choice(len(train), round(SHARE * len(train)), replace=False).tolist())
    others = _nearest_labels(train, labels) if nearest else None
    rows = []
    for at, row in enumerate(train):
        if at in chosen:
            own = place[row.output]
            other = int(others[own]) if others is not None else (own + int(draw.integers(1, len(labels)))) % len(labels)
            row = replace(row, output=labels[other])
        rows.append(row)
    flipped = Dataset(tuple(rows), name="flipped")
    return flipped, frozenset(train.examples[at].id for at in chosen)


def _nearest_labels(train: Dataset, labels: Sequence[str]) -> NDArray[np.int64]:
    vectors = open_embedder("minilm").encode([row.input["text"] for row in train])
    outputs = np.array(train.outputs)
    means = np.stack([vectors[outputs == label].mean(axis=0) for label in labels])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    similar = means @ means.T
    np.fill_diagonal(similar, -1.0)
    return np.asarray(similar.argmax(axis=1))


def ranked(how: str, judged: Judged, where: frozenset[str], bar: float | None) -> list[Figure]:
    """Precision where the wanted recall is reached, and of what the audit calls suspect."""
    order = np.argsort(judged.confidence, kind="stable")
    hits = np.cumsum([judged.rows[at] in where for at in order])
    wanted = int(np.ceil(RECALL * len(where)))
    looked = int(np.searchsorted(hits, wanted)) + 1
    suspects = {one.row for one in judged.suspects}
    right = len(suspects & where)
    return [
        Figure.share(
            f"flipped {how}, precision at recall {RECALL}", wilson(wanted, looked), bar, note=f"{looked} rows looked at"
        ),
        Figure.share(f"flipped {how}, precision of suspects", wilson(right, len(suspects)), note=f"{len(suspects)}"),
        Figure.share(f"flipped {how}, recall of suspects", wilson(right, len(where))),
    ]


def accuracies(made: Benchmark, flipped: Dataset, judged: Judged) -> list[Figure]:
    """Accuracy with clean, flipped and cleaned training labels."""
    suspects = {one.row for one in judged.suspects}
    sets = {
        "clean": made.train,
        "flipped": flipped,
        "cleaned": flipped.part((row for row in flipped if row.id not in suspects), "suspects removed"),
    }
    texts, truth = [row.input["text"] for row in made.test], np.array(made.test.outputs)
    rights = {}
    for name, rows in sets.items():
        candidate = FrozenEncoder(strengths=(3.0, 10.0, 30.0)).fit(made.task, rows)
        said = np.array(candidate.labels)[candidate.probabilities(texts).argmax(axis=1)]
        rights[name] = (said == truth).astype(float)
        note(f"{name}: {rights[name].mean():.4f}")
    found = [
        Figure.share(f"frozen head, {name} labels, accuracy", wilson(float(right.sum()), len(right)))
        for name, right in rights.items()
    ]
    better, worse = rights["clean"] > rights["cleaned"], rights["clean"] < rights["cleaned"]
    loss = paired_difference(int(better.sum()), int(worse.sum()), len(truth))
    return [*found, Figure.share("accuracy lost against clean labels", loss, at_most=LOSS_BAR)]
