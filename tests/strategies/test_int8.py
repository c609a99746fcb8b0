"""An encoder that answers in eight bits: near the float32 one, never silently, and the same after saving."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra [local] is not installed")
pytest.importorskip("onnx", reason="the extra [int8] is not installed")
pytest.importorskip("onnxruntime", reason="the extra [int8] is not installed")

from tasklift.contracts import check_strategy
from tasklift.data.int8 import Int8
from tasklift.data.pretrained import BUNDLED, open_pretrained
from tasklift.dataset import Dataset
from tasklift.errors import StrategyError
from tasklift.strategies.artifact import read_card
from tasklift.strategies.encoder import Encoder
from tasklift.strategies.fitting import load_candidate
from tasklift.strategy import Context
from tasklift.task import Task


def test_vectors_are_near_those_in_float32() -> None:
    encoder = open_pretrained(BUNDLED)
    rows = encoder.token_ids(["my card was declined", "where is the nearest branch", "a frog on my desk"])
    fast, plain = Int8(encoder).row_vectors(rows), encoder.pooled(rows).detach().numpy()
    assert np.linalg.norm(fast, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    assert (fast * plain).sum(axis=1).min() > 0.9


def test_a_candidate_answers_in_int8_where_its_recipe_says_so(
    colours: Task, colour_rows: Dataset, tmp_path: Path
) -> None:
    plain = Encoder(max_epochs=1, folds=1)
    assert "precision" not in plain.parameters()
    candidate = plain.fit(colours, colour_rows)
    candidate.save(tmp_path / "plain")
    card = read_card(tmp_path / "plain")
    fast = Encoder.load(tmp_path / "plain", replace(card, parameters={**card.parameters, "precision": "int8"}))
    inputs = colour_rows.inputs[:12]
    said, again = (asyncio.run(one.predict(inputs, Context())) for one in (candidate, fast))
    assert candidate.traits.deterministic
    assert not fast.traits.deterministic  # last digits depend on the batch
    assert [one.output for one in said] == [one.output for one in again]
    texts = [row["text"] for row in inputs]
    assert not np.array_equal(candidate.vectors(texts), fast.vectors(texts))  # type: ignore[union-attr]


def test_int8_obeys_the_laws(colours: Task, colour_rows: Dataset) -> None:
    recipe = Encoder(max_epochs=1, folds=1, precision="int8")
    check_strategy(recipe, colours, colour_rows, colour_rows.inputs[:4], load=load_candidate)


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(StrategyError, match="float32 or int8"):
        Encoder(precision="int4")
