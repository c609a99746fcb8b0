"""A project with one task, made from a raw table: what the answers are is read from its column."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasklift.data.read import label_list, raw_rows, read_dataset
from tasklift.dataset import write_jsonl
from tasklift.errors import ConfigError, DataError
from tasklift.schema import parse
from tasklift.task import Number, Task
from tasklift.whole import write_whole

PROJECT = 'schema_version = 1\nname = {name}\nmodel = "local"\n'
TASK = """schema_version = 1
name = {name}
instruction = {instruction}

{output}

[data]
file = "data.jsonl"
"""
LABELS = """[output]
kind = {kind}

[output.labels]      # a definition of each, one sentence, helps prompted models and people
{labels}"""
NUMBER = """[output]
kind = "number"
minimum = {minimum}      # least and largest of the table: widen them where others are possible
maximum = {maximum}
whole = {whole}

# Right is what lies within a tenth of this range, unless you say more:
# [right]
# within = 5"""


@dataclass(frozen=True)
class Table:
    """A raw table.

    Attributes:
        file: `.csv` or JSONL.
        text: column with the text.
        answer: column with the answer.
        kind: what the answers are: one of `KINDS`.
    """

    file: Path
    text: str
    answer: str
    kind: str = "label"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"--kind {self.kind!r}: choose {', '.join(KINDS)}")

    def answers(self) -> Iterator[tuple[int, Any]]:
        """Line and answer of every row that has one.

        Raises:
            DataError: a column is missing.
        """
        for line, row in raw_rows(self.file):
            if isinstance(row, str):
                continue  # reading the rows names it, with all others
            for column in (self.text, self.answer):
                if column not in row:
                    raise DataError(
                        f"{self.file}: line {line}: no column {column!r}; there are {', '.join(map(str, row))}"
                    )
            value = row[self.answer]
            if value is not None and str(value).strip():
                yield line, value


def write_project(table: Table, folder: Path) -> None:
    """Its answers are allowed as they stand in the table; rows without one are left out, and counted.

    The project file is written last: a stopped run begins again.

    Raises:
        DataError: a column is missing, or its answers are not of the kind, or too few to tell apart.
        ConfigError: the folder holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; name a folder for the project")
    name = re.sub(r"[^a-z0-9_]+", "_", table.file.stem.lower()).strip("_") or "task"
    name = name if name[0].isalpha() else f"task_{name}"
    instruction, read = KINDS[table.kind]
    output, written = read(table)
    said = instruction.format(table.answer)
    task = parse(Task, {"name": name, "instruction": said, "output": output}, str(table.file))
    data = read_dataset(table.file, task, {"text": table.text, "output": table.answer})
    known = data.part((row for row in data if row.output is not None), "rows with an answer")
    if len(known) < len(data):
        print(f"  {len(data) - len(known)} rows without an answer are left out", file=sys.stderr)
    own = folder / "tasks" / name
    write_jsonl(known, own / "data.jsonl")
    write_whole(own / "task.toml", TASK.format(name=_quoted(name), instruction=_quoted(said), output=written))
    write_whole(folder / "tasklift.toml", PROJECT.format(name=_quoted(folder.resolve().name)))


def _one_label(table: Table) -> tuple[dict[str, Any], str]:
    return _labels(table, {str(value).strip() for _, value in table.answers()})


def _several_labels(table: Table) -> tuple[dict[str, Any], str]:
    found: set[str] = set()
    for line, value in table.answers():
        try:
            said = label_list(value) if isinstance(value, str) else value
        except DataError as error:
            raise DataError(f"{table.file}: line {line}: {error}") from error
        if not isinstance(said, list):
            raise DataError(f"{table.file}: line {line}: {value!r} is no list of labels; write them as 'a; b'")
        found |= {str(label) for label in said}
    return _labels(table, found)


def _labels(table: Table, found: set[str]) -> tuple[dict[str, Any], str]:
    if len(found) < 2:
        raise DataError(
            f"{table.file}: the column {table.answer!r} holds {len(found)} label(s); at least two are needed"
        )
    labels = {label: label.replace("_", " ") for label in sorted(found)}
    lines = "\n".join(f"{_quoted(label)} = {_quoted(meaning)}" for label, meaning in labels.items())
    return {"kind": table.kind, "labels": labels}, LABELS.format(kind=_quoted(table.kind), labels=lines)


def _number(table: Table) -> tuple[dict[str, Any], str]:
    any_number, values = Number(kind="number"), []
    for line, value in table.answers():
        try:
            values.append(any_number.read(str(value)))
        except DataError as error:
            raise DataError(f"{table.file}: line {line}: column {table.answer!r}: {error}") from error
    low, high = (min(values), max(values)) if values else (0, 0)
    if low == high:
        held = f"only the number {low:g}" if values else "no number"
        raise DataError(f"{table.file}: the column {table.answer!r} holds {held}; at least two are needed")
    whole = all(float(value).is_integer() for value in values)
    limits = [int(limit) if whole else float(limit) for limit in (low, high)]
    said = {"kind": "number", "minimum": limits[0], "maximum": limits[1], "whole": whole}
    return said, NUMBER.format(minimum=limits[0], maximum=limits[1], whole=str(whole).lower())


#: What answers can be -> the instruction that a prompt begins with, and what reads the column.
KINDS: dict[str, tuple[str, Callable[[Table], tuple[dict[str, Any], str]]]] = {
    "label": ("Sort each text by its {}.", _one_label),
    "labels": ("Name every one of the {} that applies to the text.", _several_labels),
    "number": ("Say the {} of the text.", _number),
}


def _quoted(text: str) -> str:
    """A TOML string: JSON's escapes are among TOML's."""
    return json.dumps(text, ensure_ascii=False)
