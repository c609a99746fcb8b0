"""What knowing more is worth, and what to measure next."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from made_up import about, economics, evidence, right
from scipy.stats import norm

from tasklift.economics import Gates
from tasklift.measure.deciding.decision import Settings, decide
from tasklift.measure.deciding.information import evpi, evppi
from tasklift.measure.deciding.lines import Line, lines_of
from tasklift.measure.deciding.options import world_of
from tasklift.measure.deciding.record import Decision
from tasklift.measure.evidence import CurvePoint

FAST = Settings(draws=4000, parameters=False)
#: Half the spread of two options of equal mean cost: E[max(0, x)] of a normal with deviation 1.
HALF = float(norm.pdf(0))
_SHARE = {"p10": 0.9, "p50": 0.95, "p90": 0.98}
STEPS = [{"up_to_items_per_month": 8000, "usd_per_year": 500}, {"up_to_items_per_month": 90_000, "usd_per_year": 4000}]


def normals(count: int, draws: int = 20_000) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((draws, count))


def lines(costs: np.ndarray, **drawn: np.ndarray) -> list[Line]:
    """By regression, as the costs here come from no formula."""
    mean = costs.mean(axis=0)
    return [
        Line(name, x, 0.0, 0.0, mean, (x - x.mean()) @ (costs - mean) / (x.var() * len(x))) for name, x in drawn.items()
    ]


def test_knowing_everything_saves_what_the_wrong_choice_costs() -> None:
    z = normals(1)
    costs = np.concatenate([0 * z, 1000 * z], axis=1)
    assert evpi(costs) == pytest.approx(1000 * HALF, rel=0.03)


def test_what_cannot_change_the_choice_is_worth_nothing() -> None:
    z = normals(1)
    assert evpi(np.concatenate([z, z + 10], axis=1)) == pytest.approx(0, abs=1e-9)


def test_each_parameter_is_worth_its_part() -> None:
    z = normals(3)
    costs = np.stack([0 * z[:, 0], 3000 * z[:, 0] + 1000 * z[:, 1]], axis=1)
    found = evppi(costs, lines(costs, much=z[:, 0], little=z[:, 1], nothing=z[:, 2]))
    assert list(found) == ["much", "little", "nothing"]
    assert found["much"] == pytest.approx(3000 * HALF, rel=0.03)
    assert found["little"] == pytest.approx(1000 * HALF, rel=0.05)
    assert found["nothing"] < 10
    assert found["much"] < evpi(costs)


def test_a_bent_parameter_is_seen_as_well() -> None:
    z = normals(1)[:, 0]
    costs = np.stack([0 * z, 1000 * (z**2 - 1)], axis=1)
    (line,) = lines(costs, bent=z)
    assert evppi(costs, [dataclasses.replace(line, bent=True)])["bent"] == pytest.approx(evpi(costs), rel=0.05)


def test_error_rates_are_told_together_too() -> None:
    z = normals(2)
    found = evppi(1000 * z, lines(1000 * z, **{"a.error_rate": z[:, 0], "b.error_rate": z[:, 1]}), 1000 * z)
    assert found["error rates"] == pytest.approx(evpi(1000 * z))
    assert found["a.error_rate"] < found["error rates"]


def test_what_only_options_that_cannot_lead_depend_on_is_worth_exactly_nothing() -> None:
    found = evidence({"prompt": right(400, 30), "finetune": right(400, 10, first=5), "layered": right(400, 200)})
    spread = {"items_per_month": about(20_000), "error_usd": about(1), "review_usd": about(0.4)}
    options = {"layered": {"setup_usd": about(9000), "upkeep_usd_per_year": about(5000), "item_usd": about(0.1)}}
    decision = decide(found, economics(options=options, **spread), settings=Settings(draws=4000))
    assert decision.options["layered"].p_best == 0
    own = {name: usd for name, usd in decision.evppi.items() if name.startswith("layered.")}
    assert set(own.values()) == {0.0}
    assert len(own) == 4


def test_knowing_all_rates_is_worth_no_less_than_knowing_one_and_no_more_than_everything() -> None:
    found = evidence({"prompt": right(200, 20), "finetune": right(200, 20, first=100)})
    decision = decide(found, economics(items_per_month=about(20_000)), settings=Settings(draws=4000))
    single = max(decision.evppi["prompt.error_rate"], decision.evppi["finetune.error_rate"])
    assert single * 0.98 <= decision.evppi["error rates"] <= decision.evpi_usd_per_year * 1.02


def test_lines_give_the_worth_of_knowing_a_part_of_the_spread() -> None:
    z = normals(1)
    line = lines(np.concatenate([0 * z, 1000 * z], axis=1), x=z[:, 0])[0]
    assert line.worth() == pytest.approx(1000 * HALF, rel=0.03)
    assert line.worth(0.5) == pytest.approx(line.worth() / 2, rel=0.03)


def test_slopes_are_those_of_a_regression_on_very_many_draws() -> None:
    found = evidence({"prompt": right(200, 30), "finetune": right(200, 10, first=5)})
    options = {
        "prompt": {"upkeep_usd_per_year": about(900), "hours_per_change": about(2), "review_share": _SHARE},
        "finetune": {"setup_usd": about(3000), "item_usd": about(0.01), "capacity": STEPS},
        "human": {"accuracy": _SHARE, "cost_per_change_usd": about(100)},
    }
    spread = {
        "items_per_month": about(9000),
        "error_usd": about(1),
        "review_usd": about(0.4),
        "changes_per_year": about(6),
    }
    money = economics(options=options, prices={"person_hour_usd": about(60)}, item_value_usd=about(1), **spread)
    world = world_of(found, money, 100_000, 0)
    names = list(world.options)
    costs = np.stack([world.totals[name] for name in names], axis=1)
    drawn = lines_of(world, names)
    assert {line.name for line in drawn} == set(world.drawn)
    for line in drawn:
        about_mean = line.values - line.values.mean()
        regression = about_mean @ (costs - costs.mean(axis=0)) / (about_mean @ about_mean)
        error = costs.std(axis=0) / line.values.std() / 100_000**0.5
        assert np.all(np.abs(regression - line.slope) < 4.5 * error + 1e-9), line.name


# The next measurement


def close(rows: int = 200, **changed: object) -> Decision:
    """Prompt and finetune err about as often, on different rows."""
    found = evidence({"prompt": right(rows, rows // 10), "finetune": right(rows, rows // 10, first=rows // 2)})
    return decide(found, economics(**changed), settings=FAST)


def test_close_options_and_dear_errors_ask_for_labels() -> None:
    decision = close(items_per_month=100_000)
    more = decision.next_measurement
    assert (decision.verdict, decision.choice, decision.candidate) == ("measure_first", "measure_first", None)
    assert decision.leading in ("prompt", "finetune")
    assert more is not None
    assert more.worth_usd is not None
    assert more.kind == "label"
    assert more.price_usd < more.worth_usd < decision.evpi_usd_per_year


def test_labels_are_worth_more_over_a_longer_horizon_and_are_bought_in_larger_numbers() -> None:
    short, long = (close(items_per_month=10_000, horizon_months=months).next_measurement for months in (12, 36))
    assert short is not None
    assert long is not None
    assert short.how_many <= long.how_many
    assert (short.worth_usd or 0) < (long.worth_usd or 0)


def test_the_expected_saving_is_that_of_really_labelling_more() -> None:
    """Truth drawn from the posterior, rows from the truth, then decided again: the mean saving is what was promised."""
    rng = np.random.default_rng(5)
    money = economics(items_per_month=100_000, prices={"label_usd": 0.01})
    before = evidence({"prompt": right(100, 10), "finetune": right(100, 9, first=50)})
    decision = decide(before, money, settings=FAST)
    more = decision.next_measurement
    assert more is not None
    cells = np.array([[0, 1], [1, 0], [1, 1]])  # wrong, right of prompt and finetune
    saved, now = [], int(decision.leading == "finetune")
    for _ in range(4000):
        truth = rng.dirichlet([10, 9, 81, 0.5, 0.5])
        error = truth[:3] @ (1 - cells) + [truth[3], truth[4]]
        counts = rng.multinomial(more.how_many, truth)
        wrong = np.array([10, 9]) + counts[:3] @ (1 - cells) + counts[3:]
        saved.append(12 * 100_000 * float(error[now] - error[int(wrong.argmin())]))
    assert more.worth_usd == pytest.approx(np.mean(saved), abs=3 * np.std(saved) / 4000**0.5 + 0.05 * np.mean(saved))


def test_several_annotators_make_labels_dearer() -> None:
    one, three = (close(items_per_month=30_000, prices={"annotators": n}).next_measurement for n in (1, 3))
    assert one is not None
    assert three is not None
    assert three.price_usd / three.how_many == pytest.approx(3 * one.price_usd / one.how_many)


def test_an_uncertain_amount_that_decides_is_to_be_found_out() -> None:
    found = evidence({"prompt": right(2000, 200), "finetune": right(2000, 100)})
    options = {"finetune": {"upkeep_usd_per_year": about(6000, 3)}}
    decision = decide(found, economics(options=options), settings=FAST)
    more = decision.next_measurement
    assert more is not None
    assert (more.kind, more.parameter) == ("study", "finetune.upkeep_usd_per_year")
    assert more.price_usd == 8 * 60


def test_an_option_that_was_never_tried_is_to_be_tried_out() -> None:
    found = evidence({"prompt": right(500, 60)})
    options = {"finetune": {"accuracy": {"p10": 0.8, "p50": 0.87, "p90": 0.94}, "setup_usd": 500, "pilot_usd": 300}}
    decision = decide(found, economics(options=options), settings=FAST)
    more = decision.next_measurement
    assert more is not None
    assert (more.kind, more.parameter, more.price_usd) == ("pilot", "finetune", 300)
    assert decision.assumptions["finetune.accuracy"].source == "given"


def test_a_learning_curve_tells_of_an_option_that_was_not_tried_in_full() -> None:
    curve = tuple(CurvePoint(n, 0.02 + 0.9 * n**-0.5, 1000) for n in (100, 200, 400, 800))
    found = evidence({"prompt": right(500, 60)}, curves={"finetune": curve})
    options = {"finetune": {"planned_labels": 1600, "setup_usd": 500}}
    decision = decide(found, economics(options=options), settings=FAST)
    told = decision.assumptions["finetune.accuracy"]
    assert told.source == "predicted"
    assert told.value == pytest.approx(1 - (0.02 + 0.9 / 40), abs=0.01)
    accuracy = decision.options["finetune"].accuracy
    assert accuracy is not None
    assert accuracy.high - accuracy.low > 0.05  # two points of standard deviation at twice the largest size


def test_where_labels_may_let_an_option_pass_its_gate_that_is_what_to_buy() -> None:
    found = evidence({"prompt": right(60, 4)})
    decision = decide(found, economics(options={"human": {"accuracy": 0.9}}), Gates(min_metric=0.92), FAST)
    assert decision.verdict == "none_passes"
    assert decision.next_measurement is not None
    assert decision.next_measurement.worth_usd is None
    assert (decision.next_measurement.chance or 0) > 0.05
    assert any(reason.startswith("no option passes yet: label more test rows") for reason in decision.reasons)
