"""`tasklift data split`, `versions`, `changes` and `undo`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from tasklift.cli import show
from tasklift.data.audit.duplicates import alike
from tasklift.data.read import read_dataset
from tasklift.data.resplit import By, resplit
from tasklift.data.versions import Versions, difference, undone
from tasklift.dataset import Dataset, write_jsonl
from tasklift.errors import ArtifactError, ConfigError, DataError
from tasklift.project import Project, TaskFile
from tasklift.strategies.artifact import Card, read_card


@dataclass(frozen=True)
class Place:
    """A task's rows and where they are.

    Attributes:
        project: the opened project.
        task: the task.
        file: its rows.
        data: what stands in the file.
        versions: what is kept of earlier states.
    """

    project: Project
    task: TaskFile
    file: Path
    data: Dataset
    versions: Versions

    @property
    def task_folder(self) -> Path:
        """Where task.toml is."""
        return self.project.folder / "tasks" / self.task.name


def opened(folder: Path, task: str | None, to_write: bool = False) -> Place:
    """The rows of a task.

    Args:
        to_write: refuse files that are not in the pinned format.

    Raises:
        ConfigError: the task names no data, or its file cannot be written back.
        DataError: the rows cannot be used.
    """
    project = Project.open(folder)
    found = project.task(task)
    if found.data is None:
        raise ConfigError(f"{found.name}: task.toml has no [data] with `file`; `tasklift data import` adds rows")
    if to_write and (found.data.fields or not found.data.file.endswith(".jsonl")):
        raise ConfigError(
            f"{found.name}: [data] reads {found.data.file} with a mapping of its own, which cannot be written back; "
            f'set `file = "data.jsonl"` without `fields`, then `tasklift data import {found.data.file}`'
        )
    file = folder / "tasks" / found.name / found.data.file
    data = read_dataset(file, found.task, found.data.fields)
    return Place(project, found, file, data, Versions(project.state / "datasets" / found.name))


def split_rows(task: str | None, folder: Path, by: str, shares: tuple[float, float], seed: int, as_json: bool) -> int:
    """Cut anew and write."""
    if by not in get_args(By):
        raise ConfigError(f"--by {by!r}: choose {', '.join(get_args(By))}")
    place = opened(folder, task, to_write=True)
    near = alike(place.data.examples).near
    cut = resplit(place.data, near, cast(By, by), shares, seed, stratum=place.task.task.output.stratum)
    parent = place.versions.keep(place.data, f"read {place.file.name}")
    changes = difference(place.data, cut, f"split by {by}")
    version = place.versions.keep(cut, cut.lineage[-1], parent.id, changes)
    write_jsonl(cut, place.file)
    counts = {name: len(cut.where(name)) for name in ("train", "validation", "test") if shares[1] or name[0] == "t"}
    if as_json:
        show.print_json({"task": place.task.name, "version": version.id, "splits": counts, "near_groups": len(near)})
    else:
        told = ", ".join(f"{n} {name}" for name, n in counts.items())
        print(f"{place.task.name}: {told}; {len(near)} groups of near-duplicates kept whole; version {version.id}")
    return 0


def list_versions(task: str | None, folder: Path, as_json: bool) -> int:
    """Every version with the models that know it."""
    place = opened(folder, task)
    cards = cards_of(place.project.state)
    rows = []
    for version in place.versions.all():
        models = [card for card in cards if _knows(card, version.content_hash)]
        rows.append(version.summary() | {"models": [f"{card.strategy} {card.fingerprint[:12]}" for card in models]})
    if as_json:
        show.print_json({"task": place.task.name, "versions": rows})
        return 0
    for row in rows:
        by = f"; models: {', '.join(row['models'])}" if row["models"] else ""
        told = f"-{row['removed']} ~{row['changed']} +{row['added']}"
        print(f"{row['id']}  {row['at']}  {row['rows']:>7} rows  {told:<14} {row['step']}{by}")
    if not rows:
        print("no version is kept yet: `tasklift data audit`, `clean` and `split` keep them")
    return 0


def show_changes(version: str, task: str | None, folder: Path, as_json: bool) -> int:
    """Every change of a version."""
    place = opened(folder, task)
    found = place.versions.get(version)
    if as_json:
        show.print_json(found.to_json())
        return 0
    print(f"{found.id}: {found.step}; {len(found.changes)} rows changed from {found.parent or 'nothing'}")
    for one in found.changes:
        print(f"  {one.row}: {one.action}: {one.why}")
    return 0


def undo(version: str, task: str | None, folder: Path, rows: Sequence[str], as_json: bool) -> int:
    """Take changes back."""
    place = opened(folder, task, to_write=True)
    found = place.versions.get(version)
    if not found.parent:
        raise DataError(f"version {found.id} was made from no other one: there is nothing to undo")
    before = place.versions.rows(place.versions.get(found.parent))
    back = undone(place.data, before, found, rows)
    parent = place.versions.keep(place.data, f"read {place.file.name}")
    changes = difference(place.data, back, f"undo of {found.id}")
    made = place.versions.keep(back, back.lineage[-1], parent.id, changes)
    write_jsonl(back, place.file)
    if as_json:
        show.print_json({"task": place.task.name, "version": made.id, "rows": len(back), "undone": len(changes)})
    else:
        print(f"{place.task.name}: {len(changes)} rows back as they were, {len(back)} rows; version {made.id}")
    return 0


def cards_of(state: Path) -> list[Card]:
    """Cards of all fitted models of a project; damaged ones are left out."""
    cards = []
    for place in sorted((state / "artifacts").glob("[!.]*/candidate.json")):
        try:
            cards.append(read_card(place.parent))
        except ArtifactError:
            continue
    return cards


def _knows(card: Card, content_hash: str) -> bool:
    return any(key.startswith(content_hash[:16] + ":") for key in card.training_ids)
