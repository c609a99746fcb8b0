"""The A/A run: what it runs again, what it keeps, and that nothing is paid twice."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tasklift.cache import caching_in
from tasklift.dataset import Dataset, Example
from tasklift.llm.fake import ScriptedModel
from tasklift.llm.model import Request
from tasklift.measure.evaluation import Evaluation, Options, evaluate
from tasklift.measure.robustness.again import ASKED_AGAIN, MADE_AGAIN, reseeded, run_again
from tasklift.measure.stored import load_evaluation
from tasklift.strategies.baseline import Baseline, Majority
from tasklift.strategies.human import Human
from tasklift.strategies.layered import Layered
from tasklift.strategies.prompt import Prompt
from tasklift.strategy import Strategy
from tasklift.task import Task

TRAIN = Dataset(tuple(Example(f"t{i}", {"text": f"{c} thing {i}"}, c) for i, c in enumerate(("red", "green") * 20)))


def shaky() -> ScriptedModel:
    """Right at first; on repeats it changes its mind about every fourth row."""

    def answer(request: Request) -> str:
        text = request.messages[-1].content
        number = int("".join(letter for letter in text if letter.isdigit()) or 0)
        colour = "red" if "red" in text.rpartition("\n")[2] or "red" in text else "green"
        return ("green" if colour == "red" else "red") if request.repeat and number % 4 == 0 else colour

    model = ScriptedModel(answer, name="shaky")
    model.deterministic = False
    return model


def rows() -> Dataset:
    return Dataset(tuple(Example(f"r{i}", {"text": f"{c} item {i}"}, c) for i, c in enumerate(("red", "green") * 20)))


def made(task: Task, folder: Path | None, **strategies: Strategy) -> Evaluation:
    return evaluate(task, strategies, TRAIN, rows(), Options(folder=folder))


def test_a_model_is_asked_again_past_its_cache_and_a_recipe_with_a_seed_is_made_again(
    colours: Task, tmp_path: Path
) -> None:
    model = shaky()
    with caching_in(tmp_path / "cache"):
        strategies = {"prompt": Prompt(model=model), "svm": Baseline(), "majority": Majority(), "human": Human()}
        evaluation = made(colours, tmp_path, **strategies)
        before = len(model.requests)
        found = run_again(evaluation, strategies, TRAIN, tmp_path)
        assert len(model.requests) == before + 40
    assert set(found) == {"prompt", "svm", "majority"}
    assert {name: one.how for name, one in found.items()} == {
        "prompt": ASKED_AGAIN,
        "svm": MADE_AGAIN,
        "majority": ASKED_AGAIN,
    }
    assert found["prompt"].agreement.value == pytest.approx(0.75)
    assert found["prompt"].floor >= 0.1
    assert found["majority"].floor == 0
    assert load_evaluation(tmp_path, evaluation.id, 1.0).noise == found


def test_a_run_that_goes_on_asks_only_for_what_is_missing(colours: Task, tmp_path: Path) -> None:
    model = shaky()
    strategies: dict[str, Strategy] = {"prompt": Prompt(model=model)}
    evaluation = made(colours, tmp_path, **strategies)
    first = run_again(evaluation, strategies, TRAIN, tmp_path)
    path = tmp_path / "evaluations" / evaluation.id / "again" / "predictions.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:30]))
    asked = len(model.requests)
    assert run_again(evaluation, strategies, TRAIN, tmp_path) == first
    assert len(model.requests) == asked + 10


def test_the_next_seed_reaches_the_stages_of_a_layered_recipe() -> None:
    layered = Layered(core=Baseline(seed=3), prompt=None, seed=5)
    other = reseeded(layered)
    assert (other.seed, other.core.seed) == (6, 4)  # type: ignore[attr-defined]
    majority = Majority()
    assert reseeded(majority) is majority


def test_without_a_folder_nothing_is_kept(colours: Task) -> None:
    strategies: dict[str, Strategy] = {"majority": Majority()}
    evaluation = made(colours, None, **strategies)
    found = run_again(evaluation, strategies, TRAIN, None)
    assert dataclasses.asdict(found["majority"])["rows"] == 40
