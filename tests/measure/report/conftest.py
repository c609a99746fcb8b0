"""An evaluation made by hand for the tests of the report: every family, confidences, failures, a slice."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tasklift.dataset import Dataset, Example
from tasklift.economics import Economics
from tasklift.measure.evaluation import CandidateResult, Evaluation
from tasklift.measure.metrics import compare, right_of, score
from tasklift.prediction import Prediction, Usage
from tasklift.stats.calibration import Platt
from tasklift.stats.learn_then_test import Certificate
from tasklift.strategies.artifact import Card
from tasklift.strategies.layered_candidate import LayeredCandidate, Rule
from tasklift.strategy import Candidate, Context, Family, Input, Resources, Traits
from tasklift.task import Label, Task

ROWS = 120


def task_of(labels: Sequence[str] = ("red", "green", "blue")) -> Task:
    definitions = {label: f"Meaning of {label}" for label in labels}
    return Task(name="colours", instruction="Which colour is meant?", output=Label(labels=definitions))


def rows_of(task: Task, text: str = "a thing") -> Dataset:
    """Every third text in another place; texts are all different."""
    labels = list(task.labels)
    return Dataset(
        tuple(
            Example(
                f"r{i}", {"text": f"{text} {i}"}, labels[i % len(labels)], slice={"place": ["here", "there"][i % 2]}
            )
            for i in range(ROWS)
        ),
        name="colours",
    )


def said(task: Task, rows: Dataset, accuracy: float, seed: int, failed: int = 0) -> list[Prediction]:
    """Answers of which so many are right, surer where they are; the first ones fail."""
    rng = np.random.default_rng(seed)
    labels, usage = list(task.labels), Usage(cpu_s=0.002)
    found = []
    for i, row in enumerate(rows):
        right = rng.random() < accuracy
        other = labels[(labels.index(row.output) + 1) % len(labels)]
        sure = round(float(rng.beta(6, 2) if right else rng.beta(3, 3)), 6)
        answer = Prediction(row.output if right else other, confidence=sure, usage=usage, latency_s=0.01)
        found.append(answer if i >= failed else Prediction.failed("server", "<b>down</b> & out"))
    return found


class Scripted(Candidate):
    """A stage that gives answers known beforehand, by text."""

    family: Family = "finetune"
    traits = Traits()
    setup = Resources()
    training_ids: frozenset[str] = frozenset()

    def __init__(self, rows: Dataset, answers: Sequence[Prediction]) -> None:
        self.fingerprint, self.notes = "scripted", {}
        self.answers = {row.input["text"]: answer for row, answer in zip(rows, answers, strict=True)}

    async def predict(self, inputs: Sequence[Input], ctx: Context) -> list[Prediction]:
        return [self.answers[value["text"]] for value in inputs]


def rule(threshold: float | None) -> Rule:
    certificate = Certificate(0.2, 0.1, threshold, 100, 60, 6, 0 if threshold is not None else 40)
    return Rule(Platt(1.3, 0.2), Platt(0.8, -0.4), certificate)


async def layered_answers(task: Task, rows: Dataset, threshold: float | None) -> list[Prediction]:
    """What core, prompt and person make of the rows at a threshold, every stage asked."""
    core, prompt = said(task, rows, 0.7, seed=11), said(task, rows, 0.6, seed=12)
    core[5] = Prediction.failed("empty_input", "the input has no text")
    core[6], prompt[7] = Prediction.failed("server", "down"), Prediction.failed("server", "down")
    card = card_of(task, "layered", "layered", {})
    candidate = LayeredCandidate(card, Scripted(rows, core), Scripted(rows, prompt), rule(threshold))
    return await candidate.predict(rows.inputs, Context(all_stages=True))


def at_once(answers: Coroutine[Any, Any, list[Prediction]]) -> list[Prediction]:
    """Run it in a thread of its own: a browser that is driven from here has a loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, answers).result()


