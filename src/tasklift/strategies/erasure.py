"""Rows taken out of fitted candidates.

A candidate that only looks rows up (few-shot, nearest neighbours) goes on without them. One that has learned from
them is removed, and made again when it is next needed; while it is in production that is not possible, and said.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tasklift.errors import ArtifactError
from tasklift.strategies.artifact import Card, read_arrays, read_card, write_artifact

#: Candidates that only look rows up: their arrays and texts have one entry a row, in the order of `settings.ids`.
LOOKUPS = ("fewshot", "knn")
#: Parts of their settings that have one entry a row; the rest (documents' pieces, rules) belongs to the candidate.
PER_ROW = ("ids", "texts", "answers")


def saved_in(state: Path) -> list[Path]:
    """Folders of all saved candidates: those of the project, and those that learning curves were measured with."""
    roots = (state / "artifacts", state / "curves" / "artifacts")
    return sorted(path.parent for root in roots for path in root.glob("[!.]*/candidate.json"))


def artifacts_with(state: Path, rows: Collection[str], labels: Collection[str]) -> Iterator[tuple[Path, list[str]]]:
    """Folders of saved candidates that were made with one of the rows, each with the ids of these.

    Args:
        state: `.tasklift` of the project.
        rows: ids.
        labels: of the task: candidates of tasks with other labels only are not looked at.
    """
    for folder in saved_in(state):
        card = read_card(folder)
        found = [row for row in ids_of(card) if row in rows]
        if found and (not card.labels or set(card.labels) & set(labels)):
            yield folder, found


def erase_rows(folder: Path, rows: Collection[str], in_use: bool) -> int:
    """Take rows out of a saved candidate; how many.

    Raises:
        ArtifactError: it has learned from them and is in production.
    """
    card = read_card(folder)
    found = sum(row in rows for row in ids_of(card))
    if not in_use and not _is_lookup(card):
        shutil.rmtree(folder)
        return found
    for path in sorted(folder.rglob("candidate.json")):
        part = path.parent
        if _is_lookup(read_card(part)):
            cut(part, rows)
    if not _is_lookup(card):
        raise ArtifactError(
            f"{card.strategy} {card.fingerprint[:12]} has learned from {found} of these rows and is in production; "
            "release one that has not (`tasklift retrain`), then finish the erasure"
        )
    return found


def cut(folder: Path, rows: Collection[str]) -> None:
    """A lookup without these rows.

    Raises:
        ArtifactError: none would be left, or it cannot be written.
    """
    card, arrays = read_card(folder), read_arrays(folder)
    keep = [at for at, row in enumerate(card.settings["ids"]) if row not in rows]
    if len(keep) == len(card.settings["ids"]):
        return
    if not keep:
        raise ArtifactError(f"{card.strategy} {card.fingerprint[:12]} would have no row left; release another one")
    settings: dict[str, Any] = dict(card.settings)
    settings |= {name: [settings[name][at] for at in keep] for name in PER_ROW if name in settings}
    training = frozenset(key for key in card.training_ids if key.partition(":")[2] not in rows)
    notes = {**card.notes, "erased_rows": card.notes.get("erased_rows", 0) + len(card.settings["ids"]) - len(keep)}
    changed = replace(card, settings=settings, training_ids=training, notes=notes)
    write_artifact(folder, changed, {name: values[keep] for name, values in arrays.items()})


def ids_of(card: Card) -> list[str]:
    """Ids of the rows that a candidate was made with, as their data set calls them."""
    return [key.partition(":")[2] for key in sorted(card.training_ids)]


def _is_lookup(card: Card) -> bool:
    return card.strategy in LOOKUPS and "ids" in card.settings


def texts_in(folder: Path, rows: Collection[str]) -> list[dict[str, Any]]:
    """What a candidate holds of these rows that can be read: their texts, where it keeps any."""
    found = []
    for path in sorted(folder.rglob("candidate.json")):
        settings = json.loads(path.read_text(encoding="utf-8"))["settings"]
        for row, text in zip(settings.get("ids", ()), settings.get("texts", ()), strict=False):
            if row in rows:
                found.append({"row": row, "text": text})
    return found
