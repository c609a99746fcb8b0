"""Predictions: from probabilities, and to JSON and back."""

from __future__ import annotations

import json

import pytest

from tasklift.prediction import TOP_K, Failure, Prediction, Usage

FULL = Prediction(
    output="red",
    scores={"red": 0.75, "blue": 0.25},
    confidence=0.75,
    usage=Usage(calls=1, input_tokens=20, cached_tokens=5, output_tokens=2, cpu_s=0.25, gpu_s=0.5),
    latency_s=0.125,
    children=(Prediction("blue", confidence=0.5), Prediction.failed("timeout", "too late")),
    notes={"stage": "core", "skipped_model": False, "chosen": [1, 2]},
    citations=({"document": "a.md", "chunk": 2, "start": 40, "end": 90},),
    tool_calls=({"name": "look_up", "arguments": {"id": 7}},),
)


def stored(found: Prediction) -> Prediction:
    return Prediction.from_json(json.loads(json.dumps(found.to_json())))


def test_the_most_probable_label_wins_with_rounded_scores() -> None:
    found = Prediction.from_probabilities({"red": 1 / 3, "green": 2 / 3, "blue": 0.0})
    assert (found.output, found.confidence) == ("green", 0.666667)
    assert list((found.scores or {}).items()) == [("green", 0.666667), ("red", 0.333333), ("blue", 0.0)]


def test_a_tie_goes_to_the_first_label_also_after_rounding() -> None:
    assert Prediction.from_probabilities({"red": 0.5, "green": 0.5}).output == "red"
    assert Prediction.from_probabilities({"red": 0.5 - 1e-9, "green": 0.5 + 1e-9}).output == "red"


def test_only_the_best_scores_are_kept() -> None:
    found = Prediction.from_probabilities({f"label{n}": n / 45 for n in range(10)})
    assert list(found.scores or {}) == [f"label{n}" for n in (9, 8, 7, 6, 5)][:TOP_K]
    assert len(found.scores or {}) == TOP_K


def test_further_fields_are_taken_along() -> None:
    found = Prediction.from_probabilities({"red": 1.0}, latency_s=2.0, notes={"a": 1})
    assert (found.latency_s, found.notes) == (2.0, {"a": 1})


def test_a_failure_has_no_answer() -> None:
    found = Prediction.failed("timeout", "too late", latency_s=1.0)
    assert found.error == Failure("timeout", "too late")
    assert (found.output, found.confidence, found.deferred, found.latency_s) == (None, None, False, 1.0)


def test_other_quantities_leave_the_answer_as_it_is() -> None:
    found = FULL.with_timing(Usage(calls=9), 3.0)
    assert (found.usage.calls, found.latency_s) == (9, 3.0)
    assert found.with_timing(FULL.usage, FULL.latency_s) == FULL


def test_usage_adds_up() -> None:
    one, other = Usage(1, 2, 3, 4, 5.0, 6.0), Usage(10, 20, 30, 40, 50.0, 60.0)
    assert one + other == Usage(11, 22, 33, 44, 55.0, 66.0)
    assert sum([one, other], Usage()) == other + one


@pytest.mark.parametrize(
    "found",
    [
        Prediction(),
        FULL,
        Prediction("red"),
        Prediction("red", confidence=1.0),
        Prediction(deferred=True, confidence=0.25, children=(FULL, Prediction(deferred=True))),
        Prediction.failed("empty_input", "the input has no text"),
        Prediction({"amount": 0, "lines": []}),
        Prediction("Grün ✓ \u2028"),
    ],
)
def test_what_is_stored_is_read_again(found: Prediction) -> None:
    assert stored(found) == found


@pytest.mark.parametrize("found", [Prediction(deferred=True, confidence=0.0), Prediction(0), Prediction("")])
def test_zero_is_stored_like_any_other_number(found: Prediction) -> None:
    assert stored(found) == found


def test_empty_fields_are_left_out() -> None:
    assert Prediction("red").to_json() == {"output": "red", "usage": {}, "latency_s": 0.0}
    assert FULL.to_json()["usage"] == {
        "calls": 1,
        "input_tokens": 20,
        "cached_tokens": 5,
        "output_tokens": 2,
        "cpu_s": 0.25,
        "gpu_s": 0.5,
    }


def test_seconds_are_rounded_when_stored() -> None:
    assert stored(Prediction("red", latency_s=1 / 3)).latency_s == 0.333333


def test_fields_of_a_newer_version_are_ignored() -> None:
    row = FULL.to_json() | {"mood": "good"}
    row["children"][0]["mood"] = "bad"
    assert Prediction.from_json(row) == FULL


def test_a_row_without_anything_is_an_empty_prediction() -> None:
    assert Prediction.from_json({}) == Prediction()
