"""Labelled rows and what may be done with them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tasklift.errors import DataError, LeakageError


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled row.

    Attributes:
        id: unique in its dataset.
        input: named fields, such as `{"text": "..."}`.
        output: the expected answer; None where it is not known.
        split: which part it belongs to, where the source says so (`train`, `test`, ...).
        slice: name -> value, for reports by group.
        group: rows of one group never fall on both sides of a split (customer, conversation).
        source: where the row came from.
        time: ISO 8601, for splits by time.
    """

    id: str
    input: Mapping[str, Any]
    output: Any = None
    split: str | None = None
    slice: Mapping[str, str] = field(default_factory=dict)
    group: str | None = None
    source: str | None = None
    time: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The pinned row format; empty fields are left out."""
        row = {"id": self.id, "input": dict(self.input), "output": self.output, "split": self.split}
        row |= {"slice": dict(self.slice), "group": self.group, "source": self.source, "time": self.time}
        return {key: value for key, value in row.items() if value is not None and (value != {} or key == "output")}


@dataclass(frozen=True)
class Dataset:
    """An ordered, immutable collection of rows.

    Attributes:
        examples: the rows.
        name: what reports call it.
        origin: content hash of the dataset this one was cut from; it namespaces training ids.
        lineage: how it came to be, oldest step first.
        warnings: what a reader should know and no rule forbids.
    """

    examples: tuple[Example, ...]
    name: str = "data"
    origin: str = ""
    lineage: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.origin:
            object.__setattr__(self, "origin", self.content_hash)

    def __len__(self) -> int:
        return len(self.examples)

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    @cached_property
    def content_hash(self) -> str:
        """Hash of ids, inputs, expected outputs and groups, in order (hex SHA-256)."""
        digest = hashlib.sha256()
        for row in self.examples:
            fields = [row.id, dict(row.input), row.output, row.group]
            digest.update(json.dumps(fields, sort_keys=True, ensure_ascii=False).encode() + b"\n")
        return digest.hexdigest()

    @cached_property
    def keys(self) -> frozenset[str]:
        """The ids, namespaced by the dataset they come from."""
        return frozenset(f"{self.origin[:16]}:{row.id}" for row in self.examples)

    @property
    def ids(self) -> list[str]:
        """The ids, in order."""
        return [row.id for row in self.examples]

    @property
    def inputs(self) -> list[Mapping[str, Any]]:
        """The inputs, in order."""
        return [row.input for row in self.examples]

    @property
    def outputs(self) -> list[Any]:
        """The expected outputs, in order."""
        return [row.output for row in self.examples]

    def part(self, examples: Iterable[Example], step: str) -> Dataset:
        """A dataset cut from this one; `step` says how, for the lineage."""
        return replace(self, examples=tuple(examples), lineage=(*self.lineage, step), warnings=())

    def where(self, split: str) -> Dataset:
        """The rows of one named split.

        Raises:
            DataError: there are none; the message lists the splits that exist.
        """
        rows = [row for row in self.examples if row.split == split]
        if not rows:
            known = sorted({row.split or "(none)" for row in self.examples})
            raise DataError(f"{self.name}: no row has split {split!r}; found: {', '.join(known)}")
        return self.part(rows, f"split={split}")


def text_key(value: Mapping[str, Any]) -> str:
    """The text of an input with case and white space folded: equal keys are called equal texts."""
    return "\x1f".join(" ".join(str(value[name]).casefold().split()) for name in sorted(value))


def refuse_leakage(training_keys: frozenset[str], rows: Dataset, who: str) -> None:
    """Refuse to evaluate rows that were trained on.

    Raises:
        LeakageError: with the number of shared rows and a few ids.
    """
    shared = training_keys & rows.keys
    if shared:
        ids = ", ".join(sorted(key.split(":", 1)[1] for key in shared)[:5])
        raise LeakageError(
            f"{who} was made with {len(shared)} of these {len(rows)} rows (ids {ids}, ...): its figures would be "
            "too good. Evaluate on rows it has not seen."
        )


def overlapping_texts(train: Dataset, test: Dataset) -> frozenset[str]:
    """Ids of test rows whose text stands in train too (under another id)."""
    seen = {text_key(row.input) for row in train}
    return frozenset(row.id for row in test if text_key(row.input) in seen)


def write_jsonl(data: Dataset, path: Path) -> None:
    """Write the pinned row format; the file appears whole or not at all.

    Raises:
        DataError: it cannot be written.
    """
    temporary = path.with_name(path.name + ".part")
    lines = (json.dumps(row.to_json(), ensure_ascii=False) + "\n" for row in data)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as out:
            out.writelines(lines)
        temporary.replace(path)
    except BaseException as error:
        if temporary.is_file():
            temporary.unlink()
        if isinstance(error, OSError):
            raise DataError(f"{path}: cannot be written: {error.strerror}") from error
        raise
