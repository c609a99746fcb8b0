"""Measure the right/wrong tables: cheap strategies on the test rows of four public data sets.

    python benchmarks/decisions/make_tables.py [--data FOLDER] [SET ...]
    python benchmarks/decisions/make_tables.py --state .tasklift banking77     add what an evaluation measured

No model is asked here: all are stand-ins for what they are called. Two that know 20 rows a label (the vote of
the nearest ones, which is what a prompt with retrieved examples says where they agree, and a head) stand for
prompting; heads and a TF-IDF SVM on all rows stand for fine-tuning; one of those where it is sure, else another,
for layered. Tables hold the line of each row in its file, the number of its label, and 0 or 1.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from tasklift.data.embed import open_embedder
from tasklift.measure.evidence import Evidence
from tasklift.measure.stored import load_evaluation

FOLDER = Path(__file__).parent / "tables"
#: Data set -> its file.
SETS: Mapping[str, str] = {
    "banking77": "banking77/banking77.jsonl",
    "clinc150": "clinc150/clinc150.jsonl",
    "massive": "massive_en_us/massive_en_us.jsonl",
    "unfair_tos": "unfair_tos_multilingual/en.jsonl.gz",
}
#: Labelled rows of each label that a prompt knows.
FEW = 20
#: The head answers where it is surer than this; the SVM on the half where its margin is wider.
SURE, HALF = 0.6, 0.5
Flags = NDArray[np.bool_]


def main() -> None:
    """Measure the sets asked for, else all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("sets", nargs="*", default=list(SETS))
    parser.add_argument("--data", type=Path, default=os.environ.get("TASKLIFT_DATA"))
    parser.add_argument("--state", type=Path, help="take the candidates of the evaluations kept here")
    asked = parser.parse_args()
    if asked.state is not None:
        for name in asked.sets:
            add_evaluated(FOLDER / f"{name}.csv", asked.state)
        return
    if asked.data is None:
        raise SystemExit("pass --data FOLDER or set TASKLIFT_DATA to the folder that holds the data sets")
    FOLDER.mkdir(exist_ok=True)
    for name in asked.sets:
        rows = _rows(Path(asked.data) / SETS[name])
        found, ids, labels = measure(rows)
        write(FOLDER / f"{name}.csv", found, ids, labels)
        print(name, {key: f"{right.mean():.4f}" for key, right in found.items()}, f"{len(ids)} rows", flush=True)


def measure(rows: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Flags], list[int], NDArray[np.int64]]:
    """`role:strategy` -> [test rows] right; lines and label numbers of the test rows."""
    train, test = ([row for row in rows if row["split"] == split] for split in ("train", "test"))
    names = {label: at for at, label in enumerate(sorted({row["label"] for row in train}))}
    train_y, test_y = (np.array([names[row["label"]] for row in part]) for part in (train, test))
    texts, test_texts = ([row["text"] for row in part] for part in (train, test))
    embedder = open_embedder("static")
    vectors, test_vectors = embedder.encode(texts), embedder.encode(test_texts)
    few = _few(train_y)
    vote = _vote(vectors[few], train_y[few], test_vectors)
    small, head = (_head(vectors[rows], train_y[rows], test_vectors) for rows in (few, np.arange(len(train_y))))
    margin, svm = _svm(texts, train_y, test_texts)
    answers = {
        f"prompt:vote of {FEW}": vote,
        f"prompt:head of {FEW}": small.argmax(axis=1),
        "finetune:head": head.argmax(axis=1),
        "finetune:tf-idf": svm,
        "layered:head, else vote": np.where(head.max(axis=1) >= SURE, head.argmax(axis=1), vote),
        "layered:tf-idf, else head": np.where(margin >= np.quantile(margin, HALF), svm, head.argmax(axis=1)),
    }
    found = {name: said == test_y for name, said in answers.items()}
    return found, [row["line"] for row in test], test_y


def add_evaluated(path: Path, state: Path) -> None:
    """Add to a table what evaluations of all its rows say: tuned and prompted candidates that answer every row.

    Ids of the evaluated rows are `row-<line>`, as the benchmarks name them.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns: dict[str, Flags] = {}
    for manifest in sorted((state / "evaluations").glob("*/manifest.json")):
        found = Evidence.from_evaluation(load_evaluation(state, manifest.parent.name, reviewer_accuracy=1.0))
        place = {identity: at for at, identity in enumerate(found.item_ids)}
        ids = [f"row-{row['id']}" for row in rows]
        for option in found.options.values():
            if option.family in ("prompt", "finetune") and option.answered.all() and set(ids) <= set(place):
                columns[f"{option.family}:{option.name}"] = option.score[[place[one] for one in ids]] > 0
    kept = {
        name: np.array([row[name] == "1" for row in rows]) for name in rows[0] if ":" in name and name not in columns
    }
    write(path, kept | columns, [int(row["id"]) for row in rows], np.array([int(row["group"]) for row in rows]))
    print(path.stem, {name: f"{right.mean():.4f}" for name, right in columns.items()})


def write(path: Path, found: Mapping[str, Flags], ids: Sequence[int], labels: NDArray[np.int64]) -> None:
    """The table, in the order of the file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["id", "group", *found])
        for at, (line, label) in enumerate(zip(ids, labels, strict=True)):
            out.writerow([line, label, *(int(right[at]) for right in found.values())])


def _few(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of so many rows of each label."""
    draw = np.random.default_rng(0)
    return np.concatenate([draw.permutation(np.flatnonzero(labels == label))[:FEW] for label in np.unique(labels)])


def _vote(vectors: NDArray[Any], labels: NDArray[np.int64], asked: NDArray[Any]) -> NDArray[np.int64]:
    """[n] label of the five nearest rows, votes weighted by similarity."""
    alike = asked @ vectors.T
    nearest = np.argsort(-alike, axis=1)[:, :5]
    weight = np.exp((np.take_along_axis(alike, nearest, axis=1) - 1) / 0.1)
    votes = np.zeros((len(asked), labels.max() + 1))
    np.add.at(votes, (np.arange(len(asked))[:, None], labels[nearest]), weight)
    return np.asarray(votes.argmax(axis=1))


def _head(vectors: NDArray[Any], labels: NDArray[np.int64], asked: NDArray[Any]) -> NDArray[np.float64]:
    """[n, labels] probabilities of a logistic regression on the vectors."""
    model = LogisticRegression(C=10.0, max_iter=300).fit(vectors, labels)
    return np.asarray(model.predict_proba(asked))


def _svm(
    texts: Sequence[str], labels: NDArray[np.int64], asked: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """[n] margin over the second label, and [n] label, of a linear SVM on words and pairs of words."""
    features = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    model = LinearSVC(C=1.0).fit(features.fit_transform(texts), labels)
    scores = np.asarray(model.decision_function(features.transform(asked)))
    if scores.ndim == 1:
        return np.abs(scores), (scores > 0).astype(np.int64)
    ranked = np.sort(scores, axis=1)
    return ranked[:, -1] - ranked[:, -2], scores.argmax(axis=1)


def _rows(path: Path) -> list[dict[str, Any]]:
    raw = path.read_bytes()
    lines = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode().splitlines()
    rows = [json.loads(line) | {"line": number} for number, line in enumerate(lines, start=1)]
    return [row for row in rows if row["text"].strip() and not row.get("oos")]


if __name__ == "__main__":
    main()
