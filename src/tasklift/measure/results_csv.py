"""The pinned table `results.csv`: one row an item and option (docs/formats.md)."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tasklift.errors import DataError
from tasklift.measure.evidence import Evidence
from tasklift.measure.results import ResultRow, evidence_of

REQUIRED = ("item_id", "option", "correct", "cost_usd", "latency_s")
OPTIONAL = ("slice", "cluster", "output", "expected", "error", "deferred", "currency", "judge")
_YES, _NO = {"1", "true", "yes"}, {"", "0", "false", "no"}


def read_results(path: Path) -> Evidence:
    """A table of any tool as evidence.

    Raises:
        DataError: unreadable, a column is missing or unknown, or a value makes no sense; names file and line.
    """
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 (byte {error.start}). Save the file as UTF-8.") from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    columns = tuple(name.strip() for name in reader.fieldnames or ())
    _check_columns(columns, str(path))
    reader.fieldnames = list(columns)
    unknown = [name for name in columns if name not in (*REQUIRED, *OPTIONAL)]
    return evidence_of(
        _rows(reader, str(path)),
        path.name,
        provenance={path.name: hashlib.sha256(raw).hexdigest()},
        notes=[f"{path.name}: the column {name} is not known and was left out" for name in unknown],
    )


def _check_columns(columns: tuple[str, ...], source: str) -> None:
    missing = [name for name in REQUIRED[:3] if name not in columns]
    if missing:
        raise DataError(f"{source}: the column {missing[0]} is missing; it needs {', '.join(REQUIRED)}")
    priced = [name for name in columns if name.startswith("cost_") and name != "cost_usd"]
    if priced:
        raise DataError(f"{source}: the column {priced[0]} is no amount in USD; convert it and call it cost_usd")


def _rows(reader: csv.DictReader[str], source: str) -> Iterator[ResultRow]:
    columns = reader.fieldnames or ()
    for row in reader:
        where = f"{source}: line {reader.line_num}"
        if None in row or None in row.values():
            raise DataError(f"{where}: {len(columns)} columns are needed; is a comma in a value not quoted?")
        yield _row({name: str(value).strip() for name, value in row.items()}, where)


def _row(row: Mapping[str, str], where: str) -> ResultRow:
    for name in ("item_id", "option"):
        if not row[name]:
            raise DataError(f"{where}: {name} is empty")
    if row.get("currency", "USD").upper() not in ("", "USD"):
        raise DataError(f"{where}: currency {row['currency']}: amounts must be in USD; convert them first")
    return ResultRow(
        item_id=row["item_id"],
        option=row["option"],
        correct=_share(row["correct"], "correct", where),
        cost_usd=_amount(row, "cost_usd", where),
        latency_s=_amount(row, "latency_s", where),
        slice=_slice(row.get("slice", "")),
        cluster=row.get("cluster", ""),
        output=row.get("output"),
        expected=row.get("expected"),
        error=row.get("error", ""),
        deferred=_flag(row.get("deferred", ""), where),
        judge=_share(row.get("judge", ""), "judge", where),
    )


def _number(text: str, name: str, where: str) -> float | None:
    """The number, None where there is none (empty, or `nan`)."""
    word = {"true": "1", "false": "0"}.get(text.casefold(), text)
    if not word:
        return None
    try:
        value = float(word)
    except ValueError as error:
        raise DataError(f"{where}: {name} is {text!r}, which is no number") from error
    if math.isinf(value):
        raise DataError(f"{where}: {name} is {text!r}")
    return None if math.isnan(value) else value


def _share(text: str, name: str, where: str) -> float | None:
    value = _number(text, name, where)
    if value is not None and not 0 <= value <= 1:
        raise DataError(f"{where}: {name} is {text}; it must be 0, 1 or a score between")
    return value


def _amount(row: Mapping[str, str], name: str, where: str) -> float | None:
    value = _number(row.get(name, ""), name, where)
    if value is not None and value < 0:
        raise DataError(f"{where}: {name} is {row[name]}; it must not be negative")
    return value


def _flag(text: str, where: str) -> bool:
    if text.casefold() not in _YES | _NO:
        raise DataError(f"{where}: deferred is {text!r}; write 1 or 0")
    return text.casefold() in _YES


def _slice(text: str) -> dict[str, Any]:
    """`value`, or `name=value;name=value`."""
    parts = [part.partition("=") for part in text.split(";") if part]
    return {(name if is_named else "slice"): (value if is_named else name) for name, is_named, value in parts}
