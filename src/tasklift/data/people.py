"""Erasing a person's rows: from the file and from every version, with the names of what was made from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tasklift.data.versions import Versions
from tasklift.dataset import Dataset, Example, write_jsonl
from tasklift.errors import ConfigError, DataError
from tasklift.whole import write_whole

#: Training keys of erased rows that models still hold, in the folder of a task's versions.
NOTED = "erased.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Erased:
    """What was erased.

    Attributes:
        rows: ids that the file has lost.
        versions: version -> ids of the rows that it has lost, or that were taken out of its record.
        keys: training keys of those rows, as models keep them: what they were made from is told by these.
    """

    rows: tuple[str, ...]
    versions: dict[str, tuple[str, ...]]
    keys: frozenset[str]


def is_of(person: str) -> Callable[[Example], bool]:
    """Is a row about this person? By its group (customer, conversation), its id, or its texts naming them.

    Raises:
        ConfigError: a name so short that it stands in other people's texts.
    """
    wanted = person.strip().casefold()
    if len(wanted) < 3:
        raise ConfigError(f"--person {person!r} is too short to tell people apart; use an address, number or group")

    def theirs(row: Example) -> bool:
        if wanted in (str(row.group).casefold(), row.id.casefold()):
            return True
        return any(wanted in str(value).casefold() for value in row.input.values())

    return theirs


def affected(data: Dataset, versions: Versions, is_theirs: Callable[[Example], bool]) -> Erased:
    """What `erase` would take, without taking it."""
    mine = tuple(row.id for row in data if is_theirs(row))
    found: dict[str, tuple[str, ...]] = {}
    keys = {f"{data.origin[:16]}:{identity}" for identity in mine}
    for version in versions.all():
        if theirs := versions.named_in(version, is_theirs):
            found[version.id] = tuple(sorted(theirs))
            keys |= {f"{version.content_hash[:16]}:{identity}" for identity in theirs}
    return Erased(mine, found, frozenset(keys))


def erase(data: Dataset, file: Path, versions: Versions, is_theirs: Callable[[Example], bool]) -> Erased:
    """Take the rows out of the file and of every version.

    The versions go first: after a kill in between, the file still names the person, and the same call goes on.

    Raises:
        DataError: the disk refused.
    """
    found = affected(data, versions, is_theirs)
    versions.erase(is_theirs)
    if found.rows:
        write_jsonl(data.part((row for row in data if not is_theirs(row)), "erased"), file)
    return found


def noted_keys(versions: Versions, person: str) -> frozenset[str]:
    """Training keys of rows of this person that were erased while models made with them stayed.

    Raises:
        DataError: the file is damaged.
    """
    return frozenset(_noted(versions.folder / NOTED).get(_digest(person), ()))


def note_keys(versions: Versions, person: str, keys: Iterable[str]) -> None:
    """Remember which models a later erasure has to look for; no keys: there is none left.

    The person stands there as a digest, the keys as in the models that hold them anyway.

    Raises:
        DataError: the disk refused, or the file is damaged.
    """
    path = versions.folder / NOTED
    before = _noted(path)
    after = {who: some for who, some in before.items() if who != _digest(person)}
    if wanted := sorted(keys):
        after[_digest(person)] = wanted
    if after != before:
        write_whole(path, json.dumps({"schema_version": SCHEMA_VERSION, "people": after}, indent=1) + "\n")


def _noted(path: Path) -> dict[str, list[str]]:
    if not path.exists():
        return {}
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
        if row["schema_version"] != SCHEMA_VERSION:
            raise DataError(f"{path}: schema_version {row['schema_version']}, this version reads {SCHEMA_VERSION}")
        return {str(who): list(keys) for who, keys in row["people"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{path}: damaged ({error}); delete it, then name models with `tasklift models list`"
        ) from error


def _digest(person: str) -> str:
    return hashlib.sha256(f"tasklift erased\x1f{person.strip().casefold()}".encode()).hexdigest()
