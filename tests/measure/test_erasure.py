"""A row that is erased is gone from every run of an evaluation."""

from __future__ import annotations

from pathlib import Path

from tasklift.dataset import Dataset, Example
from tasklift.measure.erasure import erase_rows, predictions_of
from tasklift.measure.evaluation import Options, evaluate
from tasklift.measure.robustness.again import run_again
from tasklift.measure.stored import load_evaluation
from tasklift.strategies.baseline import Majority
from tasklift.strategy import Strategy
from tasklift.task import Task


def test_the_second_run_of_an_a_a_run_forgets_a_row_as_well(colours: Task, tmp_path: Path) -> None:
    train, test = (
        Dataset(tuple(Example(f"{name}{i}", {"text": f"{c} {i}"}, c) for i, c in enumerate(("red", "green") * 10)))
        for name in ("t", "r")
    )
    strategies: dict[str, Strategy] = {"majority": Majority()}
    evaluation = evaluate(colours, strategies, train, test, Options(folder=tmp_path))
    run_again(evaluation, strategies, train, tmp_path)
    folder = tmp_path / "evaluations" / evaluation.id
    assert len(predictions_of(folder, ["r3"])) == 2
    erase_rows(folder, ["r3"])
    assert predictions_of(folder, ["r3"]) == []
    assert all('"r3"' not in path.read_text() for path in folder.rglob("*.json*"))
    assert len(load_evaluation(tmp_path, evaluation.id, 1.0).rows) == 19
