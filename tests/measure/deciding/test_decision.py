"""From one evaluation and the economics to a reasoned choice."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Any

import pytest

from tasklift.dataset import Dataset
from tasklift.economics import Economics, Gates
from tasklift.errors import ConfigError
from tasklift.measure.deciding.break_even import BreakEven
from tasklift.measure.deciding.decision import Settings, decide
from tasklift.measure.evaluation import CandidateResult, Evaluation
from tasklift.measure.metrics import score
from tasklift.prediction import Prediction, Usage
from tasklift.stats.intervals import paired_difference
from tasklift.strategies.artifact import Card
from tasklift.strategy import Family, Resources
from tasklift.task import Task

PINNED = {
    *("verdict", "choice", "options", "break_even", "non_inferior", "evpi_usd_per_year", "next_measurement"),
    *("flips", "assumptions", "valid_until"),
}
PINNED_OPTION = {"expected_usd_per_year", "p5_usd", "p95_usd", "p_best", "gates", "accuracy"}
ECONOMICS: Mapping[str, Any] = {"items_per_month": 10_000, "error_usd": 1.0, "review_usd": 0.4}


def answers(rows: Dataset, wrong: int = 0, first: int = 0, deferred: int = 0) -> list[Prediction]:
    """`wrong` wrong rows from row `first` on; the last rows are deferred."""
    found = [Prediction(output=row.output, usage=Usage(calls=1, cpu_s=0.01)) for row in rows]
    for i in range(first, first + wrong):
        found[i] = Prediction(output="green" if rows.examples[i].output == "red" else "red")
    return found[: len(rows) - deferred] + [Prediction(deferred=True)] * deferred


def evaluated(
    task: Task, rows: Dataset, said: Mapping[str, tuple[Family, list[Prediction]]], labels: int = 0
) -> Evaluation:
    """An evaluation of candidates that said this and needed so many labels each."""
    traits = {"deterministic": True, "remote": False, "data_leaves_machine": False}
    results = []
    for name, (family, predictions) in said.items():
        made = Resources(labels=labels)
        card = Card(name, name, family, {}, task.labels, task.instruction, ("text",), made, frozenset())
        scores = score(predictions, rows.outputs, [0.01], 0.97)
        results.append(CandidateResult(name, card, traits, tuple(predictions), (0.01,), scores))
    return Evaluation("made-up", task, rows, tuple(results), next(iter(said)), {})


def economics(**changed: Any) -> Economics:
    return Economics.model_validate({**ECONOMICS, **changed})


@pytest.fixture
def clear(colours: Task, colour_rows: Dataset) -> Evaluation:
    """Finetuning errs far less than prompting; the baseline is as good as it."""
    said: dict[str, tuple[Family, list[Prediction]]] = {
        "baseline": ("baseline", answers(colour_rows, wrong=1)),
        "prompt": ("prompt", answers(colour_rows, wrong=15, first=20)),
        "encoder": ("finetune", answers(colour_rows, wrong=2, first=20)),
    }
    return evaluated(colours, colour_rows, said, labels=40)


@pytest.fixture
def close(colours: Task, colour_rows: Dataset) -> Evaluation:
    """Prompting and finetuning err about as often, on different rows."""
    said: dict[str, tuple[Family, list[Prediction]]] = {
        "prompt": ("prompt", answers(colour_rows, wrong=6)),
        "encoder": ("finetune", answers(colour_rows, wrong=6, first=30)),
    }
    return evaluated(colours, colour_rows, said)


# Verdicts


def test_the_cheapest_option_is_chosen(clear: Evaluation) -> None:
    decision = decide(clear, economics())
    assert (decision.verdict, decision.choice, decision.candidate) == ("choose", "finetune", "encoder")
    assert decision.next_measurement is None
    assert decision.options["encoder"].p_best > 0.9
    assert decision.reasons[0].startswith("encoder costs ")
    assert decision.reasons[1].startswith("next is prompt with ")


def test_expected_costs_are_those_of_the_formula(clear: Evaluation) -> None:
    money = economics(options={"encoder": {"item_usd": 0.002}, "human": {"accuracy": 0.99}}, horizon_months=6)
    options = decide(clear, money).options
    by_hand = {"encoder": 10 / 0.5 + 120_000 * (0.002 + 2.5 / 61), "human": 120_000 * (0.4 + 0.01)}
    for name, usd in by_hand.items():
        assert options[name].expected_usd == pytest.approx(usd, rel=0.001)
        assert options[name].p5_usd <= options[name].expected_usd <= options[name].p95_usd
    assert options["human"].p5_usd == pytest.approx(options["human"].p95_usd)
    assert (options["human"].accuracy, options["human"].coverage) == (None, 0.0)
    assert sum(option.p_best for option in options.values()) == pytest.approx(1.0)


def test_costs_of_a_candidate_go_before_those_of_its_family(clear: Evaluation) -> None:
    both = {"finetune": {"upkeep_usd_per_year": 90_000}, "encoder": {"upkeep_usd_per_year": 10}}
    family = {"finetune": {"upkeep_usd_per_year": 90_000}}
    own, shared = (decide(clear, economics(options=options)).options["encoder"] for options in (both, family))
    assert shared.expected_usd - own.expected_usd == pytest.approx(89_990)


def test_where_the_best_is_not_sure_and_knowing_pays_the_answer_is_to_measure(close: Evaluation) -> None:
    decision = decide(close, economics(items_per_month=1_000_000))
    assert (decision.verdict, decision.choice, decision.candidate) == ("measure_first", "measure_first", None)
    more = decision.next_measurement
    assert more is not None
    assert (more.kind, more.how_many, more.parameter) == ("label", 5000, "")
    assert more.worth_usd is not None
    assert more.price_usd == pytest.approx(5000 * 0.25, rel=0.01)
    assert more.price_usd < more.worth_usd < decision.evpi_usd_per_year
    assert any(
        reason.startswith("not sure enough: label more test rows (5000 for 1,250 USD)") for reason in decision.reasons
    )


def test_where_knowing_is_worth_less_than_its_price_a_choice_is_made(close: Evaluation) -> None:
    decision = decide(close, economics(items_per_month=10))
    assert decision.options[str(decision.candidate)].p_best < 0.9
    assert decision.verdict == "choose"
    assert decision.evpi_usd_per_year < 15


def test_two_candidates_of_one_family_need_no_more_rows_to_choose_the_family(
    colours: Task, colour_rows: Dataset
) -> None:
    said: dict[str, tuple[Family, list[Prediction]]] = {
        "knn": ("finetune", answers(colour_rows, wrong=6)),
        "encoder": ("finetune", answers(colour_rows, wrong=6, first=30)),
    }
    decision = decide(evaluated(colours, colour_rows, said), economics(items_per_month=1_000_000))
    assert (decision.verdict, decision.choice) == ("choose", "finetune")


def test_where_no_option_passes_the_gates_none_is_chosen(clear: Evaluation) -> None:
    decision = decide(clear, economics(), Gates(min_metric=0.995))
    assert (decision.verdict, decision.choice, decision.candidate) == ("none_passes", "none", None)
    assert {name for name, option in decision.options.items() if option.passes} == set()
    assert len(decision.reasons) == 4
    assert "human fails: declared accuracy 0.97 < 0.995" in decision.reasons
    assert (decision.break_even, decision.flips, decision.evpi_usd_per_year) == ({}, {}, 0.0)
    json.dumps(decision.to_json())


def test_a_baseline_is_shown_but_never_chosen(clear: Evaluation) -> None:
    decision = decide(clear, economics())
    baseline = decision.options["baseline"]
    assert baseline.expected_usd < decision.options["encoder"].expected_usd
    assert baseline.p_best == 0
    assert any(reason.startswith("the plainest option, baseline, would cost less") for reason in decision.reasons)


def test_with_nothing_but_baselines_people_are_chosen(colours: Task, colour_rows: Dataset) -> None:
    said: dict[str, tuple[Family, list[Prediction]]] = {"majority": ("baseline", answers(colour_rows))}
    decision = decide(evaluated(colours, colour_rows, said), economics())
    assert (decision.verdict, decision.choice, decision.candidate) == ("choose", "human", "human")


def test_dear_errors_and_cheap_people_make_people_the_choice(clear: Evaluation) -> None:
    decision = decide(clear, economics(error_usd=100, review_usd=0.01, options={"human": {"accuracy": 1.0}}))
    assert decision.choice == "human"


def test_equal_seeds_decide_equally(close: Evaluation) -> None:
    money = economics(items_per_month={"p10": 1000, "p50": 5000, "p90": 9000})
    first, again, other = (decide(close, money, settings=Settings(draws=500, seed=seed)) for seed in (3, 3, 4))
    assert first == again
    assert first.id != other.id


# Break-even and non-inferiority


def test_the_break_even_pair_names_the_option_that_wins_from_that_volume_on(clear: Evaluation) -> None:
    options = {"finetune": {"setup_usd": 50_000, "item_usd": 0}, "prompt": {"item_usd": 0}, "human": {"accuracy": 1.0}}
    dear = economics(options=options)
    few, many = (decide(clear, dear.model_copy(update={"items_per_month": n})) for n in _volumes(100, 1_000_000))
    assert (few.choice, many.choice) == ("prompt", "finetune")
    expected = 50_000 / (13 / 60) / 12
    for decision in (few, many):
        found = decision.break_even["encoder vs prompt"]
        assert found.items_per_month == pytest.approx(expected, rel=0.05)
        assert found.low is not None
        assert found.high is not None
        assert found.low < found.items_per_month < found.high


def test_an_option_that_is_cheaper_in_every_respect_is_so_at_any_volume(clear: Evaluation) -> None:
    decision = decide(clear, economics(options={"human": {"setup_usd": 100}}))
    assert decision.break_even["encoder vs human"] == BreakEven(0.0, 0.0, 0.0)


def _volumes(*values: float) -> list[Any]:
    return [economics(items_per_month=value).items_per_month for value in values]


def test_non_inferiority_is_the_one_sided_bound_against_the_margin(clear: Evaluation) -> None:
    decision = decide(clear, economics(margin=0.02))
    found = decision.non_inferior["encoder vs prompt"]
    low = paired_difference(13, 0, 60, confidence=0.9).low
    assert (found.margin, found.rows, found.answer, found.slices) == (0.02, 60, True, {})
    assert found.low == pytest.approx(low)
    assert "encoder vs human" not in decision.non_inferior


def test_deferred_rows_do_not_enter_the_non_inferiority_test(colours: Task, colour_rows: Dataset) -> None:
    said: dict[str, tuple[Family, list[Prediction]]] = {
        "layered": ("layered", answers(colour_rows, wrong=1, deferred=20)),
        "prompt": ("prompt", answers(colour_rows, wrong=30, first=30)),
    }
    decision = decide(evaluated(colours, colour_rows, said), economics())
    found = decision.non_inferior["layered vs prompt"]
    assert found.rows == 40
    assert found.low == pytest.approx(paired_difference(10, 1, 40, confidence=0.9).low)


# Errors by label and slice


def test_errors_cost_what_their_label_says(clear: Evaluation) -> None:
    """The finetuned candidate errs on two green rows."""
    dear, plain = (
        decide(clear, economics(error_usd_by_label=by_label)).options["encoder"].expected_usd
        for by_label in ({"green": 5.0}, {"blue": 5.0})
    )
    unseen = 0.5 * (20 * 5 + 40) / 60  # half a row that is wrong, of a mean label
    assert dear == pytest.approx(10 + 120_000 * (5 * 2 + unseen) / 61, rel=0.01)
    assert plain == pytest.approx(10 + 120_000 * (2 + unseen) / 61, rel=0.01)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"error_usd_by_label": {"grean": 2}}, "error_usd_by_label names 'grean', which is not a label of colours"),
        ({"error_usd_by_slice": {"nl": 2}}, "error_usd_by_slice names 'nl'"),
        ({"error_usd_by_label": {"green": 2}, "error_usd": 0}, "need error_usd > 0"),
        ({"options": {"finetuned": {}}}, "options.finetuned is neither a family nor an evaluated candidate"),
    ],
)
def test_economics_that_name_what_is_not_there_are_refused(
    clear: Evaluation, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        decide(clear, economics(**changed))


def test_families_and_people_may_be_priced_though_nobody_evaluated_them(clear: Evaluation) -> None:
    options = {"layered": {"item_usd": 1}, "human": {"accuracy": 0.9}, "baseline": {}}
    assert "human" in decide(clear, economics(options=options)).options


# What is written


def test_the_json_has_the_pinned_keys(clear: Evaluation) -> None:
    row = json.loads(json.dumps(decide(clear, economics()).to_json()))
    assert row.keys() >= PINNED
    assert set(row["options"]) == {"baseline", "prompt", "encoder", "human"}
    assert all(option.keys() >= PINNED_OPTION for option in row["options"].values())
    assert row["options"]["encoder"]["accuracy"].keys() == {"value", "low", "high"}
    assert row["options"]["human"]["accuracy"] is None
    assert all(
        found == "never" or found.keys() == {"items_per_month", "low", "high"} for found in row["break_even"].values()
    )
    assert all(found.keys() >= {"margin", "low", "answer"} for found in row["non_inferior"].values())
    assert set(row["flips"]) == {"items_per_month", "error_usd", "review_usd", "changes_per_year", "horizon_months"}


def test_every_assumption_says_where_it_comes_from(clear: Evaluation) -> None:
    found = decide(clear, economics(options={"prompt": {"item_usd": 0.01}})).assumptions
    assert (found["error_usd"].source, found["changes_per_year"].source) == ("given", "default")
    assert (found["prompt.item_usd"].source, found["prompt.item_usd"].value) == ("given", 0.01)
    assert (found["encoder.item_usd"].source, found["encoder.setup_usd"].source) == ("measured", "measured")
    assert found["encoder.setup_usd"].value == 10
    assert found["encoder.setup_usd"].detail.startswith("measured (40 labels")
    assert {one.source for one in found.values()} == {"given", "measured", "default"}


def test_a_decision_is_valid_for_half_a_year(clear: Evaluation) -> None:
    until = datetime.date.fromisoformat(decide(clear, economics()).valid_until)
    assert datetime.timedelta(days=179) <= until - datetime.date.today() <= datetime.timedelta(days=180)
