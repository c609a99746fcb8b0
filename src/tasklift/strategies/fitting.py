"""Fit once: a candidate that was fitted before is read from `.tasklift/artifacts/<fingerprint>/`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tasklift import registry
from tasklift.dataset import Dataset
from tasklift.errors import ArtifactError
from tasklift.strategies.artifact import read_card
from tasklift.strategy import Candidate, Strategy
from tasklift.task import Task

Report = Callable[[str], None]


def fit_or_load(strategy: Strategy, task: Task, train: Dataset, folder: Path | None, report: Report) -> Candidate:
    """The candidate of this strategy, task and rows.

    Args:
        folder: `.tasklift` of the project; None: always fit, keep nothing.
        report: told when a damaged artifact is made again.
    """
    if folder is None:
        return strategy.fit(task, train)
    place = folder / "artifacts" / strategy.fingerprint(task, train)
    if place.exists():
        try:
            return load_candidate(place)
        except ArtifactError as error:
            report(f"fitting again: {error}")
    candidate = strategy.fit(task, train)
    candidate.save(place)
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
