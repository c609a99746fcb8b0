"""Rows taken out of stored evaluations, and reports that show texts of them."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from tasklift.errors import DataError
from tasklift.measure.judgement import read_judgement, write_judgement
from tasklift.measure.store import AGAIN, EvaluationFolder

#: Which reports show texts, and of which rows: one JSON object a line, in the state folder.
NOTED = "reports_with_texts.jsonl"


def evaluations_with(state: Path, task: str, rows: Collection[str]) -> Iterator[Path]:
    """Folders of evaluations of the task, finished or not, that hold something of one of these rows."""
    for folder in sorted(path for path in (state / "evaluations").glob("[!.]*") if path.is_dir()):
        store = EvaluationFolder(folder)
        told = store.manifest() or store.begun()
        if told.get("task", {}).get("name") != task:
            continue
        known = {row["id"] for row in told["rows"]} if isinstance(told.get("rows"), list) else set()
        if not known.union(*store.predictions().values()).isdisjoint(rows):
            yield folder


def erase_rows(folder: Path, rows: Collection[str]) -> None:
    """Take rows out of an evaluation: its predictions of them first, then their place in its manifest, so that a
    stop in between leaves what can be done again. Its figures are then those of the rows that stay.

    Raises:
        InUseError: it is being run.
        DataError: the disk refused.
    """
    store = EvaluationFolder(folder)
    with store.held():
        for place in (folder, folder / AGAIN):
            _rewrite(place / "predictions.jsonl", rows)
        judgement = read_judgement(folder)
        if judgement is not None:
            write_judgement(folder, judgement.without(rows))
        manifest = store.manifest()
        if manifest is not None:
            manifest["rows"] = [row for row in manifest["rows"] if row["id"] not in rows]
            manifest["overlap"] = [row for row in manifest["overlap"] if row not in rows]
            store.write_manifest({key: value for key, value in manifest.items() if key != "schema_version"})


def predictions_of(folder: Path, rows: Collection[str]) -> list[dict[str, Any]]:
    """What candidates answered to these rows, and what a judge and people said of the answers."""
    judgement = read_judgement(folder)
    judged = [
        {
            "evaluation": folder.name,
            "candidate": name,
            "row": row,
            "judge": one.judge.get(row),
            "people": one.people.get(row),
        }
        for name, one in (judgement.graded if judgement else {}).items()
        for row in rows
        if row in one.answers
    ]
    return judged + [
        {"evaluation": folder.name, "candidate": candidate, "row": row, "prediction": found[row].to_json()}
        for place in (folder, folder / AGAIN)
        for candidate, found in EvaluationFolder(place).predictions().items()
        for row in rows
        if row in found
    ]


def _rewrite(path: Path, rows: Collection[str]) -> None:
    temporary = path.with_name(path.name + ".part")
    try:
        with path.open(encoding="utf-8") as lines, temporary.open("w", encoding="utf-8") as out:
            out.writelines(line for line in lines if not _is_of(line, rows))
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error}); free some space") from error


def _is_of(line: str, rows: Collection[str]) -> bool:
    try:
        return json.loads(line)["id"] in rows
    except (ValueError, KeyError, TypeError):
        return True  # torn by a crash: nobody can say whose it is, and it is asked again anyway


def note_report(state: Path, path: Path, task: str, rows: Collection[str]) -> None:
    """Remember that a report shows texts of these rows, so that erasing a person reaches it.

    Raises:
        DataError: it cannot be noted.
    """
    line = json.dumps({"path": str(path.resolve()), "task": task, "rows": sorted(rows)}, ensure_ascii=False)
    try:
        state.mkdir(parents=True, exist_ok=True)
        with (state / NOTED).open("a", encoding="utf-8") as out:
            out.write(line + "\n")
    except OSError as error:
        raise DataError(f"{state / NOTED}: cannot be written ({error.strerror or error})") from error


def reports_with(state: Path, task: str, rows: Collection[str]) -> list[Path]:
    """Reports that show texts of one of these rows and are still where they were written."""
    try:
        lines = (state / NOTED).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    noted: list[Mapping[str, Any]] = [json.loads(line) for line in lines if line.strip()]
    found = {Path(one["path"]) for one in noted if one["task"] == task and not set(rows).isdisjoint(one["rows"])}
    return sorted(path for path in found if path.exists())
