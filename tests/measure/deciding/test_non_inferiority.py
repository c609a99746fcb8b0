"""Is one option no worse than another by more than a margin?"""

from __future__ import annotations

import numpy as np
import pytest
from made_up import economics, evidence, right
from pydantic import ValidationError

from tasklift.measure.deciding.non_inferiority import non_inferior
from tasklift.stats.intervals import paired_difference


def test_the_bound_is_that_of_the_paired_difference() -> None:
    found = non_inferior(evidence({"a": right(400, 20), "b": right(400, 24, 10)}), "a", ["b"], economics())["a vs b"]
    assert found.low == pytest.approx(paired_difference(14, 10, 400, confidence=0.9).low)
    assert (found.rows, found.margin) == (400, 0.02)


def test_an_equally_good_option_is_no_worse_once_there_are_rows_enough() -> None:
    for rows, shown in ((100, False), (4000, True)):
        scores = {"a": right(rows, rows // 10), "b": right(rows, rows // 10, first=rows // 2)}
        assert non_inferior(evidence(scores), "a", ["b"], economics(margin=0.03))["a vs b"].answer == shown


def test_each_slice_has_its_margin_and_all_questions_share_one_level() -> None:
    slices = tuple({"language": "de" if at % 2 else "en"} for at in range(400))
    found = evidence({"a": right(400, 20), "b": right(400, 24)}, slices=slices)
    answer = non_inferior(found, "a", ["b"], economics(margin_by_slice={"de": 0.1}))["a vs b"]
    assert {name: one.margin for name, one in answer.slices.items()} == {"language=de": 0.1, "language=en": 0.02}
    assert answer.slices["language=en"].rows == 200
    asked = [answer, *answer.slices.values()]
    assert max(one.p for one in asked) == max(one.p_holm for one in asked)
    assert min(one.p_holm for one in asked) == pytest.approx(3 * min(one.p for one in asked))


def test_small_slices_are_left_out() -> None:
    slices = tuple({"language": "de" if at < 5 else "en"} for at in range(100))
    found = evidence({"a": right(100, 2), "b": right(100, 4)}, slices=slices)
    assert set(non_inferior(found, "a", ["b"], economics())["a vs b"].slices) == {"language=en"}


def test_rows_of_a_cluster_widen_the_bound() -> None:
    rng = np.random.default_rng(0)
    scores = {name: np.repeat(rng.random(40) > 0.1, 10).astype(float).tolist() for name in "ab"}
    clusters = tuple(f"c{at // 10}" for at in range(400))
    apart, together = (
        non_inferior(evidence(scores, clusters=some), "a", ["b"], economics())["a vs b"] for some in (None, clusters)
    )
    assert together.low < apart.low - 0.02


def test_the_level_is_kept_where_the_option_is_just_too_bad() -> None:
    """True difference exactly minus the margin: 5% of the answers may be yes."""
    rng = np.random.default_rng(1)
    yes = 0
    for _ in range(1000):
        kind = rng.choice(3, size=300, p=[0.05, 0.10, 0.85])
        scores = {"a": (kind != 1).astype(float).tolist(), "b": (kind != 0).astype(float).tolist()}
        yes += non_inferior(evidence(scores), "a", ["b"], economics(margin=0.05))["a vs b"].answer
    assert 20 <= yes <= 70


def test_each_metric_has_its_margin_and_all_questions_share_one_level() -> None:
    expected = tuple(["red", "green"][at % 2] for at in range(400))
    scores = {"a": right(400, 20), "b": right(400, 24)}
    said = {
        name: {"outputs": tuple(y if s else "blue" for y, s in zip(expected, scores[name], strict=True))}
        for name in scores
    }
    said["a"] |= {"failed": np.arange(400) < 20}
    found = evidence(scores, expected=expected, **said)
    money = economics(margin=0.05, margin_by_metric={"macro_f1": 0.05, "valid_outputs": 0.01})
    answer = non_inferior(found, "a", ["b"], money)["a vs b"]
    f1, valid = answer.metrics["macro_f1"], answer.metrics["valid_outputs"]
    assert (answer.answer, f1.answer, valid.answer) == (True, True, False)
    assert f1.low == pytest.approx(answer.low, abs=0.01)  # labels are even, so the two metrics nearly agree
    assert valid.low < -0.05 + 0.001
    asked = [answer, f1, valid]
    assert min(one.p_holm for one in asked) == pytest.approx(3 * min(one.p for one in asked))
    assert set(answer.to_json()["metrics"]) == {"macro_f1", "valid_outputs"}


def test_a_metric_that_cannot_be_measured_is_not_asked_about_and_an_unknown_one_is_refused() -> None:
    scores = {"a": right(100, 2), "b": right(100, 4)}
    plain = non_inferior(evidence(scores), "a", ["b"], economics(margin_by_metric={"macro_f1": 0.02}))["a vs b"]
    assert plain.metrics == {}
    with pytest.raises(ValidationError):
        economics(margin_by_metric={"bleu": 0.02})
