"""Several labels and numbers, by linear heads and the fine-tuned encoder."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from made_up_tasks import rows_of, task_of

from tasklift.contracts import check_strategy
from tasklift.dataset import Dataset, Example
from tasklift.errors import StrategyError
from tasklift.strategies.baseline import Baseline
from tasklift.strategies.fitting import load_candidate
from tasklift.strategies.frozen import FrozenEncoder
from tasklift.strategies.heads import OneNumber, SomeLabels, micro_f1
from tasklift.strategies.targets import Reading, Target
from tasklift.strategy import Context, Strategy
from tasklift.task import Number

LINEAR: list[Strategy] = [Baseline(), FrozenEncoder(embedder="static")]
INPUTS = [{"text": "the lift is stuck"}, {"text": "water drips"}, {"text": "no heating"}, {"text": "thanks"}]


@pytest.mark.parametrize("kind", ["labels", "number"])
@pytest.mark.parametrize("strategy", LINEAR, ids=lambda strategy: strategy.name)
def test_linear_models_keep_the_laws_for_other_kinds(strategy: Strategy, kind: str) -> None:
    check_strategy(strategy, task_of(kind), rows_of(kind, 5), INPUTS, load=load_candidate)


@pytest.mark.parametrize("strategy", LINEAR, ids=lambda strategy: strategy.name)
def test_several_labels_are_learnt_with_how_sure_they_are(strategy: Strategy) -> None:
    rows = rows_of("labels", 5)
    answers = asyncio.run(strategy.fit(task_of("labels"), rows).predict(rows.inputs, Context()))
    assert np.mean([answer.output == row.output for answer, row in zip(answers, rows, strict=True)]) > 0.9
    assert all(0 < (answer.confidence or 0) < 1 for answer in answers)


@pytest.mark.parametrize("strategy", LINEAR, ids=lambda strategy: strategy.name)
def test_numbers_are_learnt_and_stay_in_their_range(strategy: Strategy) -> None:
    rows = rows_of("number", 5)
    answers = asyncio.run(strategy.fit(task_of("number"), rows).predict(rows.inputs, Context()))
    assert np.mean([abs(answer.output - row.output) for answer, row in zip(answers, rows, strict=True)]) < 10
    assert all(isinstance(answer.output, int) and 0 <= answer.output <= 100 for answer in answers)


def test_rows_that_abstain_from_a_number_are_refused_with_what_can_abstain() -> None:
    odd = Example("odd", {"text": "no number here"}, {"abstain": True})
    task = task_of("number").model_copy(update={"output": Number(kind="number", may_abstain=True)})
    with pytest.raises(StrategyError, match=r"1 training rows hold no number .*or use knn, prompt or fewshot"):
        Target.of(task, Dataset((*rows_of("number"), odd)), "frozen")


def test_labels_that_never_vary_keep_a_constant_score() -> None:
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(30, 4)).astype(np.float32)
    truth = np.stack([np.ones(30), np.zeros(30), vectors[:, 0] > 0], axis=1).astype(float)
    (head,) = SomeLabels(3).path((vectors, truth), [10.0])
    scores = head.scores(vectors)
    assert (scores[:, 0] > 0).all()
    assert (scores[:, 1] < 0).all()
    assert micro_f1(scores > 0, truth) > 0.95


def test_a_number_is_as_sure_as_the_held_out_numbers_near_it() -> None:
    held_out = {"scores": np.linspace(0, 1, 200).tolist(), "right": [1.0] * 100 + [0.0] * 100}
    reading = Reading(centre=50, scale=10, held_out=held_out)
    numbers, sure = reading.of(Number(kind="number"), np.array([[0.1], [0.9]]))
    assert numbers == [51, 59]
    assert sure == pytest.approx([51 / 52, 1 / 52])


def test_a_ridge_regression_follows_a_line() -> None:
    vectors = np.linspace(-1, 1, 50, dtype=np.float32)[:, None]
    (head,) = OneNumber().path((vectors, 2.0 * vectors), [100.0])
    assert OneNumber().quality(head.scores(vectors), 2.0 * vectors) > -0.01


@pytest.mark.parametrize(("kind", "folds"), [("labels", 1), ("labels", 2), ("number", 2)])
def test_the_encoder_is_tuned_for_several_labels_and_numbers(tiny_encoder: Any, kind: str, folds: int) -> None:
    encoder = pytest.importorskip("tasklift.strategies.encoder")
    strategy = encoder.Encoder(base_model=str(tiny_encoder), folds=folds, max_epochs=2, learning_rate=5e-3)
    check_strategy(strategy, task_of(kind), rows_of(kind, 5), INPUTS, load=load_candidate)
