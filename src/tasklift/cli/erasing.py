"""`tasklift data erase`: a person's rows and the models made with them, never unsaid one that is in production."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasklift.cli import show
from tasklift.cli.versions import Place, cards_of, opened
from tasklift.data.people import affected, erase, is_of, note_keys, noted_keys
from tasklift.errors import ReleaseError
from tasklift.strategies.artifact import Card, read_card
from tasklift.strategies.erasure import saved_in

#: Fingerprint -> where a model answers now, and where it did: in words.
Used = Mapping[str, Sequence[str]]


def erase_person(
    person: str,
    task: str | None,
    folder: Path,
    models: tuple[bool, bool],
    dry_run: bool,
    database: str | None,
    as_json: bool,
) -> int:
    """Erase, and name everything that used the rows.

    Args:
        models: delete the models made with the rows; also those that are in production.

    Raises:
        ReleaseError: a model that would be deleted is in production; nothing was erased.
    """
    delete, also_released = models
    place = opened(folder, task, to_write=not dry_run)
    theirs = is_of(person)
    found = affected(place.data, place.versions, theirs)
    keys = found.keys | noted_keys(place.versions, person)
    made_with = [card for card in cards_of(place.project.state) if card.training_ids & keys]
    of_curves = _of_curves(place.project.state, keys)
    now, before = _released(place, database)
    if delete and not also_released and not dry_run:
        _refuse_released(made_with, now)
    if not dry_run:
        # Noted first: once the rows are gone, nothing else tells which models a later --models has to delete.
        held = [*(card.training_ids & keys for card in made_with), *of_curves.values()]
        note_keys(place.versions, person, frozenset[str]().union(*held))
        erase(place.data, place.file, place.versions, theirs)
    if delete and not dry_run:
        for saved in (*of_curves, *(place.project.state / "artifacts" / card.fingerprint for card in made_with)):
            shutil.rmtree(saved)
        note_keys(place.versions, person, ())
    told = {
        "task": place.task.name,
        "dry_run": dry_run,
        "rows": list(found.rows),
        "versions": {name: list(ids) for name, ids in found.versions.items()},
        "models": [_model(card, keys, now, before) for card in made_with],
        "curve_models": len(of_curves),
        "models_deleted": delete and not dry_run,
    }
    show.print_json(told) if as_json else print("\n".join(_lines(told)))
    return 0


def _model(card: Card, keys: frozenset[str], now: Used, before: Used) -> dict[str, Any]:
    """A model that was made with the rows, and where it answers or did."""
    return {
        "fingerprint": card.fingerprint,
        "strategy": card.strategy,
        "rows": len(card.training_ids & keys),
        "in_production": list(now.get(card.fingerprint, ())),
        "was_released": list(before.get(card.fingerprint, ())),
    }


def _of_curves(state: Path, keys: frozenset[str]) -> dict[Path, frozenset[str]]:
    """Folders of candidates that a learning curve was measured with -> which of the keys they hold."""
    found = {folder: read_card(folder).training_ids & keys for folder in saved_in(state / "curves")}
    return {folder: held for folder, held in found.items() if held}


def _released(place: Place, database: str | None) -> tuple[Used, Used]:
    """Where models answer now, and in which earlier releases they stood; nothing where nothing is released."""
    if not database and not (place.project.state / "traffic.db").exists():
        return {}, {}
    # Only where there is traffic, since it needs the extra [serve].
    used: tuple[Used, Used] = importlib.import_module("tasklift.cli.release").uses(place.project, database)
    return used


def _refuse_released(cards: Sequence[Card], now: Used) -> None:
    held = [card for card in cards if card.fingerprint in now]
    if not held:
        return
    named = "; ".join(f"{one.strategy} {one.fingerprint[:12]}: {', '.join(now[one.fingerprint])}" for one in held)
    raise ReleaseError(
        f"nothing was erased, since models made with these rows are in production ({named}). Erase without --models, "
        "fit and release a candidate without the rows (`tasklift evaluate`, `tasklift release`) or `tasklift rollback` "
        "to one; the same call then deletes the models. --also-released deletes them now, and a server that starts "
        "before another release finds no candidate"
    )


def _lines(told: Mapping[str, Any]) -> list[str]:
    verb = "would lose" if told["dry_run"] else "has lost"
    lines = [f"{told['task']}: the file {verb} {len(told['rows'])} rows ({', '.join(told['rows'][:10])})"]
    lines += [f"  version {name} {verb} {len(ids)} rows" for name, ids in told["versions"].items()]
    for one in told["models"]:
        done = "deleted" if told["models_deleted"] else "still there: fit it again, or erase with --models"
        lines.append(f"  model {one['strategy']} {one['fingerprint'][:12]} was made with {one['rows']} of them: {done}")
        lines += [f"    in production: {where}" for where in one["in_production"]]
        if told["models_deleted"] and one["in_production"]:
            lines.append("    release another candidate before the server starts anew: it would find none")
        if one["was_released"]:
            gone = ", to which no rollback goes any more" if told["models_deleted"] else ""
            lines.append(f"    stood in {', '.join(one['was_released'])}{gone}")
    if told["curve_models"]:
        done = "deleted" if told["models_deleted"] else "still there: erase with --models"
        lines.append(f"  {told['curve_models']} models of the learning curve were made with them: {done}")
    elif not told["models"]:
        lines.append("  no model was made with them")
    return lines
