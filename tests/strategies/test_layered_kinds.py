"""Layering where an answer is no single label: right is what the task's rule says, and the certificate rests on it."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_tasks import rows_of, task_of

from tasklift.contracts import check_strategy
from tasklift.dataset import Dataset, Example
from tasklift.errors import UnsupportedError
from tasklift.llm.fake import ScriptedModel
from tasklift.llm.model import Request
from tasklift.measure.evaluation import evaluate
from tasklift.measure.metrics import right_of
from tasklift.measure.report import layers
from tasklift.prediction import Prediction
from tasklift.project import Project
from tasklift.strategies.artifact import Card, read_card, write_artifact
from tasklift.strategies.baseline import Baseline
from tasklift.strategies.fitting import load_candidate
from tasklift.strategies.frozen import FrozenEncoder
from tasklift.strategies.knn import Knn
from tasklift.strategies.layered import Layered
from tasklift.strategies.layered_candidate import LayeredCandidate, Rule
from tasklift.strategies.prompt import Prompt, PromptCandidate
from tasklift.strategy import Candidate, Context, Family, Input, Resources, Strategy, Traits
from tasklift.task import Right, Task

LEADS = Path(__file__).resolve().parent.parent.parent / "examples" / "lead_scoring"
SURE, UNSURE = 0.99, 0.6
NUMBER = task_of("number", right=Right(within=10))
LABELS = task_of("labels")


class OracleCandidate(Candidate):
    """Says what stands in the text as JSON, as sure as the text says."""

    family: Family = "finetune"
    traits = Traits()
    setup = Resources()
    notes: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, card: Card, is_silent: bool) -> None:
        self.card, self.fingerprint, self.training_ids = card, card.fingerprint, card.training_ids
        self.is_silent = is_silent

    async def predict(self, inputs: Sequence[Input], ctx: Context) -> list[Prediction]:
        rows = [json.loads(str(value["text"])) for value in inputs]
        return [Prediction(row["said"], confidence=None if self.is_silent else row["sure"]) for row in rows]

    def save(self, folder: Path) -> None:
        write_artifact(folder, self.card, {})


@dataclass(frozen=True)
class Oracle(Strategy):
    """A core of known risk; a silent one says of no answer how sure it is."""

    is_silent: bool = False
    name = "oracle"

    def fingerprint(self, task: Task, train: Dataset) -> str:
        return train.content_hash

    def fit(self, task: Task, train: Dataset) -> OracleCandidate:
        card = Card("oracle", train.content_hash, "finetune", {}, (), "", ("text",), Resources(), train.keys)
        return OracleCandidate(card, self.is_silent)


def example(task: Task, draw: random.Random, name: str) -> Example:
    """A row on which the oracle is right as often as it says, by the task's rule; its number is never the same."""
    sure = SURE if draw.random() < 0.5 else UNSURE
    is_right = draw.random() < sure
    said: Any
    truth: Any
    if task.output.kind == "number":
        said, away = draw.randint(30, 70), draw.randint(1, 10) if is_right else draw.randint(11, 25)
        truth = said + draw.choice((-1, 1)) * away
    else:
        said = draw.sample(["lift", "heating", "water", "light"], 2)
        truth = said[::-1] if is_right else said[:1]  # the same set in another order is right
    return Example(name, {"text": json.dumps({"said": said, "sure": sure, "truth": truth, "n": name})}, truth)


def rows(task: Task, size: int, seed: int = 0) -> Dataset:
    draw = random.Random(seed)
    return Dataset(tuple(example(task, draw, f"{seed}-{n}") for n in range(size)))


def ask(candidate: Candidate, data: Dataset) -> list[Prediction]:
    return asyncio.run(candidate.predict(data.inputs, Context()))


def risk(answers: Sequence[Prediction], data: Dataset, task: Task) -> tuple[float, float]:
    """Share of wrong answers among those given without a person, and share of rows so answered."""
    right = right_of(answers, data.outputs, task)
    return float(1 - np.nanmean(right)) if (~np.isnan(right)).any() else 0.0, float((~np.isnan(right)).mean())


