"""From quantities to money."""

from __future__ import annotations

import math

import pytest

from tasklift.economics import UnitPrices, exactly
from tasklift.llm.prices import price_of
from tasklift.measure.cost import Serving, item_cost, setup_cost
from tasklift.prediction import Usage
from tasklift.strategy import Resources

PRICES = UnitPrices(
    label_usd=exactly(0.25), person_hour_usd=exactly(60), cpu_hour_usd=exactly(0.036), gpu_hour_usd=exactly(3.6)
)


def test_a_local_item_costs_its_machine_seconds() -> None:
    found = item_cost(Usage(cpu_s=200.0, gpu_s=10.0), 100, PRICES, None)
    assert found.usd == pytest.approx((200 * 1e-5 + 10 * 1e-3) / 100)
    assert found.source == "measured CPU seconds x cpu_hour_usd"


def test_a_hosted_item_costs_its_tokens_with_cached_ones_at_their_own_price() -> None:
    price = price_of("gpt-4o-mini")
    assert price is not None
    assert price.cached_input_usd < price.input_usd
    used = Usage(calls=10, input_tokens=10_000, cached_tokens=4_000, output_tokens=50, cpu_s=1.0)
    found = item_cost(used, 10, PRICES, "gpt-4o-mini")
    tokens = 6_000 * price.input_usd + 4_000 * price.cached_input_usd + 50 * price.output_usd
    assert found.usd == pytest.approx((tokens / 1e6 + 1e-5) / 10)
    assert found.source == f"measured tokens x {price.snapshot}"


def test_where_no_price_is_known_the_source_says_so_and_what_to_set() -> None:
    found = item_cost(Usage(calls=1, input_tokens=1000, cpu_s=1.0), 1, PRICES, "our-own-model")
    assert found.usd == pytest.approx(1e-5)
    assert "no token price is known for 'our-own-model': set item_usd" in found.source
    assert found.missing == "our-own-model"


def test_making_a_candidate_costs_labels_machines_and_people() -> None:
    used = Resources(labels=400, tokens=10**6, cpu_s=100.0, gpu_s=1000.0, person_minutes=90.0)
    assert setup_cost(used, PRICES) == pytest.approx(100 + 0.001 + 1.0 + 90)
    assert setup_cost(Resources(), PRICES) == 0


def test_uncertain_prices_count_with_their_mean() -> None:
    prices = UnitPrices.model_validate({"label_usd": {"p10": 0.1, "p50": 0.2, "p90": 0.4}, "annotators": 3})
    width = math.log(2) / 1.2815515655
    assert setup_cost(Resources(labels=10), prices) == pytest.approx(10 * 3 * 0.2 * math.exp(width**2 / 2), rel=1e-3)


def test_training_tokens_cost_too() -> None:
    prices = UnitPrices(training_usd_per_mtok=exactly(8))
    assert setup_cost(Resources(tokens=500_000), prices) == pytest.approx(4)


def test_a_price_of_ones_own_goes_before_the_table_and_a_batch_costs_less() -> None:
    own = {"our-own-model": {"input_usd": 1.0, "cached_input_usd": 0.1, "output_usd": 4.0}}
    prices = UnitPrices.model_validate({"tokens": own, "batch_factor": 0.5})
    used = Usage(calls=10, input_tokens=10_000, output_tokens=500)
    assert item_cost(used, 10, prices, "our-own-model").usd == pytest.approx((10_000 + 4 * 500) / 1e6 / 10)
    served = Serving(cached_share=0.5, batch_share=0.4)
    found = item_cost(used, 10, prices, "https://x/v1#our-own-model", served)
    assert found.usd == pytest.approx(0.8 * (5_000 + 0.1 * 5_000 + 4 * 500) / 1e6 / 10)
    assert found.missing == ""
