"""Risk against coverage, scored again from stored stages: the same as asking again with another threshold."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasklift.dataset import Dataset
from tasklift.measure.evaluation import Evaluation, Options, evaluate
from tasklift.measure.report import layers
from tasklift.measure.store import EvaluationFolder
from tasklift.measure.stored import load_evaluation
from tasklift.strategies.baseline import Baseline
from tasklift.strategies.layered import Layered
from tasklift.task import Task


@pytest.mark.parametrize("threshold", [None, 0.97, 0.9, 0.8, 0.61, 0.3, 0.0001])
async def test_another_threshold_scores_as_if_it_had_been_asked(
    making: SimpleNamespace, evaluation: Evaluation, threshold: float | None
) -> None:
    stored, task, rows = evaluation.result("layered"), evaluation.task, evaluation.rows
    rule = layers.rule_of(stored)
    assert rule is not None
    found = layers.point(stored, rows.outputs, rule, threshold, task)
    asked = await making.layered_answers(task, rows, threshold)
    scores = making.result(task, rows, "layered", "layered", asked).scores
    assert (found.answered, found.coverage) == (scores.answered, scores.coverage)
    by = [p.notes.get("stage") for p in asked]
    assert (found.core - 1, found.prompt) == (by.count("core"), by.count("prompt"))  # one row cannot be read
    assert found.risk is not None
    assert scores.accuracy is not None
    assert found.risk.value == pytest.approx(1 - scores.accuracy.value)


def test_the_curve_goes_from_strict_to_loose_and_covers_more_and_more(evaluation: Evaluation) -> None:
    result = evaluation.result("layered")
    rule = layers.rule_of(result)
    assert rule is not None
    curve = layers.curve(result, evaluation.rows.outputs, rule, evaluation.task)
    covered = [point.coverage for point in curve]
    assert covered == sorted(covered)
    assert covered[-1] == 1
    assert [p.threshold for p in curve] == sorted({p.threshold for p in curve}, reverse=True)


def test_the_rule_is_stored_with_the_evaluation_and_scores_what_was_measured(
    colours: Task, colour_rows: Dataset, tmp_path: Path
) -> None:
    train = colour_rows.part((r for r in colour_rows if not r.id.endswith("-3")), "train")
    test = colour_rows.part((r for r in colour_rows if r.id.endswith("-3")), "test")
    fresh = evaluate(colours, {"layered": Layered(Baseline(), None, alpha=0.4)}, train, test, Options(tmp_path))
    result = load_evaluation(tmp_path, fresh.id, 0.97).result("layered")
    rule = layers.rule_of(result)
    assert rule is not None
    assert rule.certificate.threshold is not None
    found = layers.point(result, test.outputs, rule, rule.certificate.threshold, fresh.task)
    assert found.coverage == result.scores.coverage
    assert found.answered - found.wrong == round(found.answered * result.scores.accuracy.value)  # type: ignore[union-attr]


def test_an_evaluation_that_was_stored_without_the_rule_is_still_read(
    colours: Task, colour_rows: Dataset, tmp_path: Path
) -> None:
    fresh = evaluate(
        colours,
        {"layered": Layered(Baseline(), None, alpha=0.4)},
        colour_rows.part(colour_rows.examples[::2], "train"),
        colour_rows.part(colour_rows.examples[1::2], "test"),
        Options(tmp_path),
    )
    folder = EvaluationFolder(tmp_path / "evaluations" / fresh.id)
    manifest = folder.manifest()
    assert manifest is not None
    del manifest["candidates"][0]["settings"]
    folder.write_manifest({key: value for key, value in manifest.items() if key != "schema_version"})
    result = load_evaluation(tmp_path, fresh.id, 0.97).result("layered")
    assert layers.rule_of(result) is None
    assert dataclasses.asdict(result.scores.valid) == dataclasses.asdict(fresh.result("layered").scores.valid)
