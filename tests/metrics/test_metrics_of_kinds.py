"""Metrics of each kind of output, by hand and against other implementations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_tasks import OUTPUTS, task_of
from sklearn.metrics import cohen_kappa_score, f1_score

from tasklift.errors import ConfigError, DataError
from tasklift.metrics.base import Cases, check_metrics, estimate, open_metric
from tasklift.metrics.faithfulness import facts_of
from tasklift.metrics.right import Accuracy, rule_of
from tasklift.metrics.rouge import longest_common, rouge_l
from tasklift.stats.bootstrap import paired_bootstrap
from tasklift.task import Right, Text

WORDS = st.lists(st.sampled_from("abcd"), max_size=12)


def cases(kind: str, answers: Sequence[Any], expected: Sequence[Any], **rest: Any) -> Cases:
    return Cases(answers, expected, OUTPUTS[kind], rest.pop("right", Right()), **rest)


def value(name: str, some: Cases) -> float:
    metric = open_metric(name, some.output.kind)
    return float(metric.measure(some)(np.ones((1, len(some))))[0])


def test_several_labels_are_right_as_a_set() -> None:
    some = cases("labels", [["light", "lift"], ["lift"], [], None], [["lift", "light"], ["water"], [], ["lift"]])
    assert Accuracy().rows(some).tolist() == [1, 0, 1, 0]
    # three labels named, four expected, two of them in both
    assert value("set_f1", some) == pytest.approx(2 * 2 / (3 + 4))


def test_f1_of_sets_is_that_of_scikit_learn() -> None:
    rng, names = np.random.default_rng(0), list(OUTPUTS["labels"].definitions)
    truth, said = rng.random((2, 50, len(names))) < 0.4
    some = cases(
        "labels", *([[n for n, is_in in zip(names, row, strict=True) if is_in] for row in x] for x in (said, truth))
    )
    assert value("set_f1", some) == pytest.approx(f1_score(truth, said, average="micro"))
    assert value("macro_label_f1", some) == pytest.approx(f1_score(truth, said, average="macro"))


def test_nothing_named_and_nothing_expected_is_perfect() -> None:
    assert value("set_f1", cases("labels", [[], []], [[], []])) == 1


def test_fields_count_with_their_values_and_absent_ones_do_not_count() -> None:
    said = [{"street": "Mill  Lane", "number": 4}, {"street": None, "number": 2}, None]
    expected = [{"number": 4.0, "street": "Mill Lane"}, {"number": 3}, {"street": "Old Road"}]
    some = cases("json", said, expected)
    assert Accuracy().rows(some).tolist() == [1, 0, 0]
    assert value("field_f1", some) == pytest.approx(2 * 2 / (3 + 4))


def test_entries_of_lists_and_inner_objects_count_one_by_one() -> None:
    some = cases("json", [{"a": ["x", "y"], "b": {"c": 1}}], [{"a": ["y", "z"], "b": {"c": 1}}])
    assert value("field_f1", some) == pytest.approx(2 * 2 / (3 + 3))


def test_a_number_is_right_within_a_tenth_of_the_range_or_as_the_task_says() -> None:
    said, expected = [50, 61, 70, None], [60, 50, 70, 0]
    assert Accuracy().rows(cases("number", said, expected)).tolist() == [1, 0, 1, 0]
    assert Accuracy().rows(cases("number", said, expected, right=Right(within=11))).tolist() == [1, 1, 1, 0]
    assert rule_of(task_of("number")) == "at most 10 away"


def test_a_failed_number_is_as_far_away_as_the_range_allows() -> None:
    assert value("mae", cases("number", [10, None], [20, 30])) == pytest.approx((10 + 70) / 2)


def test_quadratic_kappa_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 6, 80)
    said = np.clip(truth + rng.integers(-2, 3, 80), 0, 5)
    ours = value("quadratic_kappa", cases("number", said.tolist(), truth.tolist()))
    assert ours == pytest.approx(cohen_kappa_score(said, truth, weights="quadratic"))


@given(WORDS, WORDS)
@settings(max_examples=60, deadline=None)
def test_the_longest_common_subsequence_is_that_of_the_textbook(a: list[str], b: list[str]) -> None:
    table = np.zeros((len(a) + 1, len(b) + 1), dtype=int)
    for i, one in enumerate(a):
        for j, other in enumerate(b):
            table[i + 1, j + 1] = table[i, j] + 1 if one == other else max(table[i, j + 1], table[i + 1, j])
    assert longest_common(a, b) == table[-1, -1]


def test_rouge_l_reads_words_of_any_script() -> None:
    assert rouge_l("The cat sat.", "the CAT sat on it") == pytest.approx(2 * 3 / (3 + 5))
    assert rouge_l("Größe prüfen", "größe messen") == pytest.approx(0.5)
    assert rouge_l("東京駅", "東京") == pytest.approx(0.8)
    assert rouge_l(None, "x") == 0


def test_chrf_is_that_of_sacrebleu() -> None:
    chrf = pytest.importorskip("sacrebleu.metrics").CHRF()
    said = ["The lift is stuck again.", "no heat", "Wasser tropft", "x"]
    expected = ["The lift is stuck!", "There is no heating", "Das Wasser tropft von der Decke", "the light is out"]
    theirs = chrf.corpus_score(said, [expected]).score / 100
    assert value("chrf", cases("text", said, expected)) == pytest.approx(theirs, abs=1e-6)


def test_a_text_is_right_from_a_value_of_a_metric_on() -> None:
    some = cases("text", ["lift stuck again", "all fine"], ["the lift is stuck again", "no heating"])
    assert Accuracy().rows(some).tolist() == [1, 0]
    strict = cases("text", some.answers, some.expected, right=Right(metric="rouge_l", at_least=0.9))
    assert Accuracy().rows(strict).tolist() == [0, 0]
    assert rule_of(task_of("text")) == "rouge_l of at least 0.5"


def test_what_is_not_in_the_source_is_found() -> None:
    source = {"text": "On 12 May Anna Berg paid 1,200 euros for 'the blue boat' in Hamburg."}
    said = ["In May the buyer, Anna Berg, paid 1200 for it.", "In March the buyer Otto Kern paid 900.", "Paid.", None]
    some = cases("text", said, said, sources=[source] * 4)
    found = open_metric("faithfulness", "text")
    assert found.measure(some).parts[:, 0].tolist() == [1, 0, 1, 0]
    assert list(facts_of('He said "never again" to Mr Kern on 3 May')) == ["3", "never again", "Mr Kern", "May"]


def test_values_of_an_object_are_held_against_the_source() -> None:
    some = cases("json", [{"street": "Mill Lane", "number": 7}], [{}], sources=[{"text": "Mill Lane 12"}])
    assert value("faithfulness", some) == 0.5


def test_sentences_are_as_near_to_the_source_as_their_nearest_sentence() -> None:
    source = {"text": "The lift in the north wing is stuck. Heating works."}
    said = ["The lift in the north wing is stuck.", "Tomatoes are grown in greenhouses in Spain."]
    some = cases("text", said, said, sources=[source] * 2)
    near, far = open_metric("source_similarity", "text").measure(some).parts[:, 0]
    assert near == pytest.approx(1, abs=1e-3)
    assert far < 0.8
    with pytest.raises(DataError, match="came without their texts"):
        value("faithfulness", cases("text", said, said))


def test_intervals_and_paired_differences_come_from_the_same_sums() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 100, 60)
    near, far = (np.clip(truth + rng.integers(-far, far + 1, 60), 0, 100) for far in (5, 40))
    metric = open_metric("mae", "number")
    good, bad = (metric.measure(cases("number", some.tolist(), truth.tolist())) for some in (near, far))
    interval = estimate(metric, good)
    assert interval.low < interval.value < interval.high < estimate(metric, bad).low
    assert paired_bootstrap(good, bad).high < 0


def test_where_all_rows_are_alike_a_share_keeps_an_interval() -> None:
    perfect = cases("text", ["a b"] * 10, ["a b"] * 10)
    metric = open_metric("rouge_l", "text")
    found = estimate(metric, metric.measure(perfect))
    assert (found.value, found.high) == (1, 1)
    assert 0.6 < found.low < 0.8


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"metrics": ("mae",)}, "the metric 'mae' is for outputs of kind number; this task's is 'text'"),
        ({"metrics": ("rogue_l",)}, "no metric is called 'rogue_l'; did you mean 'rouge_l'"),
        ({"metrics": ("rouge_l", "accuracy")}, "the first metric is what the gate min_metric looks at, and 'rouge_l'"),
        ({"right": Right(metric="chrf")}, "right.metric = 'chrf' gives no value of a single row"),
    ],
)
def test_metrics_that_cannot_judge_are_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_metrics(task_of("text").model_copy(update={"output": Text(kind="text"), **changed}))
