"""What the report shows: the decision's and the evaluation's own figures, in words a manager reads."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from types import SimpleNamespace
from typing import Any

import pytest

from tasklift.dataset import Dataset, Example
from tasklift.economics import Economics
from tasklift.measure.deciding.decision import decide
from tasklift.measure.evaluation import Evaluation
from tasklift.measure.report import words
from tasklift.measure.report.content import content_of
from tasklift.prediction import Prediction
from tasklift.stats.calibration import expected_calibration_error


def of(evaluation: Evaluation, making: SimpleNamespace, texts: Dataset | None = None, **changed: Any) -> dict[str, Any]:
    money = making.economics(**changed)
    return content_of(evaluation, money, decide(evaluation, money, evaluation.task.gates), texts, ["tasklift report"])


def test_content_is_plain_json_and_holds_the_decision_as_it_is_pinned(
    evaluation: Evaluation, making: SimpleNamespace
) -> None:
    shown = of(evaluation, making)
    assert json.loads(json.dumps(shown)) == json.loads(json.dumps(shown, default=str))
    money = making.economics()
    assert shown["decision"] == decide(evaluation, money, evaluation.task.gates).to_json()


def test_figures_are_those_of_the_evaluation(evaluation: Evaluation, making: SimpleNamespace) -> None:
    shown = of(evaluation, making)
    for row, result in zip(shown["candidates"], evaluation.results, strict=True):
        assert row["accuracy"] == (dataclasses.asdict(result.scores.accuracy) if result.scores.accuracy else None)
        assert (row["answered"], row["ece"]) == (result.scores.answered, result.scores.ece)
    compared = {row["name"]: row["against_reference"] for row in shown["candidates"] if row["against_reference"]}
    untold = {"noise_floor": None, "within_noise": None}
    assert compared == {name: dataclasses.asdict(found) | untold for name, found in evaluation.comparisons.items()}
    assert next(f for f in shown["failures"] if f["name"] == "prompt")["kinds"] == {"server": 3}


def test_the_bins_give_the_ece_that_stands_beside_them(evaluation: Evaluation, making: SimpleNamespace) -> None:
    for found in of(evaluation, making)["calibration"]:
        gaps = [abs(b["confidence"] - b["right"]["value"]) * b["rows"] / found["rows"] for b in found["bins"]]
        assert sum(gaps) == pytest.approx(found["ece"])
        assert sum(b["rows"] for b in found["bins"]) == found["rows"]
    assert expected_calibration_error.__defaults__ == (15,)


def test_confusions_are_the_most_frequent_wrong_answers(evaluation: Evaluation, making: SimpleNamespace) -> None:
    svm = of(evaluation, making)["confusions"][0]
    wrong = [
        (row.output, p.output)
        for row, p in zip(evaluation.rows, evaluation.result("svm").predictions, strict=True)
        if p.output != row.output
    ]
    assert svm["wrong"] == len(wrong)
    first = svm["pairs"][0]
    assert first["rows"] == max(wrong.count(pair) for pair in wrong) == wrong.count((first["expected"], first["said"]))
    assert first["of"] == 40


def test_texts_are_shown_only_when_asked_for(evaluation: Evaluation, making: SimpleNamespace) -> None:
    assert "a thing" not in json.dumps(of(evaluation, making))
    shown = of(evaluation, making, evaluation.rows)
    assert "a thing" in json.dumps(shown)
    assert not shown["measured"]["texts_changed"]
    failed = next(f for f in shown["failures"] if f["name"] == "prompt")
    assert failed["examples"][0]["texts"] == ["a thing 0"]


def test_rows_that_changed_since_they_were_evaluated_are_called_changed(
    evaluation: Evaluation, making: SimpleNamespace
) -> None:
    other = [dataclasses.replace(row, input={"text": "another text"}) for row in evaluation.rows]
    assert of(evaluation, making, Dataset(tuple(other)))["measured"]["texts_changed"]
    fewer = evaluation.rows.part(evaluation.rows.examples[:9], "fewer")
    assert of(evaluation, making, fewer)["measured"]["texts_changed"]


def test_without_economics_nothing_is_decided_and_all_the_rest_is_shown(evaluation: Evaluation) -> None:
    shown = content_of(evaluation, None, None)
    assert shown["decision"] is None
    assert shown["verdict"]["headline"] == "Measured, not decided."
    assert len(shown["candidates"]) == 6


def test_the_verdict_names_the_choice_its_cost_and_the_next_best(
    evaluation: Evaluation, making: SimpleNamespace
) -> None:
    shown = of(evaluation, making, items_per_month=100, error_usd=20)
    decision = shown["decision"]
    assert decision["verdict"] == "choose"
    first, second = words.passing(decision)[:2]
    cost = decision["options"][first]["expected_usd_per_year"]
    gap = decision["options"][second]["expected_usd_per_year"] - cost
    sentence = shown["verdict"]["sentence"]
    assert f"{first} costs the least: an expected {words.about_usd(cost)} a year" in sentence
    assert f"{words.about_usd(gap)} less than the next best ({second})" in sentence
    assert words.HEADLINES[decision["choice"]] == shown["verdict"]["headline"]


def test_the_verdict_says_when_nothing_passes(evaluation: Evaluation, making: SimpleNamespace) -> None:
    shown = of(evaluation, making, gates={"min_metric": 0.999})
    assert shown["verdict"]["headline"] == "No option passes the gates."
    assert set(shown["verdict"]["failing"]) == set(shown["decision"]["options"])


def test_the_verdict_says_what_to_measure_first() -> None:
    option = {"family": "prompt", "p_best": 0.58, "gates": {}, "coverage": 1.0, "accuracy": None}
    decision = {
        "verdict": "measure_first",
        "choice": "measure_first",
        "candidate": None,
        "options": {
            "prompt": option | {"expected_usd_per_year": 1000.0},
            "tuned": option | {"family": "finetune", "expected_usd_per_year": 1100.0, "p_best": 0.42},
        },
        "next_measurement": {
            "what": "label more test rows",
            "how_many": 350,
            "price_usd": 88,
            "worth_usd": 5e4,
            "kind": "label",
        },
    }
    headline, sentence = words.verdict(decision)
    assert headline == "Measure first."
    assert "only 58% of the simulated years (tuned: 42%)" in sentence
    wanted = "So label 350 more test rows first: it costs $88, and is expected to save $50,000 over the horizon."
    assert wanted in sentence


def test_a_cheaper_baseline_is_part_of_the_verdict() -> None:
    option = {"p_best": 1.0, "gates": {}, "coverage": 1.0, "accuracy": None}
    options = {
        "svm": option | {"family": "baseline", "expected_usd_per_year": 90.0},
        "prompt": option | {"family": "prompt", "expected_usd_per_year": 100.0},
    }
    decision = {
        "verdict": "choose",
        "choice": "prompt",
        "candidate": "prompt",
        "options": options,
        "next_measurement": None,
    }
    assert "The plainest option, svm, would cost $90" in words.verdict(decision)[1]
    options["svm"] = options["svm"] | {"gates": {"min_metric": "too low"}}
    assert "svm" not in words.verdict(decision)[1]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "$0.00"),
        (0.9, "$0.90"),
        (12, "$12"),
        (1234567.4, "$1,234,567"),
        (-20, "-$20"),
        (0.00012, "$0.00012"),
        (5e-12, "under $0.000001"),
        (None, "not known"),
    ],
)
def test_dollars_are_written_as_they_are_read(value: float | None, said: str) -> None:
    assert words.usd(value) == said


@pytest.mark.parametrize(
    ("share", "said"), [(0, "0%"), (1, "100%"), (0.999, "over 99%"), (0.001, "under 1%"), (0.5, "50%")]
)
def test_a_chance_is_certain_only_where_every_draw_agrees(share: float, said: str) -> None:
    assert words.chance(share) == said


def test_flips_say_which_way_an_assumption_has_to_move() -> None:
    decision = {"flips": {"items_per_month": 500.0, "error_usd": 2.0, "review_usd": None}}
    lines = words.flips(decision, {"items_per_month": 1000.0, "error_usd": 1.0, "review_usd": 1.0})
    assert lines[0] == "volume falls to 500 items a month (assumed: 1,000)"
    assert lines[1] == "the cost of an error rises to $2.00 (assumed: $1.00)"
    assert "no value" in lines[2]
    tie = words.flips({"flips": {"error_usd": 20.0}}, {"error_usd": 20.0})
    assert tie == ["the cost of an error: moving by less than 1% is enough (assumed: $20)"]


def test_overlapping_texts_are_counted_and_left_out_of_a_second_figure(
    evaluation: Evaluation, making: SimpleNamespace
) -> None:
    shown = of(evaluation, making)
    assert shown["overlap"] == 1
    assert shown["candidates"][0]["clean_accuracy"]["value"] != shown["candidates"][0]["accuracy"]["value"]


def test_a_candidate_that_says_one_thing_to_everything_has_no_confusions(making: SimpleNamespace) -> None:
    task = making.task()
    rows = Dataset(tuple(Example(f"{i}", {"text": f"{i}"}, "red" if i % 2 else "green") for i in range(20)))
    result = making.result(task, rows, "majority", "baseline", [Prediction("red", confidence=0.5)] * 20)
    evaluation = Evaluation("x", task, rows, (result,), "majority", {})
    assert content_of(evaluation, None, None)["confusions"] == []


def test_the_economics_in_the_page_can_be_kept_as_a_file(evaluation: Evaluation, making: SimpleNamespace) -> None:
    by_label = {
        "error_usd_by_label": {"red": 4, 'bl"ue ü': {"p10": 1, "p50": 2, "p90": 3}},
        "gates": {"min_metric": 0.8},
    }
    money = making.economics(**by_label)
    shown = content_of(evaluation, money, None)
    assert Economics.model_validate(tomllib.loads(words.economics(shown["economics"]))) == money


def test_a_choice_that_is_not_the_cheapest_is_not_called_so() -> None:
    option = {"p_best": 0.5, "gates": {}, "coverage": 1.0, "accuracy": None}
    options = {
        "prompt": option | {"family": "prompt", "expected_usd_per_year": 100.0},
        "human": option | {"family": "human", "expected_usd_per_year": 99.0},
    }
    decision = {"verdict": "choose", "choice": "prompt", "candidate": "prompt", "options": options}
    assert (
        "prompt is the choice: an expected $100 a year, $1.00 more than the next best (human)"
        in words.verdict(decision)[1]
    )


def test_pairs_say_from_which_volume_and_after_how_many_months(evaluation: Evaluation, making: SimpleNamespace) -> None:
    shown = of(evaluation, making)
    decision = shown["decision"]
    pairs = {pair["against"]: pair for pair in shown["verdict"]["pairs"]}
    assert set(pairs) == set(words.passing(decision)) - {decision["leading"]}
    for pair, found in decision["break_even"].items():
        first, second = pair.split(" vs ")
        other = second if first == decision["leading"] else first
        assert pairs[other]["cheaper"] == f"{first} {words.break_even(found)}"
    for pair, found in decision["payback"].items():
        first, second = pair.split(" vs ")
        other = second if first == decision["leading"] else first
        assert pairs[other]["payback"] == f"{first}: {words.payback(found)}"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ("never", "never"),
        ({"months": 0.0, "low": 0.0, "high": 2.0}, "at once"),
        ({"months": 3.1, "low": 0.3, "high": None}, "after 3.1 months (90%: 0.3 to no upper bound)"),
    ],
)
def test_payback_is_said_in_months(found: Any, said: str) -> None:
    assert words.payback(found) == said


def test_hinges_are_those_of_options_that_may_lead(evaluation: Evaluation, making: SimpleNamespace) -> None:
    shown = of(evaluation, making)
    decision, hinges = shown["decision"], shown["hinges"]
    tornado = {row["parameter"]: row for row in decision["tornado"]}
    assert hinges["leading"] == decision["leading"]
    assert hinges["rows"], "the economics are uncertain"
    assert not [row for row in hinges["rows"] if row["parameter"].startswith("svm.")]
    for row in hinges["rows"]:
        found = tornado[row["parameter"]]
        assert [end["ahead_usd"] for end in row["ends"]] == [found["ahead_at_p10_usd"], found["ahead_at_p90_usd"]]
        assert [end["leads"] for end in row["ends"]] == [found["leads_at_p10"], found["leads_at_p90"]]
    wide = [abs(row["ends"][0]["ahead_usd"] - row["ends"][1]["ahead_usd"]) for row in hinges["rows"]]
    assert wide == sorted(wide, reverse=True)
    worth = [row["usd"] for row in hinges["knowing"]]
    assert worth == sorted(worth, reverse=True)
    assert all(decision["evppi"][row["name"]] == row["usd"] for row in hinges["knowing"])


def test_what_to_measure_next_stands_with_its_price(evaluation: Evaluation, making: SimpleNamespace) -> None:
    for money in ({}, {"options": {}, "error_usd": 3}):
        shown = of(evaluation, making, **money)
        more = shown["decision"]["next_measurement"]
        said = shown["hinges"]["next"]
        assert (words.about_usd(more["price_usd"]) in said) if more else said == ""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("items_per_month", "volume"),
        ("encoder.setup_usd", "set-up cost of encoder"),
        ("gpt-4.1.error_rate", "error rate of gpt-4.1"),
        ("prices.label_usd", "price of label"),
        ("error rates", "all error rates together"),
    ],
)
def test_parameters_are_called_what_people_call_them(name: str, said: str) -> None:
    assert words.parameter(name) == said


def test_leaving_the_items_alone_is_a_verdict_of_its_own(evaluation: Evaluation, making: SimpleNamespace) -> None:
    shown = of(evaluation, making, item_value_usd=0.001)
    assert shown["decision"]["candidate"] == "nothing"
    assert shown["verdict"]["headline"] == "Do nothing."
    assert shown["verdict"]["sentence"].startswith(
        "Leaving the items alone costs the least: their value, an expected $"
    )
