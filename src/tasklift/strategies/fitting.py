"""Fit once: a candidate that was fitted before is read from `.tasklift/artifacts/<fingerprint>/`."""

from __future__ import annotations

from pathlib import Path

from tasklift import registry
from tasklift.dataset import Dataset
from tasklift.errors import ArtifactError
from tasklift.lock import locked
from tasklift.strategies.artifact import read_card
from tasklift.strategies.checkpoint import Checkpoint, Home, Report, fitting_in, home
from tasklift.strategies.origin import Origin
from tasklift.strategies.recipe import Recipe
from tasklift.strategy import Candidate, Strategy
from tasklift.task import Task
from tasklift.worker import credit


def fit_or_load(strategy: Strategy, task: Task, train: Dataset, folder: Path | None, report: Report) -> Candidate:
    """The candidate of this strategy, task and rows.

    A fit that was stopped goes on where its strategy keeps checkpoints. Where another process is fitting the
    same candidate, its end is waited for, and its candidate is taken.

    Args:
        folder: `.tasklift` of the project; None: always fit, keep nothing.
        report: told when a damaged artifact is made again, and when another process is waited for.
    """
    with fitting_in(Home(folder / "artifacts" if folder else None, report)):
        return fit_nested(strategy, task, train)


def fit_nested(strategy: Strategy, task: Task, train: Dataset) -> Candidate:
    """`fit_or_load` for a stage of a candidate whose fit is under way: it is kept in the same folder.

    What it took to make is counted in the fit around it, whether it is made now or was made before.
    """
    artifacts, report = home().artifacts, home().report
    if artifacts is None:
        return strategy.fit(task, train)
    fingerprint = strategy.fingerprint(task, train)
    place = artifacts / fingerprint
    if (found := _saved(strategy, place, report)) is not None:
        return found
    with locked(artifacts / f".{fingerprint}.lock", f"fitting {strategy.name}", report):
        if (found := _saved(strategy, place, lambda line: None)) is not None:
            return found  # made while we waited
        candidate = strategy.fit(task, train)
        candidate.save(place)
        if place.is_dir():  # a candidate may have nothing to keep
            base = strategy.base() if isinstance(strategy, Recipe) else ""
            Origin.now(task, train, base).write(place)
        Checkpoint(fingerprint).remove()
    return candidate


def load_candidate(folder: Path) -> Candidate:
    """A saved candidate.

    Raises:
        ArtifactError: missing, damaged, or written by a newer version.
        MissingDependencyError: it needs an extra that is not installed.
    """
    card = read_card(folder)
    candidate: Candidate = registry.load("strategy", card.strategy).load(folder, card)
    return candidate


def _saved(strategy: Strategy, place: Path, report: Report) -> Candidate | None:
    """What this strategy saved there; None where it has to be fitted."""
    read = getattr(strategy, "reload", None) or getattr(strategy, "load", None)
    if read is None or not place.exists():
        return None
    try:
        candidate: Candidate = read(place, read_card(place))
    except ArtifactError as error:
        report(f"fitting again: {error}")
        return None
    credit(candidate.setup.cpu_s)
    return candidate
