"""Versions of a task's rows: what changed from one to the next, row by row, so that any of it can be undone.

`.tasklift/datasets/<task>/<version>/` holds `rows.jsonl` and `version.json`. A version is named by the hash of its
rows, so the same rows are the same version, and nothing that was kept is changed, except by erasing a person.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tasklift.dataset import Dataset, Example
from tasklift.errors import DataError
from tasklift.whole import write_whole

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Change:
    """What happened to one row.

    Attributes:
        row: its id.
        action: what was done.
        why: the check and its reason.
        before: the row as it was; None where it was added, or erased since.
        after: the row as it is; None where it was removed, or erased since.
    """

    row: str
    action: Literal["removed", "changed", "added"]
    why: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Version:
    """One state of a task's rows.

    Attributes:
        id: hash of all rows.
        content_hash: of the dataset: training ids of models begin with its first 16 digits.
        step: what made it.
        parent: version it was made from; "" for the first.
        at: when, local time.
        rows: how many.
        changes: from the parent.
        erased: rows of erased people that it has lost since.
    """

    id: str
    content_hash: str
    step: str
    parent: str
    at: str
    rows: int
    changes: tuple[Change, ...] = ()
    erased: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self), "changes": [asdict(one) for one in self.changes]}

    def summary(self) -> dict[str, Any]:
        """Plain fields, with counts instead of changes."""
        counts = {kind: sum(one.action == kind for one in self.changes) for kind in ("removed", "changed", "added")}
        return {key: value for key, value in self.to_json().items() if key != "changes"} | counts


@dataclass(frozen=True)
class Versions:
    """The versions of one task.

    Attributes:
        folder: `.tasklift/datasets/<task>`.
    """

    folder: Path

    def keep(self, data: Dataset, step: str, parent: str = "", changes: Sequence[Change] = ()) -> Version:
        """Store a version; one that is there already is left as it is.

        Raises:
            DataError: the disk refused; nothing is half-written.
        """
        identity = version_of(data)
        place = self.folder / identity
        if (place / "version.json").exists():
            return self.get(identity)
        made = Version(
            identity,
            data.content_hash,
            step,
            parent if parent != identity else "",
            time.strftime("%Y-%m-%dT%H:%M:%S"),
            len(data),
            tuple(changes),
        )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=self.folder))
            try:
                (temporary / "rows.jsonl").write_text(_lines(data), encoding="utf-8")
                (temporary / "version.json").write_text(_dumped(made.to_json()), encoding="utf-8")
                if place.exists():  # what a killed process left
                    shutil.rmtree(place)
                os.replace(temporary, place)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        except OSError as error:
            raise DataError(f"{self.folder}: cannot be written ({error.strerror or error}); free some space") from error
        return made

    def all(self) -> list[Version]:
        """Every version, the newest first.

        Raises:
            DataError: one is damaged.
        """
        found = [self._read(path.parent) for path in self.folder.glob("[!.]*/version.json")]
        return sorted(found, key=lambda one: one.at, reverse=True)

    def get(self, identity: str) -> Version:
        """The version whose id begins so.

        Raises:
            DataError: none, or several; names those that there are.
        """
        found = [path.parent for path in self.folder.glob(f"{identity}*/version.json")] if identity else []
        if len(found) != 1:
            known = ", ".join(one.id for one in self.all()[:5]) or "none; `tasklift data clean` or `split` keeps them"
            what = "several versions begin" if found else "no version begins"
            raise DataError(f"{self.folder}: {what} with {identity!r}; the newest: {known}")
        return self._read(found[0])

    def rows(self, version: Version) -> tuple[Example, ...]:
        """Its rows.

        Raises:
            DataError: the file is damaged.
        """
        path = self.folder / version.id / "rows.jsonl"
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            return tuple(Example(**json.loads(line)) for line in lines)
        except (OSError, ValueError, TypeError) as error:
            raise DataError(f"{path}: damaged ({error}); this version cannot be gone back to") from error

    def named_in(self, version: Version, is_theirs: Callable[[Example], bool]) -> set[str]:
        """Ids of rows that a version holds, or whose text stands in its record of changes."""
        recorded = {one.row for one in version.changes if _names(one, is_theirs)}
        return recorded | {row.id for row in self.rows(version) if is_theirs(row)}

    def erase(self, is_theirs: Callable[[Example], bool]) -> None:
        """Take rows out of every version, and their texts out of every record of changes.

        Raises:
            DataError: the disk refused; the same call goes on.
        """
        for version in self.all():
            rows = self.rows(version)
            theirs = {row.id for row in rows if is_theirs(row)}
            named = self.named_in(version, is_theirs)
            if not named:
                continue
            kept = [row for row in rows if row.id not in theirs]
            changes = tuple(Change(c.row, c.action, c.why) if c.row in named else c for c in version.changes)
            fresh = replace(version, rows=len(kept), changes=changes, erased=version.erased + len(theirs))
            place = self.folder / version.id
            write_whole(place / "rows.jsonl", _lines(kept))
            write_whole(place / "version.json", _dumped(fresh.to_json()))

    def _read(self, place: Path) -> Version:
        path = place / "version.json"
        try:
            row = json.loads(path.read_text(encoding="utf-8"))
            schema = row.pop("schema_version", None)
            if schema != SCHEMA_VERSION:
                raise DataError(f"{path}: schema_version {schema}, this version reads {SCHEMA_VERSION}")
            changes = tuple(Change(**one) for one in row.pop("changes"))
            return Version(**row, changes=changes)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DataError(f"{path}: damaged ({error}); delete its folder") from error


def version_of(data: Dataset | Iterable[Example]) -> str:
    """Hash of all fields of all rows, in order (16 hex digits)."""
    return hashlib.sha256(_lines(data).encode()).hexdigest()[:16]


def undone(current: Dataset, parent: Sequence[Example], version: Version, ids: Sequence[str] = ()) -> Dataset:
    """The current rows with changes of a version taken back: all of them, or those of some rows.

    Rows come back to where they stood in the parent.

    Args:
        parent: rows of the version's parent.

    Raises:
        DataError: an id that the version did not change, or whose row was erased.
    """
    changed = {one.row: one for one in version.changes}
    wanted = list(ids) or [row for row, one in changed.items() if one.before is not None or one.action == "added"]
    for identity in wanted:
        if identity not in changed:
            raise DataError(f"version {version.id} did not change row {identity!r}; it changed {len(changed)} rows")
        if changed[identity].before is None and changed[identity].action != "added":
            raise DataError(f"row {identity!r} was erased since, and cannot come back")
    back = {row: changed[row].before for row in wanted}
    now = {row.id: row for row in current}
    rows = []
    for old in parent:
        before = back.get(old.id)
        if before is not None:
            rows.append(Example(**before))
        elif old.id in now:
            rows.append(now[old.id])
    known = {old.id for old in parent}
    rows += [row for row in current if row.id not in known and row.id not in back]
    return current.part(rows, f"undone: {len(wanted)} changes of {version.id}")


def difference(before: Iterable[Example], after: Iterable[Example], why: str) -> list[Change]:
    """Changes that lead from one to the other, all for one reason."""
    old, new = {row.id: row for row in before}, {row.id: row for row in after}
    changes = [Change(identity, "removed", why, row.to_json()) for identity, row in old.items() if identity not in new]
    changes += [
        Change(identity, "changed", why, old[identity].to_json(), row.to_json())
        for identity, row in new.items()
        if identity in old and old[identity] != row
    ]
    changes += [
        Change(identity, "added", why, None, row.to_json()) for identity, row in new.items() if identity not in old
    ]
    return changes


def _names(change: Change, is_theirs: Callable[[Example], bool]) -> bool:
    return any(row is not None and is_theirs(Example(**row)) for row in (change.before, change.after))


def _lines(rows: Dataset | Iterable[Example]) -> str:
    return "".join(json.dumps(row.to_json(), ensure_ascii=False, sort_keys=True) + "\n" for row in rows)


def _dumped(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, indent=1) + "\n"
