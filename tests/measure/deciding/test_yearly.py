"""The yearly cost of one option, by hand, and draws of what it depends on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import betaincinv

from tasklift.economics import CapacityStep, Quantity, exactly
from tasklift.measure.deciding.quantities import Sampler, beta_of, mean_of
from tasklift.measure.deciding.yearly import OptionDraws, Parts, Shared, capacity, yearly

STEPS = tuple(
    CapacityStep(up_to_items_per_month=limit, usd_per_year=usd)
    for limit, usd in ((5000, 250), (1000, 100), (20_000, 900))
)


def shared(items_per_month: float = 1000, **changed: float) -> Shared:
    """One draw."""
    values = {"error_usd": 2.0, "review_usd": 0.5, "changes_per_year": 0.0, "years": 1.0, "reviewer": 0.9} | changed
    money = [np.array([values[key]]) for key in ("error_usd", "review_usd", "changes_per_year")]
    return Shared(np.array([12 * items_per_month]), *money, values["years"], values["reviewer"])


def parts(where: Shared, steps: tuple[CapacityStep, ...] = (), **changed: Any) -> Parts:
    """An option of 0.01 USD an item that errs on every fourth."""
    values = dict.fromkeys(OptionDraws.__dataclass_fields__, 0.0) | {"item_usd": 0.01, "wrong": 0.25} | changed
    drawn = {name: np.array([value]) for name, value in values.items() if name != "steps"}
    return yearly(OptionDraws(**drawn, steps=steps), where)


def test_items_cost_inference_and_uncaught_errors() -> None:
    found = parts(shared())
    assert found.fixed[0] == 0
    assert found.unit[0] == pytest.approx(0.01 + 0.25 * 2.0)
    assert found.total(np.array([12_000.0]))[0] == pytest.approx(12_000 * 0.51)


@pytest.mark.parametrize(("years", "share"), [(0.5, 6000), (1.0, 3000), (3.0, 1000)])
def test_setup_is_spread_over_the_horizon(years: float, share: float) -> None:
    assert parts(shared(years=years), setup_usd=3000).fixed[0] == pytest.approx(share)


def test_upkeep_capacity_and_changes_are_paid_every_year() -> None:
    costs = {"setup_usd": 1000, "upkeep_usd_per_year": 4000, "capacity_usd_per_year": 600, "change_usd": 900}
    found = parts(shared(changes_per_year=6.0, years=2.0), wrong=0, **costs)
    assert found.fixed[0] == pytest.approx(500 + 4000 + 600 + 6 * 900)
    assert found.unit[0] == pytest.approx(0.01)


def test_reviews_cost_money_and_catch_errors() -> None:
    assert parts(shared(), review_share=0.4).unit[0] == pytest.approx(0.01 + 0.4 * 0.5 + 0.25 * (1 - 0.4 * 0.9) * 2.0)


def test_deferred_rows_are_reviewed_once_and_err_as_people_do() -> None:
    found = parts(shared(), deferred=0.5, given_away=0.5, missed=0.1, review_share=0.4)
    people = 0.5 + 0.5 * 0.4
    errors = 0.25 * (1 - 0.4 * 0.9) + 0.5 * 0.1
    assert found.unit[0] == pytest.approx(0.01 + people * 0.5 + errors * 2.0)


@pytest.mark.parametrize(
    ("per_month", "usd"), [(1, 100), (1000, 100), (1001, 250), (5000, 250), (5001, 900), (10**7, 900)]
)
def test_capacity_is_the_smallest_step_that_carries_the_volume(per_month: float, usd: float) -> None:
    found = parts(shared(), STEPS, wrong=0, item_usd=0)
    assert found.total(np.array([12 * per_month]))[0] == usd


def test_capacity_follows_the_volume_of_each_draw() -> None:
    assert capacity(STEPS, np.array([12_000.0, 12_001.0, 10.0**9])).tolist() == [100, 250, 900]


# Draws


def test_draws_have_the_given_percentiles_on_both_sides() -> None:
    drawn = Sampler(100_000).amount("volume", Quantity(p10=20_000, p50=60_000, p90=90_000))
    assert np.quantile(drawn, [0.1, 0.5, 0.9]) == pytest.approx([20_000, 60_000, 90_000], rel=0.001)


def test_few_draws_have_the_mean_of_the_distribution() -> None:
    quantity = Quantity(p10=20, p50=60, p90=180)
    width = np.log(3) / 1.2815515655
    assert mean_of(quantity) == pytest.approx(60 * np.exp(width**2 / 2), rel=0.002)
    assert Sampler(2000, seed=3).amount("x", quantity).mean() == pytest.approx(mean_of(quantity), rel=0.002)


def test_a_known_number_does_not_vary_and_is_no_parameter() -> None:
    sampler = Sampler(5)
    assert sampler.amount("x", exactly(3.5)).tolist() == [3.5] * 5
    assert sampler.drawn == {}


def test_percentiles_that_begin_at_zero_stay_of_the_size_that_was_given() -> None:
    sampler = Sampler(100_000)
    never_less = sampler.amount("a", Quantity(p10=0, p50=0, p90=1000))
    seldom = sampler.amount("b", Quantity(p10=0, p50=500, p90=1000))
    assert np.quantile(never_less, [0.1, 0.5, 0.9]) == pytest.approx([0, 0, 1000], rel=0.001, abs=0.1)
    assert 0 < never_less.mean() < 1000
    assert np.quantile(seldom, [0.1, 0.5, 0.9]) == pytest.approx([0, 500, 1000], rel=0.001, abs=0.1)


@pytest.mark.parametrize("percentiles", [(0.05, 0.1, 0.18), (0.5, 0.9, 0.99), (0.0, 0.01, 0.03), (0.9, 0.99, 1.0)])
def test_a_share_is_drawn_from_the_nearest_beta(percentiles: tuple[float, float, float]) -> None:
    low, mid, high = percentiles
    drawn = Sampler(20_000).share("x", Quantity(p10=low, p50=mid, p90=high))
    assert 0 <= drawn.min() <= drawn.max() <= 1
    assert np.quantile(drawn, [0.1, 0.5, 0.9]) == pytest.approx(percentiles, abs=0.03)


def test_the_beta_of_its_own_percentiles_is_found_again() -> None:
    percentiles = betaincinv(3.0, 17.0, [0.1, 0.5, 0.9])
    assert beta_of(*map(float, percentiles)) == pytest.approx((3.0, 17.0), rel=0.01)
