"""`tasklift people`: erase, export, do-not-train, finish."""

from __future__ import annotations

from pathlib import Path

from tasklift.cli import show
from tasklift.cli.operator import operator
from tasklift.cli.release import when
from tasklift.cli.serve import with_database
from tasklift.jobs.erase import Erasing
from tasklift.operate.people import set_objection
from tasklift.project import Project
from tasklift_platform.erasure import Certificate

EXIT_OPEN = 3


def erase(subject: str, folder: Path, database: str | None, as_json: bool) -> int:
    """Erase a person; 3 where a store is still open."""
    project = Project.open(folder)
    made = with_database(folder, database, lambda opened: Erasing(project, opened).erase(subject, operator()))
    if as_json:
        show.print_json(made.to_json())
    else:
        print("\n".join(certificate_lines(made)))
    return EXIT_OPEN if made.completed_at is None else 0


def finish(folder: Path, database: str | None, as_json: bool) -> int:
    """Try again what is open; 3 where something still is."""
    project = Project.open(folder)
    found = with_database(folder, database, lambda opened: Erasing(project, opened).finish())
    if as_json:
        show.print_json({"erasures": [one.to_json() for one in found]})
    else:
        print("\n".join(line for one in found for line in certificate_lines(one)) or "no erasure is open")
    return EXIT_OPEN if any(one.completed_at is None for one in found) else 0


def export(subject: str, folder: Path, database: str | None) -> int:
    """Everything that is held about a person, as one JSON object."""
    project = Project.open(folder)
    found = with_database(folder, database, lambda opened: Erasing(project, opened).export(subject))
    show.print_json({"stores": {name: list(items) for name, items in found.items()}})
    return 0


def do_not_train(subject: str, folder: Path, withdraw: bool, database: str | None) -> int:
    """Note an objection, or that it is withdrawn."""
    Project.open(folder)
    with_database(folder, database, lambda opened: set_objection(opened, subject, not withdraw, operator()))
    print("their rows may be trained on again" if withdraw else "their rows are not trained on from now on")
    return 0


def certificate_lines(made: Certificate) -> list[str]:
    """A certificate for a reader."""
    state = "open: a store is not done" if made.completed_at is None else f"complete, {when(made.completed_at)}"
    lines = [f"erasure {made.id}  {state}"]
    for store in made.stores:
        said = f"open after {store.attempts} tries: {store.error}" if store.erased is None else f"{store.erased} erased"
        lines.append(f"  {store.store:12} {said}")
    return [*lines, f"  certificate  sha256 {made.digest} of salt {made.salt} and the identifier"]
