"""The linear head on frozen sentence vectors."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from tasklift.dataset import Dataset
from tasklift.errors import ConfigError, StrategyError
from tasklift.strategies.classifier import taught
from tasklift.strategies.frozen import FrozenEncoder
from tasklift.strategies.heads import OneLabel, choose_crossed, choose_held_out, fit_head, one_thread
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


def test_a_label_with_one_row_does_not_make_the_others_unsure() -> None:
    """The head that judges its only row cannot know it: the temperature is that of rows whose label could be known."""
    draw = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], 30)
    vectors = (np.eye(8)[truth] + draw.normal(scale=0.6, size=(90, 8))).astype(np.float32)
    folds = np.arange(90) % 3
    single = (np.eye(8)[[3, 4, 5, 6, 7]] + draw.normal(scale=0.6, size=(5, 8))).astype(np.float32)
    rows = np.concatenate([vectors, single]), np.concatenate([truth, [3, 4, 5, 6, 7]])
    folds = np.concatenate([folds, [0, 1, 2, 0, 1]])
    plan, scores = choose_crossed(OneLabel(8), rows, None, folds, (3.0,))
    assert plan.temperature == pytest.approx(OneLabel(8).temperature(scores[:90], truth))
    assert OneLabel(8).temperature(scores, rows[1]) > 2 * plan.temperature  # what it was when they counted


def test_a_row_is_taught_where_its_label_stands_in_another_fold() -> None:
    truth, folds = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 0])
    assert taught(truth, folds).tolist() == [True, True, False, False, False]
    assert taught(truth[:, None], folds).all()  # not one label: all count


def test_a_fit_takes_one_thread_and_gives_the_others_back() -> None:
    def threads() -> set[int]:
        return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}

    before = threads()
    with one_thread():
        assert threads() <= {1}
    assert threads() == before


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
