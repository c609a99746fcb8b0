"""Evaluations on disk: scored and decided again without a model, whatever a crash left of the file."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tasklift.dataset import Dataset, Example
from tasklift.economics import Economics
from tasklift.errors import DataError
from tasklift.measure.deciding.decision import decide
from tasklift.measure.evaluation import Evaluation, Options, evaluate
from tasklift.measure.metrics import Scores
from tasklift.measure.store import EvaluationFolder
from tasklift.measure.stored import load_evaluation, newest_evaluation
from tasklift.prediction import Prediction, Usage
from tasklift.strategies.artifact import Card
from tasklift.strategies.baseline import Baseline, Majority
from tasklift.strategy import Context, Family, Input, Resources, Traits
from tasklift.task import Task

NO_TRAIN = Dataset((Example("t", {"text": "a text of no row"}, "red"),), name="train")


@dataclass
class Mixed:
    """A strategy whose candidate answers, defers and fails in turn, each answer with all that can be stored."""

    name: str = "mixed"
    asked: list[str] = field(default_factory=list)

    def fingerprint(self, task: Task, train: Dataset) -> str:
        return "mixed-print"

    def fit(self, task: Task, train: Dataset) -> MixedCandidate:
        made = Resources(labels=12, cpu_s=1.5)
        card = Card(
            *(self.name, "mixed-print", "layered", {"alpha": 0.1}, task.labels, task.instruction, ("text",), made),
            frozenset(),
            notes={"certificate": {"alpha": 0.1, "threshold": 0.7}},
        )
        return MixedCandidate(card, self.asked)


class MixedCandidate:
    """What `Mixed` makes."""

    traits = Traits(deterministic=False, batch_size=7)
    family: Family = "layered"

    def __init__(self, card: Card, asked: list[str]) -> None:
        self.card, self.asked = card, asked
        self.fingerprint, self.setup = card.fingerprint, card.setup
        self.training_ids, self.notes = card.training_ids, card.notes

    async def predict(self, inputs: Sequence[Input], ctx: Context) -> list[Prediction]:
        found = []
        for value in inputs:
            found.append(self.answer(value["text"], len(self.asked)))
            self.asked.append(value["text"])
        return found

    def answer(self, text: str, turn: int) -> Prediction:
        usage = Usage(calls=1, input_tokens=7, cpu_s=0.001234567891)
        notes: dict[str, Any] = {"skipped_model": turn % 2 == 0, "said": "café"}
        guess = Prediction.from_probabilities({"red": 0.6, "green": 0.3, "blue": 0.1}, usage=usage)
        if turn % 5 == 4:
            return Prediction(deferred=True, children=(guess,), usage=usage, latency_s=0.02, notes=notes)
        if turn % 7 == 6:
            return Prediction.failed("invalid_output", "no answer", notes=notes)
        return dataclasses.replace(guess, children=(guess, guess), latency_s=0.0312345678, notes=notes)

    def save(self, folder: Path) -> None:
        """Nothing is worth keeping."""

    async def aclose(self) -> None:
        """Nothing is held."""


@pytest.fixture
def sliced(colour_rows: Dataset) -> Dataset:
    rows = [dataclasses.replace(row, slice={"place": row.input["text"].split()[-1]}) for row in colour_rows]
    return Dataset(tuple(rows), name="colours")


def made(task: Task, rows: Dataset, state: Path, mixed: Mixed | None = None) -> Evaluation:
    return evaluate(task, {"mixed": mixed or Mixed()}, NO_TRAIN, rows, Options(state, command="tasklift evaluate"))


def without_seconds(scores: Scores) -> Scores:
    """Latencies are stored in microseconds."""
    return dataclasses.replace(scores, latency_p50_s=None, latency_p95_s=None)


def economics(**changed: Any) -> Economics:
    return Economics.model_validate({"items_per_month": 5000, "error_usd": 1, "review_usd": 0.3} | changed)


def test_a_stored_evaluation_scores_and_decides_equally_without_a_model(
    colours: Task, sliced: Dataset, tmp_path: Path
) -> None:
    mixed = Mixed()
    fresh = made(colours, sliced, tmp_path, mixed)
    stored = load_evaluation(tmp_path, fresh.id, 0.97)
    mine, read = fresh.result("mixed"), stored.result("mixed")
    assert without_seconds(read.scores) == without_seconds(mine.scores)
    assert read.scores.latency_p95_s == pytest.approx(mine.scores.latency_p95_s, abs=1e-6)
    assert [p.to_json() for p in read.predictions] == [p.to_json() for p in mine.predictions]
    assert (read.card.setup, read.card.notes, read.traits) == (mine.card.setup, mine.card.notes, mine.traits)
    assert [(row.id, row.output, row.slice) for row in stored.rows] == [(r.id, r.output, r.slice) for r in sliced]
    assert (stored.made, stored.reference, stored.task) == (fresh.made, fresh.reference, colours)
    money = economics(error_usd_by_slice={"garden": 3})
    assert decide(stored, money) == decide(fresh, money)
    assert len(mixed.asked) == 60


def test_fitted_candidates_compare_equally_when_read_back(colours: Task, colour_rows: Dataset, tmp_path: Path) -> None:
    train = colour_rows.part([row for row in colour_rows if not row.id.endswith("3")], "train")
    test = colour_rows.part([row for row in colour_rows if row.id.endswith("3")], "test")
    strategies = {"majority": Majority(), "baseline": Baseline()}
    fresh = evaluate(colours, strategies, train, test, Options(tmp_path))
    stored = load_evaluation(tmp_path, fresh.id, 0.97)
    again = evaluate(colours, strategies, train, test, Options(tmp_path))
    for other in (stored, again):
        assert other.comparisons == fresh.comparisons
        for result in fresh.results:
            assert without_seconds(other.result(result.name).scores) == without_seconds(result.scores)
        assert decide(other, economics()).to_json() == decide(fresh, economics()).to_json()


def test_another_reviewer_scores_deferred_rows_anew(colours: Task, sliced: Dataset, tmp_path: Path) -> None:
    fresh = made(colours, sliced, tmp_path)
    deferred = fresh.result("mixed").scores.rows - fresh.result("mixed").scores.answered
    other = load_evaluation(tmp_path, fresh.id, 0.5).result("mixed").scores
    assert fresh.result("mixed").scores.system_accuracy - other.system_accuracy == pytest.approx(0.47 * deferred / 60)


# Damage


@pytest.mark.parametrize("cut", ["in a line", "in a letter", "before the line break"])
def test_a_torn_last_line_is_asked_again_and_nothing_else(
    colours: Task, sliced: Dataset, tmp_path: Path, cut: str
) -> None:
    fresh = made(colours, sliced, tmp_path)
    path = tmp_path / "evaluations" / fresh.id / "predictions.jsonl"
    whole = path.read_bytes()
    kept = {"in a line": len(whole) - 40, "in a letter": whole.rindex("é".encode()) + 1, "before the line break": -1}[
        cut
    ]
    path.write_bytes(whole[:kept])
    lost = 0 if cut == "before the line break" else 1
    if lost:
        with pytest.raises(DataError, match=r"mixed: 1 stored predictions are missing \(first: blue-cobalt-3\)"):
            load_evaluation(tmp_path, fresh.id, 0.97)
    again = Mixed()
    made(colours, sliced, tmp_path, again)
    assert again.asked == [row.input["text"] for row in sliced][60 - lost :]
    assert len(load_evaluation(tmp_path, fresh.id, 0.97).result("mixed").predictions) == 60
    made(colours, sliced, tmp_path, again)
    assert len(again.asked) == lost


def test_keys_of_a_newer_version_are_ignored(tmp_path: Path) -> None:
    store = EvaluationFolder(tmp_path)
    store.append("print", ["a"], [Prediction(output="red")])
    store.close()
    path = tmp_path / "predictions.jsonl"
    row = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(row | {"mood": "good"}), encoding="utf-8")
    assert store.predictions() == {"print": {"a": Prediction(output="red")}}


def test_a_folder_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="cannot be written"):
        EvaluationFolder(tmp_path / "file" / "inside").append("print", ["a"], [Prediction(output="red")])


def test_an_unfinished_evaluation_says_how_to_go_on(tmp_path: Path) -> None:
    store = EvaluationFolder(tmp_path / "evaluations" / "half")
    store.append("print", ["a"], [Prediction(output="red")])
    store.close()
    with pytest.raises(DataError, match="no finished evaluation here; run `tasklift evaluate` again"):
        load_evaluation(tmp_path, "half", 0.97)


@pytest.mark.parametrize(
    ("text", "message"), [('{"id": ', "damaged"), ('{"schema_version": 99}', "schema_version 99, this version reads 1")]
)
def test_a_manifest_that_cannot_be_read_is_explained(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        EvaluationFolder(tmp_path).manifest()


# Which one


def test_the_evaluation_of_the_task_that_was_finished_last_is_the_newest(
    colours: Task, colour_rows: Dataset, tmp_path: Path
) -> None:
    first = made(colours, colour_rows, tmp_path)
    second = made(colours, colour_rows.part(colour_rows.examples[:30], "half"), tmp_path)
    other = made(colours.model_copy(update={"name": "other", "instruction": "Else?"}), colour_rows, tmp_path)
    for second_s, done in enumerate((second, first, other)):
        os.utime(tmp_path / "evaluations" / done.id / "manifest.json", (second_s, second_s))
    assert len({first.id, second.id, other.id}) == 3
    assert newest_evaluation(tmp_path, "colours") == first.id
    assert newest_evaluation(tmp_path, "other") == other.id


def test_without_an_evaluation_of_the_task_the_answer_is_to_evaluate(
    colours: Task, colour_rows: Dataset, tmp_path: Path
) -> None:
    made(colours, colour_rows, tmp_path)
    with pytest.raises(DataError, match="no finished evaluation of shapes; run `tasklift evaluate shapes` first"):
        newest_evaluation(tmp_path, "shapes")
