"""The yearly cost of one option, by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tasklift.economics import CapacityStep, Economics, OptionCosts, Quantity, exactly
from tasklift.measure.yearly import Option, Parts, World, capacity, draw, human_option, yearly


def world(items_per_month: float = 1000, *, rows: int = 4, **rest: Any) -> World:
    """One draw, every row with the same weight."""
    values = {"error_usd": 2.0, "review_usd": 0.5, "changes_per_year": 0.0} | rest
    return World(
        items_per_year=np.array([12 * items_per_month]),
        error_usd=np.array([values["error_usd"]]),
        review_usd=np.array([values["review_usd"]]),
        changes_per_year=np.array([values["changes_per_year"]]),
        weights=np.full((1, rows), 1 / rows, dtype=np.float32),
        horizon_years=values.get("horizon_years", 1.0),
        reviewer_accuracy=values.get("reviewer_accuracy", 0.9),
    )


def option(wrong: list[float], deferred: list[float] | None = None, setup: float = 0, **costs: Any) -> Option:
    """An option of 0.01 USD an item."""
    away = np.array(deferred or [0.0] * len(wrong))
    known = OptionCosts.model_validate(costs)
    return Option(
        "x",
        "prompt",
        np.array(wrong),
        away,
        (away > 0).astype(float),
        np.ones(len(wrong)),
        known,
        exactly(0.01),
        exactly(setup),
        {},
    )


def parts(of: Option, where: World) -> Parts:
    return yearly(of, where, np.random.default_rng(0))


def test_items_cost_inference_and_uncaught_errors() -> None:
    found = parts(option([1, 0, 0, 0]), world())
    assert found.fixed[0] == 0
    assert found.unit[0] == pytest.approx(0.01 + 0.25 * 2.0)
    assert found.total(np.array([12_000.0]))[0] == pytest.approx(12_000 * 0.51)


@pytest.mark.parametrize(("years", "share"), [(0.5, 6000), (1.0, 3000), (3.0, 1000)])
def test_setup_is_spread_over_the_horizon(years: float, share: float) -> None:
    assert parts(option([0] * 4, setup=3000), world(horizon_years=years)).fixed[0] == pytest.approx(share)


def test_upkeep_capacity_and_changes_are_paid_every_year() -> None:
    costs = {"upkeep_usd_per_year": 4000, "capacity_usd_per_year": 600, "cost_per_change_usd": 900}
    found = parts(option([0] * 4, setup=1000, **costs), world(changes_per_year=6.0, horizon_years=2.0))
    assert found.fixed[0] == pytest.approx(500 + 4000 + 600 + 6 * 900)
    assert found.unit[0] == pytest.approx(0.01)


def test_reviews_cost_money_and_catch_errors() -> None:
    found = parts(option([1, 0, 0, 0], review_share=0.4), world())
    assert found.unit[0] == pytest.approx(0.01 + 0.4 * 0.5 + 0.25 * (1 - 0.4 * 0.9) * 2.0)


def test_deferred_rows_are_reviewed_once_and_err_as_people_do() -> None:
    found = parts(option([1, 0, 0, 0], deferred=[0, 1, 1, 0], review_share=0.4), world())
    people = 0.5 + 0.5 * 0.4
    errors = 0.25 * (1 - 0.4 * 0.9) + 0.5 * 0.1
    assert found.unit[0] == pytest.approx(0.01 + people * 0.5 + errors * 2.0)


def test_errors_count_with_the_weight_of_their_row() -> None:
    assert parts(option([3, 0.5, 0, 0]), world()).unit[0] == pytest.approx(0.01 + 3.5 / 4 * 2.0)


@pytest.mark.parametrize(
    ("per_month", "usd"), [(1, 100), (1000, 100), (1001, 250), (5000, 250), (5001, 900), (10**7, 900)]
)
def test_capacity_is_the_smallest_step_that_carries_the_volume(per_month: float, usd: float) -> None:
    steps = [(5000, 250), (1000, 100), (20_000, 900)]
    rows = [{"up_to_items_per_month": limit, "usd_per_year": price} for limit, price in steps]
    found = parts(option([0] * 4, capacity=rows, capacity_usd_per_year=7), world(per_month))
    volume = np.array([12.0 * per_month])
    assert found.fixed[0] == 0
    assert found.total(volume)[0] == pytest.approx(usd + volume[0] * found.unit[0])


def test_capacity_follows_the_volume_of_each_draw() -> None:
    steps = (
        CapacityStep(up_to_items_per_month=10, usd_per_year=1),
        CapacityStep(up_to_items_per_month=20, usd_per_year=5),
    )
    assert capacity(steps, np.array([120.0, 121.0, 99_999.0])).tolist() == [1, 5, 5]


# People


def people(weight: list[float], **costs: Any) -> Option:
    economics = Economics.model_validate({"items_per_month": 1, "options": {"human": costs} if costs else {}})
    return human_option(len(weight), np.array(weight), economics)


def test_a_person_costs_a_review_an_item_and_errs_as_reviewers_do() -> None:
    assert parts(people([1] * 4), world()).unit[0] == pytest.approx(0.5 + 0.1 * 2.0)


def test_a_persons_own_accuracy_wage_and_training_are_used_where_given() -> None:
    found = parts(people([1] * 4, accuracy=0.98, item_usd=0.05, setup_usd=800), world(horizon_years=2.0))
    assert found.unit[0] == pytest.approx(0.05 + 0.5 + 0.02 * 2.0)
    assert found.fixed[0] == pytest.approx(400)


def test_a_persons_errors_count_with_the_weight_of_their_row_too() -> None:
    assert parts(people([3, 1, 1, 1]), world()).unit[0] == pytest.approx(0.5 + 0.1 * 6 / 4 * 2.0)


# Draws


def test_draws_have_the_given_percentiles_on_both_sides() -> None:
    drawn = draw(Quantity(p10=20_000, p50=60_000, p90=90_000), 200_000, np.random.default_rng(0))
    assert np.quantile(drawn, [0.1, 0.5, 0.9]) == pytest.approx([20_000, 60_000, 90_000], rel=0.02)


def test_a_known_number_does_not_vary() -> None:
    assert draw(exactly(3.5), 5, np.random.default_rng(0)).tolist() == [3.5] * 5


def test_percentiles_that_begin_at_zero_stay_of_the_size_that_was_given() -> None:
    rng = np.random.default_rng(0)
    never_less = draw(Quantity(p10=0, p50=0, p90=1000), 100_000, rng)
    seldom = draw(Quantity(p10=0, p50=500, p90=1000), 100_000, rng)
    assert np.quantile(never_less, [0.1, 0.5, 0.9]) == pytest.approx([0, 0, 1000], rel=0.02)
    assert 0 < never_less.mean() < 1000
    assert np.quantile(seldom, [0.1, 0.5, 0.9]) == pytest.approx([0, 500, 1000], rel=0.02, abs=1e-6)


def test_a_share_never_exceeds_one() -> None:
    where = world()
    many = World(*(np.repeat(x, 2000, axis=0) for x in _arrays(where)), where.horizon_years, where.reviewer_accuracy)
    found = parts(option([1, 0, 0, 0], review_share={"p10": 0.5, "p50": 0.9, "p90": 0.99}), many)
    assert found.unit.max() <= 0.01 + 0.5 + 0.25 * 2.0
    assert found.unit.max() == pytest.approx(0.01 + 0.5 + 0.25 * 0.1 * 2.0, rel=0.2)


def _arrays(where: World) -> list[Any]:
    return [where.items_per_year, where.error_usd, where.review_usd, where.changes_per_year, where.weights]


def test_a_handful_of_right_rows_is_no_certainty() -> None:
    draws = 4000
    rng = np.random.default_rng(0)
    where = world()
    many = World(*(np.repeat(x, draws, axis=0) for x in _arrays(where)), where.horizon_years, where.reviewer_accuracy)
    one_more = replace(many, unseen=rng.beta(1, 4, draws))  # four rows seen
    sure, unsure = parts(option([0] * 4), many).unit, parts(option([0] * 4), one_more).unit
    assert np.ptp(sure) == 0
    assert np.quantile(unsure, 0.95) > sure[0] + 0.1
    measured = parts(option([1, 1, 0, 0]), one_more).unit
    assert measured.mean() == pytest.approx(parts(option([1, 1, 0, 0]), where).unit[0], rel=0.02)
