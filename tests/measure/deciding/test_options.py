"""Evidence and economics joined: what is counted, what is asked for, what is refused."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pytest
from made_up import about, economics, evidence, right

from tasklift.economics import Gates
from tasklift.errors import ConfigError
from tasklift.measure.deciding.decision import Settings, decide
from tasklift.measure.deciding.record import Decision
from tasklift.measure.evidence import Evidence, Unpaired
from tasklift.prediction import Usage

FAST = Settings(draws=500, parameters=False)
ROWS = {"prompt": right(100, 10), "finetune": right(100, 5)}


def decided(found: Evidence | None = None, gates: Gates | None = None, **changed: Any) -> Decision:
    return decide(found or evidence(ROWS), economics(**changed), gates, FAST)


def test_doing_nothing_is_an_option_where_an_item_has_a_value() -> None:
    assert "nothing" not in decided().options
    worthless, worthy = (decided(item_value_usd=usd) for usd in (0.01, 5.0))
    assert (worthless.choice, worthless.candidate, worthless.verdict) == ("none", "nothing", "choose")
    assert worthless.options["nothing"].expected_usd == pytest.approx(0.01 * 120_000)
    assert worthy.choice == "finetune"
    net = worthy.options["finetune"].net_benefit
    assert net["nothing"]["mean"] == pytest.approx(5 * 120_000 - worthy.options["finetune"].expected_usd)
    assert net["human"]["p5"] <= net["human"]["mean"] <= net["human"]["p95"]


def test_a_model_without_a_price_is_asked_for_by_name_and_never_chosen() -> None:
    used = Usage(calls=100, input_tokens=10_000)
    found = evidence({"prompt": right(100, 0), "finetune": right(100, 30)}, prompt={"model": "our-own", "usage": used})
    decision = decided(found)
    option = decision.options["prompt"]
    said = "no price is known for our-own: set options.prompt.item_usd, or its prices under prices.tokens"
    assert option.gates["price"] == said
    assert (option.p_best, option.passes) == (0, False)
    assert decision.to_json()["options"]["prompt"]["expected_usd_per_year"] is None
    assert decision.choice != "prompt"
    priced = decided(found, prices={"tokens": {"our-own": {"input_usd": 1.0, "output_usd": 2.0}}})
    assert priced.options["prompt"].passes
    assert priced.assumptions["prompt.item_usd"].value == pytest.approx(1e-4)


def test_costs_that_another_tool_measured_are_used() -> None:
    cost = np.tile([0.01, 0.03], 50)
    found = evidence(ROWS, prompt={"cost_usd": cost, "usage": None})
    assumed = decided(found).assumptions["prompt.item_usd"]
    assert (assumed.value, assumed.source) == (pytest.approx(0.02, rel=1e-3), "measured")


def test_what_is_not_known_is_said() -> None:
    found = evidence(ROWS, prompt={"setup": None, "usage": None})
    cautions = decided(found, options={"layered": {"setup_usd": 5}}).cautions
    assert any(line.startswith("prompt: what an item costs is not known") for line in cautions)
    assert any(line.startswith("prompt: what it took to make is not known") for line in cautions)
    assert any(line.startswith("layered has costs but no measurement: it is not compared") for line in cautions)


def test_few_rows_and_rows_left_out_are_said() -> None:
    found = evidence({"prompt": right(8, 1)}, unpaired=(Unpaired("prompt", "no value in correct", 7, ("a", "b")),))
    decision = decided(found)
    assert decision.cautions[0].startswith("only 8 rows")
    assert decision.cautions[1] == "7 rows of prompt left out, no value in correct: a, b, ..."
    assert decision.evidence["unpaired"] == 7


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"options": {"promt": {}}}, "options.promt is neither a family nor an evaluated .*did you mean prompt"),
        ({"error_usd_by_slice": {"nl": 2}}, "error_usd_by_slice names 'nl', which is not a slice of the rows"),
        ({"error_usd_by_label": {"x": 2}}, "error_usd_by_label names 'x', which is not a label of made up"),
    ],
)
def test_what_is_not_there_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        decided(**changed)


def test_currencies_are_not_mixed() -> None:
    with pytest.raises(ConfigError, match="made up is in EUR, the economics in USD"):
        decided(evidence(ROWS, currency="EUR"))


def test_errors_by_slice_cost_what_they_say() -> None:
    slices = tuple({"language": "de" if at < 10 else "en"} for at in range(100))
    dear, plain = (
        decided(evidence(ROWS, slices=slices), error_usd_by_slice={value: 5.0}).options["prompt"].expected_usd
        for value in ("de", "en")
    )
    assert dear == pytest.approx(120_000 * (10 * 5 + 0.5 * 1.4) / 101, rel=0.01)
    assert plain == pytest.approx(120_000 * (10 + 0.5 * 4.6) / 101, rel=0.01)


def test_people_who_were_measured_are_judged_by_their_rows() -> None:
    decision = decided(evidence(ROWS | {"human": right(100, 2)}))
    assert decision.options["human"].expected_usd == pytest.approx(120_000 * (0.4 + 2.5 / 101), rel=0.01)
    assert decision.options["human"].family == "human"


def test_a_family_may_be_given_to_an_option_of_any_name() -> None:
    found = evidence({"ours": right(100, 1), "theirs": right(100, 30)})
    assert decided(found).choice == "ours"
    assert decided(found, options={"ours": {"family": "finetune"}}).choice == "finetune"


def test_changes_cost_labels_hours_and_making_it_again_where_no_price_is_given() -> None:
    options = {"finetune": {"labels_per_change": 40, "hours_per_change": 2}}
    more = decided(options=options, changes_per_year=6).options["finetune"].expected_usd
    plain = decided(changes_per_year=6).options["finetune"].expected_usd
    assert more - plain == pytest.approx(6 * (40 * 0.25 + 2 * 60), rel=1e-3)


# A vendor's last day


def test_an_end_of_life_within_the_horizon_rules_out_unless_moving_has_a_price() -> None:
    today = datetime.date(2026, 11, 24)
    settings = Settings(draws=500, parameters=False, today=today)

    def with_end(day: datetime.date, **rest: Any) -> Decision:
        options = {"finetune": {"end_of_life": day, **rest}}
        return decide(evidence(ROWS), economics(options=options, horizon_months=24), None, settings)

    soon, later = datetime.date(2027, 1, 6), datetime.date(2029, 1, 6)
    refused = with_end(soon)
    assert refused.options["finetune"].gates["end_of_life"].startswith("shut down on 2027-01-06, before the horizon")
    assert refused.choice == "prompt"
    assert with_end(later).choice == "finetune"
    moving = with_end(soon, migration_usd=3000)
    assert moving.choice == "finetune"
    assert moving.valid_until == "2027-01-06"
    extra = moving.options["finetune"].expected_usd - with_end(later).options["finetune"].expected_usd
    assert extra == pytest.approx(1500, rel=0.01)


def test_traits_that_nobody_knows_are_asked_for() -> None:
    gates = Gates(data_leaves_machine=False)
    assert decided(gates=gates).options["prompt"].gates["data_leaves_machine"] == (
        "not known: say so in options.prompt.data_leaves_machine"
    )
    told = {name: {"data_leaves_machine": name == "prompt"} for name in ROWS}
    decision = decided(gates=gates, options=told)
    assert decision.options["prompt"].gates["data_leaves_machine"] == "text leaves the machine"
    assert decision.choice == "finetune"


def test_latency_that_was_not_measured_does_not_pass() -> None:
    option = decided(gates=Gates(max_p95_latency_s=1)).options["prompt"]
    assert option.gates["max_p95_latency_s"] == "latency was not measured"


# Choice


def test_among_options_as_cheap_the_one_that_is_easiest_to_leave_is_taken() -> None:
    same = evidence({"prompt": right(5000, 500), "finetune": right(5000, 500)})
    options = {"finetune": {"setup_usd": 2000, "item_usd": 0}, "prompt": {"item_usd": 0.0167}}
    decision = decided(same, options=options, prices={"label_usd": 100})
    shown = decision.options
    assert shown["finetune"].expected_usd < shown["prompt"].expected_usd < 1.005 * shown["finetune"].expected_usd
    assert decision.choice == "prompt"


def test_the_option_that_wins_more_often_need_not_be_the_one_that_costs_less() -> None:
    options = {"prompt": {"upkeep_usd_per_year": {"p10": 10, "p50": 100, "p90": 100_000}}}
    decision = decided(evidence({"prompt": right(400, 20), "finetune": right(400, 40)}), options=options)
    assert decision.leading == "finetune"
    assert decision.options["prompt"].p_best > 0.5
    assert any(reason.startswith("prompt is the cheapest more often") for reason in decision.reasons)


def test_pay_back_is_the_dearer_set_up_over_what_it_saves() -> None:
    options = {"finetune": {"setup_usd": 3000, "item_usd": 0}}
    found = decided(options=options).payback["finetune vs prompt"]
    assert found.months == pytest.approx(12 * 3000 / (120_000 * 5 / 101), rel=0.15)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.months < found.high
    assert (
        decided(evidence({"prompt": ROWS["finetune"], "finetune": ROWS["prompt"]}), options=options)
        .payback["finetune vs prompt"]
        .to_json()
        == "never"
    )


def test_the_tornado_is_led_by_what_moves_the_choice_most() -> None:
    options = {"finetune": {"upkeep_usd_per_year": about(5000, 4), "setup_usd": about(100)}}
    rows = decided(options=options).tornado
    assert rows[0]["parameter"] == "finetune.upkeep_usd_per_year"
    assert {rows[0]["leads_at_p10"], rows[0]["leads_at_p90"]} == {"finetune", "prompt"}
    swings = [abs(row["ahead_at_p90_usd"] - row["ahead_at_p10_usd"]) for row in rows]
    assert swings == sorted(swings, reverse=True)
