"""The public sets of the benchmarks as tasks and rows, in the splits of their authors."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _common import data_file

from tasklift.dataset import Dataset, Example
from tasklift.task import Label, Task

Row = dict[str, Any]


@dataclass(frozen=True)
class Benchmark:
    """A task with its training rows and the test rows that serve the figures only."""

    task: Task
    train: Dataset
    test: Dataset


@dataclass(frozen=True)
class Scope:
    """Texts that no label fits, and the validation rows that labels fit: neither trains what tells them apart."""

    in_scope: Dataset
    train: tuple[str, ...]
    test: tuple[str, ...]


def banking77(data: Path | None) -> Benchmark:
    """77 intents of a bank's customers (Casanueva et al. 2020)."""
    rows = read_rows(data_file(data, "banking77/banking77.jsonl"))
    return _benchmark("banking77", "You sort questions of a bank's customers by what they are about.", rows)


def clinc150(data: Path | None) -> tuple[Benchmark, Scope]:
    """150 intents of an assistant, and queries out of scope (Larson et al. 2019)."""
    rows = read_rows(data_file(data, "clinc150/clinc150.jsonl"))
    made = _benchmark("clinc150", "You sort what people ask an assistant for.", [row for row in rows if not row["oos"]])
    known = [row for row in rows if not row["oos"] and row["split"] == "validation"]
    outside = {
        split: tuple(row["text"] for row in rows if row["oos"] and row["split"] == split) for split in ("train", "test")
    }
    return made, Scope(_dataset("clinc150-validation", known), **outside)


def massive(data: Path | None) -> Benchmark:
    """60 intents of a voice assistant, en-US (FitzGerald et al. 2022)."""
    rows = read_rows(data_file(data, "massive_en_us/massive_en_us.jsonl"))
    return _benchmark("massive", "You sort what people tell a voice assistant to do.", rows)


def sms_spam(data: Path | None) -> Benchmark:
    """Text messages, wanted and not (Almeida et al. 2011)."""
    rows = read_rows(data_file(data, "sms_spam/sms_spam.jsonl"))
    named = {"ham": "a message that a person wrote to someone they know", "spam": "advertising, a trick or a fraud"}
    return _benchmark("sms_spam", "You keep unwanted text messages out.", rows, named.__getitem__)


def unfair_tos(data: Path | None) -> Benchmark:
    """Sentences of terms of service; documents of the test fold are in no other (Galassi et al. 2024)."""
    rows = read_rows(data_file(data, "unfair_tos_multilingual/en.jsonl.gz"))
    named = {"fair": "lawful and balanced", "unfair": "potentially unfair to the consumer under European law"}
    return _benchmark("unfair_tos", "You look for unfair clauses in terms of service.", rows, named.__getitem__)


def few(data: Dataset, per_label: int, seed: int) -> Dataset:
    """`per_label` rows of each label, drawn by the seed, in their original order."""
    draw = np.random.default_rng(seed)
    by_label: dict[str, list[int]] = {}
    for place, row in enumerate(data):
        by_label.setdefault(row.output, []).append(place)
    kept = {int(place) for rows in by_label.values() for place in draw.permutation(rows)[:per_label]}
    rows = [row for place, row in enumerate(data) if place in kept]
    return data.part(rows, f"{per_label} of each label, seed {seed}")


def _benchmark(
    name: str, instruction: str, rows: Iterable[Row], define: Callable[[str], str] | None = None
) -> Benchmark:
    """Label names, read as words, are the definitions where the set has none."""
    rows = list(rows)
    define = define or (lambda label: label.replace("_", " ").lower())
    labels = {label: define(label) for label in sorted({row["label"] for row in rows})}
    data = _dataset(name, rows)
    task = Task(name=name, instruction=instruction, output=Label(labels=labels))
    return Benchmark(task, data.where("train"), data.where("test"))


def _dataset(name: str, rows: Iterable[Row]) -> Dataset:
    examples = (
        Example(f"row-{row['line']}", {"text": row["text"]}, row["label"], row["split"], group=row.get("document"))
        for row in rows
    )
    return Dataset(tuple(examples), name=name, lineage=(f"read {name}",))


def read_rows(path: Path) -> list[Row]:
    """Rows with the number of their line; empty texts, of which nothing can be said, are left out."""
    raw = path.read_bytes()
    lines = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode().splitlines()
    rows = [json.loads(line) | {"line": number} for number, line in enumerate(lines, start=1)]
    return [row for row in rows if row["text"].strip()]