def knows(request: Request, right: float) -> str:
    """A prompt that writes the truth in that share of rows, and says nothing of how sure it is."""
    row = json.loads(request.messages[1].content.removeprefix("Message: ").rpartition("}")[0] + "}")
    found = row["truth"] if random.Random(row["n"]).random() < right else row["said"]
    return json.dumps(found)


@pytest.mark.parametrize("task", [NUMBER, LABELS], ids=["number", "labels"])
def test_the_certificate_holds_by_the_rule_of_the_task(task: Task) -> None:
    broken = 0
    for seed in range(10):
        candidate = Layered(Oracle(), None, alpha=0.05, delta=0.1).fit(task, rows(task, 1200, seed))
        fresh = rows(task, 2000, 1000 + seed)
        found, covered = risk(ask(candidate, fresh), fresh, task)
        assert covered == pytest.approx(0.5, abs=0.05)
        broken += found > 0.05
    assert broken <= 1


def test_another_rule_is_another_candidate_with_another_certificate() -> None:
    data, strict = rows(NUMBER, 1200), task_of("number", right=Right(within=0))
    recipe = Layered(Oracle(), None)
    assert recipe.fingerprint(NUMBER, data) != recipe.fingerprint(strict, data)
    assert recipe.fit(strict, data).rule.certificate.threshold is None  # the oracle never says the very number
    assert recipe.fit(NUMBER, data).rule.certificate.threshold is not None


def test_fingerprints_of_labels_do_not_rest_on_the_rule(colours: Task, colour_rows: Dataset) -> None:
    recipe = Layered(FrozenEncoder(embedder="static"), None)
    ruled = colours.model_copy(update={"right": Right(metric=None)})
    assert recipe.fingerprint(colours, colour_rows) == recipe.fingerprint(ruled, colour_rows)
    assert recipe.fingerprint(colours, colour_rows) == super(Layered, recipe).fingerprint(colours, colour_rows)


@pytest.mark.parametrize("task", [NUMBER, LABELS], ids=["number", "labels"])
def test_a_prompt_that_does_not_say_how_sure_it_is_answers_the_rest_or_nothing(task: Task) -> None:
    data, fresh = rows(task, 1500), rows(task, 1000, 1)
    model = ScriptedModel(partial(knows, right=1.0))
    good = Layered(Oracle(), Prompt(model=model)).fit(task, data)
    assert good.notes["prompt_stage"].startswith("answers what the core is not sure of: 100% right on 48 rows")
    answers = ask(good, fresh)
    assert {found.notes["stage"] for found in answers} == {"core", "prompt"}
    found, covered = risk(answers, fresh, task)
    assert (found <= 0.05, covered) == (True, 1.0)
    second = next(one for one in answers if one.notes["stage"] == "prompt")
    assert second.confidence == pytest.approx(0.98)  # 48 of 48 in the pilot, and one of each more
    assert [child.confidence for child in second.children] == [UNSURE, None]
    poor = Layered(Oracle(), Prompt(model=ScriptedModel(partial(knows, right=0.5)))).fit(task, data)
    assert "never answers alone" in poor.notes["prompt_stage"]
    assert "it does not say how sure it is" in poor.notes["prompt_stage"]
    assert {one.notes["stage"] for one in ask(poor, fresh)} == {"core", "human"}


def test_a_silent_prompt_of_middling_quality_keeps_the_promise() -> None:
    for seed in range(6):
        model = ScriptedModel(partial(knows, right=0.9))
        candidate = Layered(Oracle(), Prompt(model=model), alpha=0.08).fit(NUMBER, rows(NUMBER, 1200, seed))
        fresh = rows(NUMBER, 1500, 100 + seed)
        certified = candidate.rule.certificate
        found, covered = risk(ask(candidate, fresh), fresh, NUMBER)
        assert found <= 0.08 + 0.015
        assert covered == pytest.approx(certified.coverage, abs=0.06)


