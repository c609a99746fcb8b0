"""Sheets of answers for people to label, and their labels read back."""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tasklift.data.read import raw_rows
from tasklift.errors import DataError
from tasklift.measure.judging import texts_of
from tasklift.whole import write_whole

#: What a person fills in: `right` is 1 or 0; `score` (0 to 1) may stand in its place.
COLUMNS = ("id", "candidate", "question", "answer", "right")
_RIGHT = {"1": 1.0, "true": 1.0, "yes": 1.0, "1.0": 1.0, "0": 0.0, "false": 0.0, "no": 0.0, "0.0": 0.0}
#: Candidate -> row id -> answer.
Answers = Mapping[str, Mapping[str, Any]]


def sheet_of(answers: Answers, sources: Mapping[str, str], rows: int, seed: int = 0) -> list[dict[str, str]]:
    """Rows for people to label: of questions drawn at random, every candidate's answer, in random order.

    Args:
        sources: row id -> the question's text.
        rows: how many questions, or all where there are fewer.
    """
    random = np.random.default_rng(seed)
    ids = [row for row in sources if any(row in some for some in answers.values())]
    drawn = [ids[at] for at in random.permutation(len(ids))[:rows]]
    found = []
    for row in drawn:
        names = [name for name, some in answers.items() if row in some]
        for name in (names[at] for at in random.permutation(len(names))):
            (answer,) = texts_of([answers[name][row]])
            found.append(dict(zip(COLUMNS, (row, name, sources[row], answer, ""), strict=True)))
    return found


def write_sheet(path: Path, sheet: list[dict[str, str]]) -> None:
    """Write a new `.csv` or `.jsonl` file.

    Raises:
        DataError: another suffix; there is a file already, which people may have filled in; the disk refused.
    """
    if path.suffix.lower() not in (".csv", ".jsonl"):
        raise DataError(f"{path}: a sheet is written as .csv or .jsonl")
    if path.exists():
        raise DataError(f"{path}: is there already and may hold labels of people; name another file")
    if path.suffix.lower() == ".jsonl":
        write_whole(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in sheet))
        return
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(sheet)
    write_whole(path, text.getvalue())


def read_labels(path: Path, answers: Answers) -> dict[str, dict[str, float]]:
    """Candidate -> row id -> a person's label, 0 to 1. Rows that nobody filled in are left out.

    Args:
        path: `.csv` or JSONL with `id`, `candidate` (may be left out where there is one) and `right` or `score`. Where
            `answer` stands beside, it has to be the candidate's answer still.
        answers: what can be labelled.

    Raises:
        DataError: names the line with an unknown row or candidate, a value that is no label, a second label of an
            answer, or a label of another answer; or the file holds no label.
    """
    found: dict[str, dict[str, float]] = {}
    for line, row in raw_rows(path):
        if isinstance(row, str):
            raise DataError(f"{path}: line {line}: {row}")
        where = f"{path}: line {line}"
        label = _label(row, where)
        if label is None:
            continue
        name = _candidate(row, answers, where)
        identity = str(row.get("id") or "").strip()
        if identity not in answers[name]:
            known = any(identity in some for some in answers.values())
            why = f"{name} gave no answer to it" if known else _near(identity, answers[name], "row with an answer")
            raise DataError(f"{where}: row {identity!r}: {why}")
        if row.get("answer") and _folded(row["answer"]) != _folded(texts_of([answers[name][identity]])[0]):
            raise DataError(
                f"{where}: the label is of another answer than {name} gives to {identity!r} now; draw a new sheet"
            )
        if identity in found.setdefault(name, {}):
            raise DataError(f"{where}: {name}'s answer to {identity!r} is labelled twice; keep one label")
        found[name][identity] = label
    if not found:
        raise DataError(f"{path}: no row carries a label; fill in `right` (1 or 0), or `score` (0 to 1)")
    return found


def _label(row: Mapping[str, Any], where: str) -> float | None:
    values = {name: str(row[name]).strip() for name in ("right", "score") if row.get(name) not in (None, "")}
    values = {name: value for name, value in values.items() if value}
    if not {"right", "score"} & row.keys():
        raise DataError(f"{where}: there is neither `right` nor `score`; the columns are {', '.join(map(str, row))}")
    if not values:
        return None
    name, text = next(iter(values.items()))
    try:
        value = _RIGHT[text.casefold()] if name == "right" else float(text)
    except (KeyError, ValueError) as error:
        allowed = "1 or 0" if name == "right" else "a number from 0 to 1"
        raise DataError(f"{where}: {name} is {text!r}; it must be {allowed}") from error
    if not 0 <= value <= 1:
        raise DataError(f"{where}: {name} is {text!r}; it must be a number from 0 to 1")
    return value


def _candidate(row: Mapping[str, Any], answers: Answers, where: str) -> str:
    name = str(row.get("candidate") or "").strip()
    if not name and len(answers) == 1:
        return next(iter(answers))
    if name not in answers:
        raise DataError(f"{where}: candidate {name!r}: {_near(name, answers, 'candidate')}")
    return name


def _near(word: str, known: Collection[str], what: str) -> str:
    near = difflib.get_close_matches(word, list(known), 1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(sorted(known)[:5])}"
    return f"no {what} of the evaluation is called so{hint}"


def _folded(text: Any) -> str:
    return " ".join(str(text).split())
