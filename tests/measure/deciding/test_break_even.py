"""The volume from which one option is cheaper than another."""

from __future__ import annotations

import numpy as np
import pytest

from tasklift.measure.deciding.break_even import BreakEven, break_even_of
from tasklift.measure.deciding.yearly import Parts


def parts(fixed: float | list[float], unit: float | list[float], draws: int = 1) -> Parts:
    shape = np.ones(draws)
    return Parts(np.array(fixed) * shape, np.array(unit) * shape)


def test_the_break_even_volume_by_hand() -> None:
    found = break_even_of(parts(25_000, 0.01), parts(1_000, 0.05))
    assert found.items_per_month == pytest.approx(24_000 / 0.04 / 12)
    assert (found.low, found.high) == (found.items_per_month, found.items_per_month)


def test_both_options_cost_the_same_at_the_break_even_volume() -> None:
    first, second = parts(25_000, 0.01), parts(1_000, 0.05)
    monthly = break_even_of(first, second).items_per_month
    assert monthly is not None
    for factor, cheaper in ((0.99, False), (1.01, True)):
        volume = np.array([12 * monthly * factor])
        assert (first.total(volume) < second.total(volume))[0] == cheaper


@pytest.mark.parametrize("unit", [0.05, 0.06])
def test_an_option_whose_set_up_no_item_pays_back_is_never_cheaper(unit: float) -> None:
    found = break_even_of(parts(25_000, unit), parts(1_000, 0.05))
    assert found == BreakEven(None)
    assert found.to_json() == "never"


@pytest.mark.parametrize(("fixed", "unit"), [(1_000, 0.01), (500, 0.05), (1_000, 0.05)])
def test_an_option_that_costs_no_more_in_any_respect_is_cheaper_at_any_volume(fixed: float, unit: float) -> None:
    found = break_even_of(parts(fixed, unit), parts(1_000, 0.05))
    assert found == BreakEven(0.0, 0.0, 0.0)
    assert found.to_json() == {"items_per_month": 0, "low": 0, "high": 0}


def test_an_option_that_is_only_cheaper_at_small_volumes_is_cheaper_from_no_volume_on() -> None:
    assert break_even_of(parts(0, 0.40), parts(50_000, 0.01)) == BreakEven(None)


def test_the_interval_covers_nine_tenths_of_the_draws() -> None:
    rng = np.random.default_rng(0)
    extra = rng.uniform(10_000, 20_000, 4000)
    found = break_even_of(Parts(extra, np.full(4000, 0.01)), parts(0, 0.06, 4000))
    assert found.low == pytest.approx(10_500 / 0.05 / 12, rel=0.02)
    assert found.items_per_month == pytest.approx(15_000 / 0.05 / 12, rel=0.02)
    assert found.high == pytest.approx(19_500 / 0.05 / 12, rel=0.02)


@pytest.mark.parametrize(("never", "bounded"), [(2, True), (10, False)])
def test_where_too_many_draws_say_never_there_is_no_upper_bound(never: int, bounded: bool) -> None:
    gain = np.array([-0.01] * never + [0.04] * (100 - never))
    found = break_even_of(Parts(np.full(100, 4800.0), 0.05 - gain), parts(0, 0.05, 100))
    assert found.items_per_month == pytest.approx(10_000)
    assert (found.high is not None) == bounded
    assert found.to_json() == {"items_per_month": 10_000, "low": 10_000, "high": 10_000 if bounded else None}


def test_where_most_draws_say_never_the_answer_is_never() -> None:
    gain = np.array([-0.01] * 60 + [0.04] * 40)
    assert break_even_of(Parts(np.full(100, 4800.0), 0.05 - gain), parts(0, 0.05, 100)).to_json() == "never"
