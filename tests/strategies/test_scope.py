"""How much an input looks like the training rows, and what is left to a person because of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasklift.contracts import check_strategy
from tasklift.dataset import Dataset, Example
from tasklift.errors import StrategyError
from tasklift.measure.evaluation import Options, evaluate
from tasklift.prediction import Prediction
from tasklift.strategies.fitting import load_candidate
from tasklift.strategies.frozen import FrozenEncoder
from tasklift.strategies.scope import Scope, energy
from tasklift.strategy import Candidate, Context
from tasklift.task import Task

OUTSIDE = ("how do I cancel my subscription", "the train to Lisbon was late again", "quarterly interest of 4 percent")


def _frozen(**parameters: Any) -> FrozenEncoder:
    return FrozenEncoder(embedder="static", **parameters)


def _said(candidate: Candidate, *texts: str) -> list[Prediction]:
    return asyncio.run(candidate.predict([{"text": text} for text in texts], Context()))


def test_in_scope_is_a_share_of_held_out_rows() -> None:
    rng = np.random.default_rng(0)
    scope = Scope.of(rng.normal(size=(999, 5)))
    fresh = scope(rng.normal(size=(5000, 5)))
    for share in (0.05, 0.2, 0.5):
        assert (fresh <= share).mean() == pytest.approx(share, abs=0.03)  # uniform for rows of the same kind
    assert scope(np.full((1, 5), -50.0)).tolist() == [0.001]
    assert scope(np.full((1, 5), 50.0)).tolist() == [1.0]


def test_energy_is_the_log_of_the_sum() -> None:
    assert energy(np.zeros((1, 4))).tolist() == [pytest.approx(np.log(4), abs=1e-4)]


def test_what_is_unlike_the_training_rows_scores_low(colours: Task, colour_rows: Dataset) -> None:
    candidate = _frozen().fit(colours, colour_rows)
    inside = [p.notes["in_scope"] for p in _said(candidate, "a frog on my desk", "a ruby at the market")]
    outside = [p.notes["in_scope"] for p in _said(candidate, *OUTSIDE)]
    assert max(outside) < min(inside)
    assert all(0 < value <= 1 for value in inside + outside)


def test_out_of_scope_rows_are_left_to_a_person(colours: Task, colour_rows: Dataset, tmp_path: Path) -> None:
    candidate = _frozen(out_of_scope=0.25).fit(colours, colour_rows)
    candidate.save(tmp_path / "saved")
    for asked in (candidate, load_candidate(tmp_path / "saved")):
        inside, outside = _said(asked, "a frog on my desk", OUTSIDE[1])
        assert inside.output == "green"
        assert outside.deferred
        assert outside.confidence is None
        assert outside.notes["abstained"]
        assert outside.children[0].output in colours.labels  # a suggestion for the person


def test_an_evaluation_counts_what_was_left_to_a_person(colours: Task, colour_rows: Dataset, tmp_path: Path) -> None:
    train = colour_rows.part((row for at, row in enumerate(colour_rows) if at % 3), "train")
    inside = [row for at, row in enumerate(colour_rows) if at % 3 == 0]
    rows = Dataset((*inside, *(Example(text, {"text": text}, "red") for text in OUTSIDE)), name="test")
    found = evaluate(colours, {"frozen": _frozen(out_of_scope=0.4)}, train, rows, Options(folder=tmp_path))
    scores = found.result("frozen").scores
    assert scores.abstained == round((1 - scores.coverage) * len(rows)) > 0


def test_fingerprints_without_the_parameter_are_those_of_before(colours: Task, colour_rows: Dataset) -> None:
    assert "out_of_scope" not in _frozen().parameters()
    assert _frozen(out_of_scope=0.05).parameters()["out_of_scope"] == 0.05
    prints = {_frozen(out_of_scope=share).fingerprint(colours, colour_rows) for share in (0.0, 0.05, 0.1)}
    assert len(prints) == 3


def test_an_artifact_of_before_says_nothing_of_scope(colours: Task, colour_rows: Dataset) -> None:
    candidate = _frozen().fit(colours, colour_rows)
    assert not isinstance(candidate, type(None))
    candidate.scope = None  # type: ignore[union-attr]
    assert _said(candidate, "a frog on my desk")[0].notes == {}


@pytest.mark.parametrize(("share", "message"), [(-0.1, "between 0 and 0.5"), (0.9, "between 0 and 0.5")])
def test_a_share_that_makes_no_sense_is_refused(share: float, message: str) -> None:
    with pytest.raises(StrategyError, match=message):
        _frozen(out_of_scope=share)


def test_a_share_that_the_rows_cannot_tell_is_refused(colours: Task, colour_rows: Dataset) -> None:
    with pytest.raises(StrategyError, match="cannot be told from 60 held-out rows"):
        _frozen(out_of_scope=0.01).fit(colours, colour_rows)


def test_a_refusing_strategy_obeys_the_laws(colours: Task, colour_rows: Dataset) -> None:
    inputs = [*colour_rows.inputs[:6], *({"text": text} for text in OUTSIDE)]
    check_strategy(_frozen(out_of_scope=0.1), colours, colour_rows, inputs, load=load_candidate)
