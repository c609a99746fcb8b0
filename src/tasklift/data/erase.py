"""Rows of one person in a task's own file: found by their `group`, and taken out."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasklift.errors import DataError
from tasklift.whole import write_whole


def rows_of_group(path: Path, fields: Mapping[str, str], group: str) -> dict[int, Mapping[str, Any]]:
    """Line number -> row, of the rows whose group is `group`; none where there is no such file.

    Args:
        fields: target -> column, as in `read_dataset`.
    """
    column = fields.get("group", "group")
    if not path.exists():
        return {}
    if path.suffix.lower() == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            return {n: row for n, row in enumerate(csv.DictReader(file), 2) if row.get(column) == group}
    found: dict[int, Mapping[str, Any]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), start=1):
        try:
            row = json.loads(line) if line.strip() else None
        except ValueError:  # named by `tasklift data check`; it is nobody's row
            continue
        if isinstance(row, dict) and row.get(column) is not None and str(row[column]) == group:
            found[number] = row
    return found


def erase_group(path: Path, fields: Mapping[str, str], group: str) -> int:
    """Take the rows of a group out of a JSONL file; how many. Their lines stay, empty: rows without an id are called
    by their line.

    Raises:
        DataError: the file is a table, in which nothing is changed, or cannot be written.
    """
    found = rows_of_group(path, fields, group)
    if not found:
        return 0
    if path.suffix.lower() == ".csv":
        raise DataError(f"{path}: {len(found)} rows have this group; take them out by hand, then try again")
    lines = path.read_text(encoding="utf-8-sig").split("\n")
    kept = ["" if number in found else line for number, line in enumerate(lines, start=1)]
    write_whole(path, "\n".join(kept))
    return len(found)
