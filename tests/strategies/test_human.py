"""The option that is always there: a person answers."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tasklift.dataset import Dataset
from tasklift.strategies.fitting import load_candidate
from tasklift.strategies.human import Human
from tasklift.strategy import Context, Resources
from tasklift.task import Task


def test_every_row_is_left_to_a_person(colours: Task, colour_rows: Dataset) -> None:
    candidate = Human().fit(colours, colour_rows)
    answers = asyncio.run(candidate.predict([{"text": "a ruby"}, {"text": ""}, {}], Context()))
    assert [found.deferred for found in answers] == [True] * 3
    assert all(found.output is None and found.error is None and found.confidence is None for found in answers)
    assert candidate.family == "human"


def test_it_needs_no_rows_and_costs_nothing_to_make(colours: Task, colour_rows: Dataset) -> None:
    candidate = Human().fit(colours, Dataset(()))
    assert candidate.setup == Resources()
    assert candidate.training_ids == frozenset()
    assert candidate.fingerprint == Human().fingerprint(colours, colour_rows)


def test_people_do_not_always_say_the_same(colours: Task) -> None:
    assert not Human().fit(colours, Dataset(())).traits.deterministic


def test_it_can_be_kept(tmp_path: Path, colours: Task, colour_rows: Dataset) -> None:
    candidate = Human().fit(colours, colour_rows)
    candidate.save(tmp_path / "kept")
    assert load_candidate(tmp_path / "kept").fingerprint == candidate.fingerprint