def card_of(task: Task, name: str, family: Family, settings: dict[str, Any]) -> Card:
    made = Resources() if family == "prompt" else Resources(labels=40, cpu_s=3.0)
    notes: dict[str, Any] = {"c": 10.0, "validation_accuracy": 0.8}
    if settings:
        notes = {"certificate": settings["certificate"], "prompt_stage": "answers where it is sure"}
    labels, fields = task.labels, ("text",)
    return Card(name, f"{name}-print", family, {}, labels, task.instruction, fields, made, frozenset(), notes, settings)


def result_of(
    task: Task, rows: Dataset, name: str, family: Family, answers: Sequence[Prediction], settings: Any = None
) -> CandidateResult:
    traits = {"deterministic": True, "remote": False, "data_leaves_machine": False}
    seconds = () if family == "human" else (0.010, 0.020, 0.030)
    scores = score(answers, rows.outputs, seconds, 0.97)
    return CandidateResult(name, card_of(task, name, family, settings or {}), traits, tuple(answers), seconds, scores)


def evaluation_of(task: Task, rows: Dataset, names: Sequence[str] = ()) -> Evaluation:
    """Six candidates; `names` replace theirs."""
    made: list[tuple[str, Family, list[Prediction], Any]] = [
        ("svm", "baseline", said(task, rows, 0.75, 1), None),
        ("prompt", "prompt", said(task, rows, 0.72, 2, failed=3), None),
        ("encoder", "finetune", said(task, rows, 0.86, 3), None),
        ("frozen", "finetune", said(task, rows, 0.80, 4), None),
        ("layered", "layered", at_once(layered_answers(task, rows, 0.8)), rule(0.8).to_json()),
        ("human", "human", [Prediction(deferred=True)] * len(rows), None),
    ]
    called = list(names) or [name for name, *_ in made]
    results = tuple(
        result_of(task, rows, name, family, answers, settings)
        for name, (_, family, answers, settings) in zip(called, made, strict=True)
    )
    rights = {result.name: right_of(result.predictions, rows.outputs) for result in results}
    about = {"command": "tasklift evaluate", "at": "2026-11-24T10:00:00+0000", "machine": "a machine", "seed": 0}
    compared = compare(rights, results[0].name)
    return Evaluation("made-up", task, rows, results, results[0].name, compared, frozenset({"r1"}), about)


def economics_of(**changed: Any) -> Economics:
    """Uncertain in everything that may be, with machines that come in steps."""
    steps = [
        {"up_to_items_per_month": 30_000, "usd_per_year": 900},
        {"up_to_items_per_month": 10**6, "usd_per_year": 7000},
    ]
    given: dict[str, Any] = {
        "horizon_months": 24,
        "items_per_month": {"p10": 12_000, "p50": 20_000, "p90": 40_000},
        "error_usd": {"p10": 0.5, "p50": 1.0, "p90": 2.0},
        "review_usd": {"p10": 0.2, "p50": 0.3, "p90": 0.5},
        "changes_per_year": {"p10": 2, "p50": 5, "p90": 8},
        "options": {
            "prompt": {"cost_per_change_usd": 80, "review_share": {"p10": 0.02, "p50": 0.05, "p90": 0.1}},
            "encoder": {"setup_usd": {"p10": 2000, "p50": 4000, "p90": 9000}, "cost_per_change_usd": 900},
            "frozen": {"setup_usd": 1500, "capacity": steps, "cost_per_change_usd": 400},
            "layered": {"setup_usd": 6000, "upkeep_usd_per_year": 2000, "capacity_usd_per_year": 1200},
        },
    }
    return Economics.model_validate(given | changed)


@pytest.fixture(scope="session")
def making() -> SimpleNamespace:
    """The functions of this file, for tests."""
    return SimpleNamespace(
        task=task_of,
        rows=rows_of,
        rule=rule,
        layered_answers=layered_answers,
        result=result_of,
        evaluation=evaluation_of,
        economics=economics_of,
    )


@pytest.fixture(scope="session")
def evaluation() -> Evaluation:
    """The one that most tests look at."""
    task = task_of()
    return evaluation_of(task, rows_of(task))
