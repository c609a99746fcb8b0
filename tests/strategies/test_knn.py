"""Neighbours: how they are found, how they vote, and which parameters are refused."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasklift.data.nearest import nearest
from tasklift.dataset import Dataset
from tasklift.errors import ConfigError, StrategyError
from tasklift.strategies.fitting import load_candidate
from tasklift.strategies.knn import Knn, Vote
from tasklift.strategy import Context
from tasklift.task import Task

#: Unit vectors at these angles (degrees) around a circle.
ANGLES = np.array([0.0, 10.0, 80.0, 90.0, 180.0])


def circle(degrees: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    radians = np.deg2rad(np.asarray(degrees, dtype=np.float64))
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def test_nearest_rows_come_first_and_ties_by_row_order() -> None:
    index, similarity = nearest(circle([2.0, 45.0]), circle(ANGLES), 3)
    assert index.tolist() == [[0, 1, 2], [1, 2, 0]]
    assert similarity[0].tolist() == pytest.approx(np.cos(np.deg2rad([2, 8, 78])).tolist(), abs=1e-6)


def test_more_neighbours_than_rows_are_all_rows() -> None:
    index, _ = nearest(circle([0.0]), circle([20.0, 10.0]), 9)
    assert index.tolist() == [[1, 0]]


@pytest.mark.parametrize("block", [1, 2, 512])
def test_blocks_do_not_change_what_is_found(block: int) -> None:
    queries = circle(np.linspace(0, 360, 7))
    assert nearest(queries, circle(ANGLES), 4, block)[0].tolist() == nearest(queries, circle(ANGLES), 4)[0].tolist()


def test_no_queries_find_nothing() -> None:
    index, similarity = nearest(circle([]), circle(ANGLES), 3)
    assert index.shape == similarity.shape == (0, 3)


def test_the_nearer_neighbour_outvotes_the_farther() -> None:
    vote = Vote(circle([0.0, 30.0]), np.array([2, 0]), k=2, sharpness=0.1, temperature=1.0, labels=3)
    (row,) = vote(circle([5.0]))
    assert row.argmax() == 2
    assert row.sum() == pytest.approx(1)
    assert 0 < row[1] < row[0] < row[2]


def test_small_sharpness_trusts_the_nearest_more() -> None:
    def share(sharpness: float) -> float:
        vote = Vote(circle([0.0, 30.0, 31.0]), np.array([0, 1, 1]), 3, sharpness, 1.0, 2)
        return float(vote(circle([0.0]))[0, 0])

    assert share(0.01) > 0.9 > share(1.0)
    assert share(1.0) < 0.5


def test_words_of_the_rows_are_found_and_the_choice_is_noted(colours: Task, colour_rows: Dataset) -> None:
    candidate = Knn(embedder="static", neighbours=(1, 3), sharpness=(0.05,)).fit(colours, colour_rows)
    inputs = [{"text": "a tomato over here"}, {"text": "a frog in a box"}, {"text": "my denim"}]
    answers = asyncio.run(candidate.predict(inputs, Context()))
    assert [found.output for found in answers] == ["red", "green", "blue"]
    assert candidate.notes["k"] in (1, 3)
    assert candidate.notes["sharpness"] == 0.05
    assert candidate.family == "baseline"


def test_a_saved_candidate_gives_the_same_scores(tmp_path: Path, colours: Task, colour_rows: Dataset) -> None:
    candidate = Knn(embedder="static").fit(colours, colour_rows)
    candidate.save(tmp_path / "kept")

    async def scores(asked: Any) -> list[Any]:
        return [found.scores for found in await asked.predict(colour_rows.inputs, Context())]

    assert asyncio.run(scores(candidate)) == asyncio.run(scores(load_candidate(tmp_path / "kept")))


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"neighbours": ()}, r"knn: neighbours=\(\) must be positive"),
        ({"neighbours": (5, 0)}, r"knn: neighbours=\(5, 0\) must be positive"),
        ({"sharpness": (-0.1,)}, r"knn: sharpness=\(-0.1,\) must be positive"),
        ({"sharpness": ()}, r"knn: sharpness=\(\) must be positive"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(StrategyError, match=said):
        Knn(**parameters)


def test_an_unknown_embedder_is_refused_with_the_known_ones(colours: Task, colour_rows: Dataset) -> None:
    with pytest.raises(ConfigError, match="no embedder is called 'word2vec'; known: minilm, huggingface, static"):
        Knn(embedder="word2vec").fit(colours, colour_rows)
