"""The example lead_scoring: its rows are what its README says, and it runs."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from tasklift.measure.evaluation import evaluate
from tasklift.project import Project
from tasklift.strategies.baseline import Majority
from tasklift.strategies.knn import Knn

FOLDER = Path(__file__).resolve().parent.parent / "examples" / "lead_scoring"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A copy, so that no state is left in the example."""
    copy = tmp_path / "lead_scoring"
    shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns(".tasklift"))
    return Project.open(copy)


def test_rows_are_those_of_the_datasheet(project: Project) -> None:
    train, test, warnings = project.rows(project.task(None))
    assert (len(train), len(test), warnings) == (79, 39, ())
    assert Counter(row.slice["channel"] for row in (*train, *test)) == {
        "form": 44,
        "email": 39,
        "chat": 22,
        "event": 13,
    }
    words = [len(str(row.input["text"]).split()) for row in (*train, *test)]
    assert max(words) > 40 > min(words)


def test_neighbours_are_closer_than_the_median(project: Project) -> None:
    task = project.task(None)
    train, test, _ = project.rows(task)
    found = evaluate(task.task, {"majority": Majority(), "knn": Knn(embedder="static")}, train, test)
    error = {result.name: result.scores.figures["mae"].value for result in found.results}
    assert error["knn"] < error["majority"]
