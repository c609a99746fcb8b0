"""From predictions to figures: accuracy, macro F1, failures, deferrals, and paired comparisons."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from tasklift.measure.metrics import Scores, compare, right_of, score
from tasklift.prediction import Prediction, Usage
from tasklift.stats.comparison import holm, mcnemar_midp
from tasklift.stats.intervals import paired_difference, wilson

DEFERRED = Prediction(deferred=True)
FAILED = Prediction.failed("server", "no answer")
NAN = float("nan")


def said(*outputs: str) -> list[Prediction]:
    return [Prediction(output=output) for output in outputs]


def scored(predictions: list[Prediction], expected: list[str], reviewer_accuracy: float = 0.9) -> Scores:
    return score(predictions, expected, [0.1, 0.2, 0.3], reviewer_accuracy)


def test_accuracy_is_right_among_answered_with_the_wilson_interval() -> None:
    found = scored([*said("a", "b", "a"), DEFERRED], ["a", "b", "b", "a"])
    assert found.accuracy == wilson(2, 3)
    assert (found.rows, found.answered, found.coverage) == (4, 3, 0.75)


def test_a_failed_row_is_answered_wrong_and_counted_by_kind() -> None:
    timeout = Prediction.failed("timeout", "too late")
    found = scored([*said("a"), FAILED, FAILED, timeout], ["a", "a", "b", "b"])
    assert found.accuracy == wilson(1, 4)
    assert found.failures == {"server": 2, "timeout": 1}
    assert found.valid == wilson(1, 4)


def test_a_deferred_row_is_valid_and_right_at_the_declared_accuracy() -> None:
    found = scored([*said("a", "b"), DEFERRED, DEFERRED], ["a", "a", "a", "b"])
    assert found.valid == wilson(4, 4)
    assert found.system_accuracy == pytest.approx((1 + 2 * 0.9) / 4)
    assert right_of([DEFERRED, *said("a")], ["a", "a"]).tolist() == pytest.approx([NAN, 1.0], nan_ok=True)


def test_where_everything_is_deferred_there_is_no_accuracy() -> None:
    found = scored([DEFERRED] * 3, ["a", "b", "a"])
    assert (found.accuracy, found.macro_f1, found.ece, found.brier) == (None, None, None, None)
    assert (found.coverage, found.system_accuracy) == (0.0, pytest.approx(0.9))


def test_macro_f1_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    expected = [str(label) for label in rng.choice(["a", "b", "c"], 200, p=[0.6, 0.3, 0.1])]
    answers = [label if rng.random() < 0.7 else str(rng.choice(["a", "b", "c"])) for label in expected]
    found = scored(said(*answers), expected)
    assert found.macro_f1 is not None
    assert found.macro_f1.value == pytest.approx(f1_score(expected, answers, average="macro"), abs=1e-12)
    assert found.macro_f1.low < found.macro_f1.value < found.macro_f1.high


def test_macro_f1_looks_at_the_labels_that_occur_and_at_answered_rows() -> None:
    answers = [*said("a", "z", "b"), DEFERRED, FAILED]
    expected = ["a", "a", "b", "c", "b"]
    found = scored(answers, expected)
    assert found.macro_f1 is not None
    assert found.macro_f1.value == pytest.approx((2 / 3 + 2 / 3) / 2)


def test_macro_f1_does_not_change_from_run_to_run() -> None:
    answers, expected = said(*"aabbcabcab"), list("abbbcaacab")
    assert scored(answers, expected).macro_f1 == scored(answers, expected).macro_f1


def test_calibration_looks_at_answers_with_a_confidence() -> None:
    answers = [
        Prediction(output="a", confidence=0.9),
        Prediction(output="a", confidence=0.6),
        Prediction(output="b"),
        Prediction(deferred=True, confidence=0.3),
    ]
    found = scored(answers, ["a", "b", "b", "a"])
    assert found.brier == pytest.approx((0.1**2 + 0.6**2) / 2)
    assert found.ece == pytest.approx((0.1 + 0.6) / 2)
    assert scored(said("a"), ["a"]).ece is None


def test_quantities_are_added_and_latencies_are_those_of_single_requests() -> None:
    used = Prediction(output="a", usage=Usage(calls=1, input_tokens=10, cpu_s=0.5), latency_s=9.0)
    found = score([used, used], ["a", "a"], [0.1, 0.2, 0.4], 0.97)
    assert found.usage == Usage(calls=2, input_tokens=20, cpu_s=1.0)
    assert (found.latency_p50_s, found.latency_p95_s) == (pytest.approx(0.2), pytest.approx(0.38))
    assert score([used], ["a"], [], 0.97).latency_p95_s is None


def test_the_share_without_a_model_is_only_told_where_somebody_keeps_count() -> None:
    noted = [Prediction(output="a", notes={"skipped_model": skipped}) for skipped in (True, True, False, True)]
    assert scored(noted, ["a"] * 4).skipped_model == 0.75
    assert scored(said("a"), ["a"]).skipped_model is None


# Comparisons


def test_a_comparison_holds_difference_mcnemar_and_holm() -> None:
    base = np.array([1.0] * 30 + [0.0] * 30)
    better, worse = base.copy(), base.copy()
    better[30:45], worse[:4] = 1.0, 0.0
    found = compare({"base": base, "better": better, "worse": worse}, "base")
    p = {"better": mcnemar_midp(15, 0), "worse": mcnemar_midp(0, 4)}
    assert set(found) == {"better", "worse"}
    assert found["better"].difference == paired_difference(15, 0, 60)
    assert found["worse"].difference == paired_difference(0, 4, 60)
    assert {name: row.p for name, row in found.items()} == p
    assert {name: row.p_holm for name, row in found.items()} == holm(p)


def test_deferred_rows_never_enter_a_paired_test() -> None:
    base = np.array([1.0, 0.0, NAN, 1.0, 0.0, 1.0])
    other = np.array([0.0, 1.0, 1.0, NAN, NAN, 1.0])
    found = compare({"base": base, "other": other}, "base")["other"]
    assert found.rows == 3
    assert found.difference == paired_difference(1, 1, 3)


def test_what_answered_no_common_row_is_not_compared() -> None:
    found = compare({"base": np.array([1.0, 0.0]), "human": np.array([NAN, NAN])}, "base")
    assert found == {}