def test_an_answer_that_failed_or_is_a_persons_is_never_taken_for_a_sure_one() -> None:
    model = ScriptedModel(lambda request: "nothing" if '"7-' in request.messages[1].content else knows(request, 1.0))
    candidate = Layered(Oracle(), Prompt(model=model)).fit(NUMBER, rows(NUMBER, 1500))
    answers = ask(candidate, rows(NUMBER, 300, 7))  # the model's answer to these rows is no number
    assert {one.notes["stage"] for one in answers} == {"core", "human"}


@pytest.mark.parametrize("core", [Knn(embedder="static"), Oracle(is_silent=True)], ids=["knn", "own"])
@pytest.mark.parametrize("kind", ["number", "labels"])
def test_a_core_that_does_not_say_how_sure_it_is_is_refused(core: Strategy, kind: str) -> None:
    task = task_of(kind)
    data = rows(task, 200) if isinstance(core, Oracle) else rows_of(kind, 5)
    with pytest.raises(UnsupportedError, match=f"{core.name} does not for .*{kind}.*; baseline, frozen and encoder do"):
        Layered(core, None).fit(task, data)


@pytest.mark.parametrize("kind", ["json", "text"])
@pytest.mark.parametrize("core", [FrozenEncoder(embedder="static"), Knn(embedder="static"), Prompt()])
def test_json_and_text_are_refused_and_who_gives_no_confidence_is_named(kind: str, core: Strategy) -> None:
    with pytest.raises(UnsupportedError, match=r"none that ships does .*majority, knn, prompt and fewshot"):
        Layered(core, None).fit(task_of(kind), rows_of(kind, 5))
    assert kind not in Layered.kinds  # a project's default list leaves it out


def test_a_core_of_somebody_elses_that_is_sure_of_a_text_is_taken() -> None:
    task = task_of("text")
    draw = random.Random(0)
    made = []
    for n in range(800):
        sure = SURE if draw.random() < 0.5 else UNSURE
        truth = "Lift stuck." if draw.random() < sure else "Radiator cold in flat."
        made.append(Example(str(n), {"text": json.dumps({"said": "Lift stuck now.", "sure": sure, "n": n})}, truth))
    candidate = Layered(Oracle(), None).fit(task, Dataset(tuple(made)))
    assert candidate.rule.certificate.threshold is not None
    assert candidate.rule.certificate.coverage == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("core", [FrozenEncoder(embedder="static"), Baseline()], ids=["frozen", "baseline"])
def test_leads_are_scored_by_the_laws(core: Strategy) -> None:
    project = Project.open(LEADS)
    task = project.task(None)
    train, test, _ = project.rows(task)
    strategy = Layered(core, None, alpha=0.3)
    check_strategy(strategy, task.task, train, test.inputs[:8], load=load_candidate)


@pytest.mark.parametrize("kind", ["labels", "number"])
def test_several_labels_and_numbers_obey_the_laws_with_a_prompt_stage(kind: str) -> None:
    task, data = task_of(kind), rows_of(kind, 5)
    model = ScriptedModel({}, default='["lift"]' if kind == "labels" else "70")
    strategy = Layered(FrozenEncoder(embedder="static"), Prompt(model=model), alpha=0.4)

    def load(folder: Path) -> Candidate:
        card, inner = read_card(folder), folder / "prompt"
        prompt = PromptCandidate(read_card(inner), model) if inner.exists() else None
        return LayeredCandidate(card, load_candidate(folder / "core"), prompt, Rule.from_json(card.settings))

    check_strategy(strategy, task, data, data.inputs[:6], load=load)


def test_risk_against_coverage_goes_by_the_rule_too() -> None:
    fresh = rows(NUMBER, 400, 3)
    found = evaluate(NUMBER, {"layered": Layered(Oracle(), None)}, rows(NUMBER, 1200), fresh)
    result = found.result("layered")
    rule = layers.rule_of(result)
    assert rule is not None
    point = layers.point(result, fresh.outputs, rule, rule.certificate.threshold, NUMBER)
    assert result.scores.accuracy is not None
    assert point.risk is not None
    assert point.risk.value == pytest.approx(1 - result.scores.accuracy.value)
