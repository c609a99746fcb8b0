"""Stored evaluations: listed, compared, thrown away; what a decision refers to stays."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tasklift.dataset import Dataset
from tasklift.economics import Economics, Gates
from tasklift.errors import DataError
from tasklift.lock import locked
from tasklift.measure.archive import Rules, compare_evaluations, entries, plan_pruning, prune
from tasklift.measure.deciding.decision import decide
from tasklift.measure.evaluation import Evaluation, Options, evaluate
from tasklift.measure.evidence import Evidence
from tasklift.measure.records.ledger import Asked, keep
from tasklift.measure.stored import load_evaluation
from tasklift.stats.comparison import mcnemar_midp
from tasklift.stats.intervals import paired_difference, unpaired_difference
from tasklift.strategies.baseline import Baseline, Majority
from tasklift.strategies.human import Human
from tasklift.strategies.knn import Knn
from tasklift.strategy import Strategy
from tasklift.task import Task

ECONOMICS = Economics(items_per_month=1000, error_usd=1, review_usd=0.1)


@pytest.fixture
def parts(colour_rows: Dataset) -> tuple[Dataset, Dataset]:
    train = colour_rows.part([row for row in colour_rows if row.id[-1] in "01"], "train")
    return train, colour_rows.part([row for row in colour_rows if row.id[-1] in "23"], "test")


def run(state: Path, task: Task, parts: tuple[Dataset, Dataset], age_days: float = 0, **made: Strategy) -> Evaluation:
    found = evaluate(task, made, *parts, Options(state, command="tasklift evaluate"))
    age(state / "evaluations" / found.id, age_days)
    return load_evaluation(state, found.id, 0.97)


def age(folder: Path, days: float) -> None:
    then = time.time() - days * 86400
    for path in (*folder.glob("*"), folder):
        os.utime(path, (then, then))


def decided_on(state: Path, evaluation: Evaluation) -> str:
    """Id of a decision that is kept on this evaluation."""
    evidence = Evidence.from_evaluation(evaluation)
    return keep(state, decide(evidence, ECONOMICS), evidence, ECONOMICS, Gates(), Asked("colours")).id


def names(state: Path, folder: str) -> set[str]:
    return {path.name for path in (state / folder).iterdir()}


def test_evaluations_are_listed_newest_first(colours: Task, parts: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    old = run(tmp_path, colours, parts, 2, majority=Majority(), human=Human())
    new = run(tmp_path, colours, parts, 1, majority=Majority())
    decision = decided_on(tmp_path, old)
    first, second = entries(tmp_path)
    assert (first.id, first.state, first.rows, first.candidates) == (new.id, "finished", 30, ("majority",))
    assert (second.id, second.decisions) == (old.id, (decision,))
    assert second.size == sum(path.stat().st_size for path in (tmp_path / "evaluations" / old.id).iterdir())
    assert entries(tmp_path, "other") == []
    assert json.loads(json.dumps(second.to_json()))["candidates"] == ["majority", "human"]


def test_unfinished_running_and_damaged_ones_say_so(
    colours: Task, parts: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    done = run(tmp_path, colours, parts, majority=Majority())
    folder = tmp_path / "evaluations" / done.id
    manifest = (folder / "manifest.json").read_text(encoding="utf-8")
    (folder / "manifest.json").unlink()
    (one,) = entries(tmp_path)
    assert (one.state, one.task, one.rows, one.candidates) == ("unfinished", "colours", 30, ("majority",))
    with locked(folder / "lock", "running"):
        assert entries(tmp_path)[0].state == "running"
    (folder / "manifest.json").write_text(manifest[:-20], encoding="utf-8")
    assert entries(tmp_path)[0].state == "damaged"


def test_equal_rows_are_compared_in_pairs(colours: Task, parts: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    one = run(tmp_path, colours, parts, same=Majority(), other=Majority(), human=Human(), gone=Majority())
    two = run(tmp_path, colours, parts, same=Majority(), other=Baseline(), human=Human(), new=Majority())
    found = compare_evaluations(one, two)
    assert found.paired
    assert found.candidates["same"].difference == paired_difference(0, 0, 30)
    changed = found.candidates["other"]
    accuracy = two.result("other").scores.accuracy
    assert accuracy is not None
    gained = round(30 * (accuracy.value - 1 / 3))
    assert changed.difference is not None
    assert changed.difference.value == pytest.approx(gained / 30)
    assert changed.p is not None
    assert changed.p <= mcnemar_midp(0, gained) + 1e-12
    assert changed.p_holm == pytest.approx(2 * changed.p)
    assert found.candidates["human"].difference is None
    assert (found.only_before, found.only_after) == (("gone",), ("new",))


def test_other_rows_are_not_compared_in_pairs_and_that_is_said(
    colours: Task, parts: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    train, test = parts
    one = run(tmp_path, colours, parts, svm=Baseline())
    # Equal ids are not enough: the text of one row was mended.
    first, *rest = test.examples
    mended = test.part((replace(first, input={"text": "a mended ruby"}), *rest), "mended")
    for other in (test.part(test.examples[:20], "fewer"), mended):
        two = run(tmp_path, colours, (train, other), svm=Baseline())
        found = compare_evaluations(one, two)
        assert not found.paired
        assert found.why.startswith(f"not the same rows (30 and {len(other)}, {len(other)} ids in both)")
        change, a, b = found.candidates["svm"], *(x.result("svm").scores.accuracy for x in (two, one))
        assert a is not None
        assert b is not None
        assert change.difference == unpaired_difference(a.value * len(other), len(other), b.value * 30, 30)
        assert (change.p, change.p_holm) == (None, None)


def test_other_tasks_are_not_compared(colours: Task, parts: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    one = run(tmp_path, colours, parts, x=Majority())
    two = run(tmp_path, colours.model_copy(update={"name": "shades", "instruction": "Which?"}), parts, x=Majority())
    with pytest.raises(DataError, match=r"is of task colours, .* of shades: their accuracies do not compare"):
        compare_evaluations(one, two)


# Pruning


def test_the_newest_of_each_task_stay(colours: Task, parts: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    shades = colours.model_copy(update={"name": "shades", "instruction": "Which?"})
    old, newer, newest = (
        run(tmp_path, colours, parts, days, **{f"m{days}": Majority()}, human=Human()) for days in (3, 2, 1)
    )
    other = run(tmp_path, shades, parts, 9, x=Majority())
    planned = plan_pruning(tmp_path, Rules(keep=2))
    assert [one.path.name for one in planned.removals] == [old.id]
    prune(planned)
    assert names(tmp_path, "evaluations") == {newer.id, newest.id, other.id}


def test_what_a_decision_refers_to_stays_unless_forced(
    colours: Task, parts: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    decided = run(tmp_path, colours, parts, 5, majority=Majority(), human=Human())
    decision = decided_on(tmp_path, decided)
    run(tmp_path, colours, parts, 1, svm=Baseline())
    planned = plan_pruning(tmp_path, Rules(keep=1, artifacts=True))
    assert planned.removals == ()
    assert planned.spared[0].why == f"decision {decision} refers to it"
    forced = plan_pruning(tmp_path, Rules(keep=1, artifacts=True, force=True))
    assert {one.path.parent.name for one in forced.removals} == {"evaluations", "artifacts"}
    size = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    prune(forced)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) == size - forced.size
    assert len(names(tmp_path, "evaluations")) == 1


def test_artifacts_of_no_evaluation_go_and_the_others_stay(
    colours: Task, parts: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    kept = run(tmp_path, colours, parts, svm=Baseline())
    gone = run(tmp_path, colours, parts, 2, knn=Knn(embedder="static"), majority=Majority())
    released = gone.result("majority").card.fingerprint
    assert plan_pruning(tmp_path, Rules(keep=1)).removals[0].path.name == gone.id
    prune(plan_pruning(tmp_path, Rules(keep=1, artifacts=True, protected=frozenset({released}))))
    assert names(tmp_path, "artifacts") == {kept.result("svm").card.fingerprint, released}


def test_what_is_being_run_stays_with_all_artifacts(
    colours: Task, parts: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    done = run(tmp_path, colours, parts, 30, svm=Baseline())
    folder = tmp_path / "evaluations" / done.id
    (folder / "manifest.json").unlink()
    (folder / "begun.json").unlink()
    with locked(folder / "lock", "running"):
        age(folder, 30)
        planned = plan_pruning(tmp_path, Rules(artifacts=True))
        assert planned.removals == ()
        assert [one.why for one in planned.spared] == ["is being run", "no evaluation names it"]
    age(folder, 30)
    prune(plan_pruning(tmp_path, Rules(artifacts=True)))
    assert names(tmp_path, "evaluations") == names(tmp_path, "artifacts") == set()


def test_what_stopped_fits_and_prunings_left_goes_when_it_is_old(tmp_path: Path) -> None:
    artifacts, evaluations = tmp_path / "artifacts", tmp_path / "evaluations"
    for path in (artifacts / ".partial-a", artifacts / ".partial-b", artifacts / ".c-x1", evaluations / ".removed-d"):
        path.mkdir(parents=True)
        (path / "file").write_text("12345", encoding="utf-8")
    for name in (".partial-a", ".c-x1"):
        age(artifacts / name, 8)
    assert entries(tmp_path) == []
    with locked(artifacts / ".c.lock", "fitting"):
        prune(plan_pruning(tmp_path, Rules()))
    assert names(tmp_path, "artifacts") == {".partial-b", ".c-x1"}
    assert names(tmp_path, "evaluations") == set()


def test_a_clock_that_jumped_back_makes_nothing_old(
    colours: Task, parts: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    done = run(tmp_path, colours, parts, -400, svm=Baseline())
    (tmp_path / "evaluations" / done.id / "manifest.json").unlink()
    assert plan_pruning(tmp_path, Rules(unfinished_days=0.0)).removals == ()


def test_an_empty_project_has_nothing_to_remove(tmp_path: Path) -> None:
    assert plan_pruning(tmp_path, Rules(keep=0, artifacts=True, force=True)).removals == ()
