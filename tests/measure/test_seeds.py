"""Several seeds of one recipe: what is made of them, their spread, and the choice by held-out rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tasklift.dataset import Dataset
from tasklift.measure.evaluation import Evaluation, Options, evaluate
from tasklift.measure.seeds import Seeds, seeded
from tasklift.strategies.baseline import Baseline, Majority
from tasklift.task import Task


@pytest.fixture
def evaluation(tmp_path: Path, colours: Task, colour_rows: Dataset) -> Evaluation:
    """Three seeds of the baseline, on a third of the rows."""
    train = colour_rows.part((row for at, row in enumerate(colour_rows) if at % 3), "train")
    rows = colour_rows.part((row for at, row in enumerate(colour_rows) if at % 3 == 0), "test")
    return evaluate(colours, seeded("baseline", Baseline(), 3), train, rows, Options(folder=tmp_path))


def _with_validation(found: Seeds, *figures: float | None, measure: str = "validation_accuracy") -> Seeds:
    each = [replace(one, validation=value, measure=measure) for one, value in zip(found.each, figures, strict=True)]
    return replace(found, each=tuple(each))


def test_seeds_follow_the_recipes_own_one() -> None:
    made = seeded("baseline", Baseline(seed=4), 3)
    assert {name: one.seed for name, one in made.items()} == {"baseline": 4, "baseline-seed5": 5, "baseline-seed6": 6}  # type: ignore[attr-defined]


def test_a_strategy_without_a_seed_is_there_once() -> None:
    assert list(seeded("majority", Majority(), 3)) == ["majority"]


def test_the_spread_is_that_of_the_figures(evaluation: Evaluation) -> None:
    found = Seeds.of(evaluation, "baseline")
    values = [evaluation.result(one.name).scores.accuracy.value for one in found.each]  # type: ignore[union-attr]
    assert found.mean.value == pytest.approx(sum(values) / 3)
    assert found.mean.low <= found.mean.value <= found.mean.high
    assert found.to_json()["spread"]["lowest"] == min(values)


def test_the_one_to_release_is_chosen_by_held_out_rows(evaluation: Evaluation) -> None:
    found = Seeds.of(evaluation, "baseline")
    assert _with_validation(found, 0.8, 0.9, 0.9).chosen.name == "baseline-seed1"
    assert _with_validation(found, 0.8, 0.7, 0.9, measure="validation_error").chosen.name == "baseline-seed1"
    assert _with_validation(found, 0.8, None, 0.9).chosen.name == "baseline"


def test_a_stopped_run_goes_on(evaluation: Evaluation, tmp_path: Path, colours: Task, colour_rows: Dataset) -> None:
    train = colour_rows.part((row for at, row in enumerate(colour_rows) if at % 3), "train")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "artifacts").iterdir()}
    evaluate(colours, seeded("baseline", Baseline(), 3), train, evaluation.rows, Options(folder=tmp_path))
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "artifacts").iterdir()}
    assert before == after
