"""The linear head on frozen sentence vectors."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from tasklift.dataset import Dataset
from tasklift.errors import ConfigError, StrategyError
from tasklift.strategies.frozen import FrozenEncoder
from tasklift.strategies.heads import OneLabel, choose_held_out, fit_head
from tasklift.strategy import Context
from tasklift.task import Task


def clouds(labels: list[int], size: int = 12, seed: int = 0) -> tuple[Any, Any]:
    """`size` vectors around a corner of its own for each label."""
    draw = np.random.default_rng(seed)
    truth = np.repeat(labels, size)
    vectors = np.eye(4)[truth] + draw.normal(scale=0.1, size=(len(truth), 4))
    return vectors.astype(np.float32), truth.astype(np.int64)


@pytest.mark.parametrize("labels", [[0, 1, 2], [0, 2], [1, 3]])
def test_a_head_learns_the_labels_it_saw(labels: list[int]) -> None:
    head = fit_head(OneLabel(4), clouds(labels), 10.0)
    vectors, truth = clouds(labels, seed=1)
    probabilities = head(vectors)
    assert probabilities.argmax(1).tolist() == truth.tolist()
    assert probabilities.sum(1) == pytest.approx(np.ones(len(truth)))


def test_two_labels_have_the_probabilities_of_the_two_class_regression() -> None:
    from_two = fit_head(OneLabel(2), clouds([0, 1]), 1.0)
    vectors, _ = clouds([0, 1], seed=1)
    margin = vectors @ (from_two.weights[1] - from_two.weights[0]) + from_two.bias[1] - from_two.bias[0]
    assert from_two(vectors)[:, 1] == pytest.approx(1 / (1 + np.exp(-margin)), abs=1e-5)


def test_labels_without_a_row_never_win() -> None:
    head = fit_head(OneLabel(4), clouds([0, 2]), 100.0)
    probabilities = head(clouds([1, 3])[0])
    assert (probabilities[:, [1, 3]] > 0).all()
    assert probabilities[:, [1, 3]].max() < 1e-6


def test_the_smaller_strength_is_taken_on_a_tie() -> None:
    plan, _ = choose_held_out(OneLabel(2), clouds([0, 1]), clouds([0, 1], seed=1), (30.0, 1.0, 3.0))
    assert (plan.strength, plan.accuracy) == (1.0, 1.0)
    assert plan.temperature > 0


def test_words_are_learnt_and_the_choice_is_noted(colours: Task, colour_rows: Dataset) -> None:
    candidate = FrozenEncoder(embedder="static", strengths=(3.0, 30.0)).fit(colours, colour_rows)
    inputs = [{"text": "a tomato"}, {"text": "moss and grass"}, {"text": "the ocean"}]
    answers = asyncio.run(candidate.predict(inputs, Context()))
    assert [found.output for found in answers] == ["red", "green", "blue"]
    assert candidate.notes["c"] in (3.0, 30.0)
    assert candidate.notes["validation_accuracy"] >= 0.9
    assert candidate.family == "finetune"


def test_half_a_surrogate_pair_and_long_texts_spoil_no_neighbour(colours: Task, colour_rows: Dataset) -> None:
    candidate = FrozenEncoder(embedder="static").fit(colours, colour_rows)
    inputs = [{"text": "a tomato"}, {"text": "\udc00 moss"}, {"text": "ocean " * 5_000}, {"text": "\x00 frog"}]
    answers = asyncio.run(candidate.predict(inputs, Context()))
    assert [found.output for found in answers] == ["red", "green", "blue", "green"]


@pytest.mark.parametrize("strengths", [(), (0.0,), (3.0, -1.0)])
def test_strengths_that_are_not_positive_are_refused(strengths: tuple[float, ...]) -> None:
    with pytest.raises(StrategyError, match=r"frozen: strengths=.* must be positive"):
        FrozenEncoder(strengths=strengths)


def test_an_unknown_embedder_is_refused_with_the_nearest(colours: Task, colour_rows: Dataset) -> None:
    with pytest.raises(ConfigError, match="no embedder is called 'statik'; did you mean 'static'"):
        FrozenEncoder(embedder="statik").fit(colours, colour_rows)


def test_the_embedder_and_the_parameters_enter_the_fingerprint(colours: Task, colour_rows: Dataset) -> None:
    some = [
        FrozenEncoder(embedder="static"),
        FrozenEncoder(embedder="static", seed=1),
        FrozenEncoder(embedder="static", strengths=(1.0,)),
    ]
    assert len({strategy.fingerprint(colours, colour_rows) for strategy in some}) == 3
