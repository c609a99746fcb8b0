"""Measure the right/wrong tables: cheap strategies on the test rows of four public data sets.

    python benchmarks/decisions/make_tables.py [--data FOLDER] [SET ...]

No model is asked here. What a prompt with retrieved examples says where all of them agree, the vote of the
nearest few labelled rows, stands for prompting; heads trained on all rows stand for fine-tuning; layered is
the head where it is surer than a threshold, else the vote. Tables hold
the line of each row in its file, the number of its label, and 0 or 1.
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

FOLDER = Path(__file__).parent / "tables"
#: Data set -> its file.
SETS: Mapping[str, str] = {
    "banking77": "banking77/banking77.jsonl",
    "clinc150": "clinc150/clinc150.jsonl",
    "massive": "massive_en_us/massive_en_us.jsonl",
    "unfair_tos": "unfair_tos_multilingual/en.jsonl.gz",
}
#: Labelled rows of each label that a prompt retrieves from.
FEW = (5, 20)
Flags = NDArray[np.bool_]


def main() -> None:
    """Measure the sets asked for, else all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("sets", nargs="*", default=list(SETS))
    parser.add_argument("--data", type=Path, default=os.environ.get("TASKLIFT_DATA"))
    asked = parser.parse_args()
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
    votes = {few: _vote(vectors, train_y, test_vectors, few) for few in FEW}
    head = _head(vectors, train_y, test_vectors)
    found = {f"prompt:vote of {few}": vote == test_y for few, vote in votes.items()}
    found["finetune:head"] = head.argmax(axis=1) == test_y
    found["finetune:tf-idf"] = _svm(texts, train_y, test_texts) == test_y
    for sure in (0.6, 0.9):
        layered = np.where(head.max(axis=1) >= sure, head.argmax(axis=1), votes[FEW[-1]])
        found[f"layered:head at {sure}, else vote"] = layered == test_y
    return found, [row["line"] for row in test], test_y


def write(path: Path, found: Mapping[str, Flags], ids: Sequence[int], labels: NDArray[np.int64]) -> None:
    """The table, in the order of the file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["id", "group", *found])
        for at, (line, label) in enumerate(zip(ids, labels, strict=True)):
            out.writerow([line, label, *(int(right[at]) for right in found.values())])


def _vote(vectors: NDArray[Any], labels: NDArray[np.int64], asked: NDArray[Any], few: int) -> NDArray[np.int64]:
    """[n] label of the nearest of so many rows a label, votes weighted by similarity."""
    draw = np.random.default_rng(0)
    kept = np.concatenate([draw.permutation(np.flatnonzero(labels == label))[:few] for label in np.unique(labels)])
    alike = asked @ vectors[kept].T
    nearest = np.argsort(-alike, axis=1)[:, :5]
    weight = np.exp((np.take_along_axis(alike, nearest, axis=1) - 1) / 0.1)
    votes = np.zeros((len(asked), labels.max() + 1))
    np.add.at(votes, (np.arange(len(asked))[:, None], labels[kept][nearest]), weight)
    return np.asarray(votes.argmax(axis=1))


def _head(vectors: NDArray[Any], labels: NDArray[np.int64], asked: NDArray[Any]) -> NDArray[np.float64]:
    """[n, labels] probabilities of a logistic regression on the vectors."""
    model = LogisticRegression(C=10.0, max_iter=300).fit(vectors, labels)
    return np.asarray(model.predict_proba(asked))


def _svm(texts: Sequence[str], labels: NDArray[np.int64], asked: Sequence[str]) -> NDArray[np.int64]:
    features = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    model = LinearSVC(C=1.0).fit(features.fit_transform(texts), labels)
    return np.asarray(model.predict(features.transform(asked)))


def _rows(path: Path) -> list[dict[str, Any]]:
    raw = path.read_bytes()
    lines = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode().splitlines()
    rows = [json.loads(line) | {"line": number} for number, line in enumerate(lines, start=1)]
    return [row for row in rows if row["text"].strip() and not row.get("oos")]


if __name__ == "__main__":
    main()
