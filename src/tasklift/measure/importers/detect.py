"""Which format a file is in is told by its content, not by its name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasklift.errors import DataError
from tasklift.measure.evidence import Evidence
from tasklift.measure.importers import openai_evals, promptfoo
from tasklift.measure.importers.imported import Imported, evidence_from
from tasklift.measure.results_csv import read_results

KNOWN = (
    "a table with the columns item_id, option, correct, cost_usd, latency_s; promptfoo's JSON or JSONL; "
    "output items of OpenAI's hosted evals (a page, a list, or one a line)"
)


def read_evidence(paths: Sequence[Path]) -> Evidence:
    """Results of any known tool, paired. Several files are paired with each other (one run a file).

    Raises:
        DataError: a file cannot be read or is in no known format, or nothing can be paired.
    """
    if len(paths) == 1 and not _looks_like_json(paths[0]):
        return read_results(paths[0])
    files: dict[str, Imported] = {}
    hashes: dict[str, str] = {}
    for path in paths:
        name = path.name if path.name not in files else str(path)
        files[name] = _read(path)
        hashes[name] = hashlib.sha256(_bytes(path)).hexdigest()
    return evidence_from(files, hashes)


def _read(path: Path) -> Imported:
    if not _looks_like_json(path):
        raise DataError(f"{path}: a table cannot be paired with other files; put all options into one table")
    content = _parsed(path)
    try:
        if (rows := promptfoo.rows_in(content)) is not None:
            return promptfoo.read(rows)
        if (items := openai_evals.rows_in(content)) is not None:
            return openai_evals.read(items)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    raise DataError(f"{path}: JSON, but in no format that is known here; known are: {KNOWN}")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _text(path: Path) -> str:
    try:
        return _bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 (byte {error.start}). Save the file as UTF-8.") from error


def _looks_like_json(path: Path) -> bool:
    return _text(path).lstrip()[:1] in ("{", "[")


def _parsed(path: Path) -> Any:
    """One JSON value, or a list of the values of its lines."""
    text = _text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as whole:
        values = []
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            try:
                values.append(json.loads(line))
            except json.JSONDecodeError as error:
                why = whole if number == 1 else error
                raise DataError(f"{path}: line {why.lineno if number == 1 else number}: not JSON: {why.msg}") from error
        return values
