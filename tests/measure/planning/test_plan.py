"""Plans: what rows can show, labels a guarantee needs, prices and times as ranges that say what they rest on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from tasklift.dataset import Dataset
from tasklift.economics import UnitPrices
from tasklift.llm.fake import ScriptedModel
from tasklift.measure.evaluation import evaluate
from tasklift.measure.metrics import right_of
from tasklift.measure.planning.estimate import Needs, Range, Rows, estimate, from_stored
from tasklift.measure.planning.plan import accepted_needed, guarantee, strategy_plan, totals, what_rows_show
from tasklift.stats.learn_then_test import learn_then_test, smallest_start
from tasklift.strategies.baseline import Baseline, Majority
from tasklift.strategies.human import Human
from tasklift.strategies.layered import Layered
from tasklift.strategies.prompt import Prompt
from tasklift.task import Task

URL = "https://host.example/v1#small"
PRICES = UnitPrices.model_validate({"tokens": {URL: {"input_usd": 100, "output_usd": 200}}})


@pytest.fixture
def rows(colours: Task, colour_rows: Dataset) -> Rows:
    train, test = (colour_rows.part(colour_rows.examples[at::2], str(at)) for at in range(2))
    return Rows(colours, train, test)


def test_a_difference_that_needs_n_rows_is_the_smallest_that_n_rows_show() -> None:
    found = what_rows_show(1960, None)
    assert found["minimum_detectable_difference"] == pytest.approx(0.02, abs=1e-3)
    assert found["rows_needed"]["0.02"] == 1960
    assert found["source"].startswith("assumed")
    assert what_rows_show(3, None)["minimum_detectable_difference"] is None


def test_how_often_options_differ_is_taken_from_an_evaluation(rows: Rows) -> None:
    """Majority is a yardstick and people are not measured: one option alone differs from nothing."""
    yardsticks = {"majority": Majority(), "svm": Baseline(), "human": Human()}
    alone = evaluate(rows.task, yardsticks, rows.train, rows.test)
    assert what_rows_show(100, alone)["source"].startswith("assumed")
    always_red = Prompt(model=ScriptedModel({"": "red"}), calibrate=False)
    two = evaluate(rows.task, {"svm": Baseline(), "prompt": always_red}, rows.train, rows.test)
    right = {r.name: right_of(r.predictions, rows.test.outputs) for r in two.results}
    found = what_rows_show(100, two)
    assert found["discordant"] == pytest.approx((right["svm"] != right["prompt"]).mean(), abs=1e-4)
    assert two.id in found["source"]


def test_the_labels_of_a_guarantee_are_enough_and_hardly_fewer_would_do() -> None:
    alpha, delta = 0.05, 0.1
    n = accepted_needed(alpha, delta, alpha / 2)
    assert binom.cdf(math.ceil(alpha / 2 * n), n, alpha) <= delta
    found = guarantee(100, alpha, delta, 0.25)
    assert found["accepted_rows"]["low"] == smallest_start(alpha, delta)
    assert found["missing"]["low"] == found["labels"]["low"] - 100
    # At the lower end nine of ten rows are accepted and none is wrong: that is certified.
    fold = math.ceil(found["labels"]["low"] * 0.25)
    sure = (np.arange(fold) < 0.9 * fold).astype(float)
    certified = learn_then_test(sure, 1 - sure, alpha, delta)
    assert certified.threshold == 1.0
    assert guarantee(10_000, alpha, delta, 0.25)["missing"] == {"low": 0, "high": 0}


def test_a_hosted_strategy_is_priced_by_the_requests_that_it_would_send(rows: Rows) -> None:
    needs = estimate(Prompt(model=URL), rows, probe=True)
    assert needs.model == URL
    assert needs.row_s is None
    assert 0 < needs.row_tokens[0].low < needs.row_tokens[0].high
    assert "none sent" in needs.source
    plan = strategy_plan(needs, 1000, PRICES)
    assert plan.evaluation_usd is not None
    assert plan.evaluation_usd.low == pytest.approx(1000 * (needs.row_tokens[0].low * 100 + 200) / 1e6)
    assert plan.training_usd == Range(0, 0)
    assert plan.time_s is None


def test_an_unknown_price_is_named_and_never_0(rows: Rows) -> None:
    plan = strategy_plan(estimate(Prompt(model=URL), rows, probe=True), 1000, UnitPrices())
    assert (plan.usd, plan.missing_price) == (None, URL)
    total = totals({"prompt": plan}, 10.0, UnitPrices())
    assert total["not_known"] == ["prompt"]
    assert total["within_budget"] == "not known"


def test_what_is_local_is_timed_on_a_few_rows(rows: Rows) -> None:
    needs = estimate(Baseline(), rows, probe=True)
    assert needs.fit_s is not None
    assert needs.row_s is not None
    assert 0 < needs.fit_s.low < needs.fit_s.high < 60
    assert needs.labels == len(rows.train)
    plan = strategy_plan(needs, 100, PRICES)
    assert plan.time_s is not None
    assert plan.usd is not None
    assert plan.labels_usd == pytest.approx(0.25 * len(rows.train))
    unknown = strategy_plan(estimate(Baseline(), rows, probe=False), 100, PRICES)
    assert (unknown.usd, unknown.time_s) == (None, None)


def test_a_stored_evaluation_goes_before_a_probe_and_is_scaled(rows: Rows) -> None:
    evaluation = evaluate(rows.task, {"svm": Baseline()}, rows.train, rows.test)
    result = evaluation.result("svm")
    twice = Rows(rows.task, rows.train.part(rows.train.examples * 2, "twice"), rows.test)
    needs = from_stored(result, twice, evaluation.id)
    assert needs.fit_s is not None
    assert needs.fit_s.low <= 2 * result.card.setup.cpu_s <= needs.fit_s.high
    assert evaluation.id in needs.source


def test_a_layered_strategy_is_planned_by_its_stages(rows: Rows) -> None:
    layered = Layered(core=Baseline(), prompt=Prompt(model=URL))
    needs = estimate(layered, rows, probe=True)
    assert needs.model == URL
    assert needs.labels == len(rows.train)
    prompt = estimate(Prompt(model=URL), rows, probe=True)
    assert needs.row_tokens == prompt.row_tokens
    # A pilot on the second fold at least, the whole third fold at most.
    second, third = round(0.15 * len(rows.train)), round(0.25 * len(rows.train))
    assert needs.fit_tokens[0].low == pytest.approx(prompt.row_tokens[0].low * second)
    assert needs.fit_tokens[0].high == pytest.approx(prompt.row_tokens[0].high * (second + third))


def test_totals_hold_the_budget_against_the_dearest_end() -> None:
    cheap = strategy_plan(Needs("", row_tokens=(Range(10, 20), Range(1, 2)), model=URL), 1000, PRICES)
    assert cheap.usd is not None
    enough = totals({"a": cheap, "b": cheap}, 2 * cheap.usd.high + 5.1, PRICES)
    assert enough["within_budget"] is True
    assert enough["labels_that_are_left"] == 20
    assert totals({"a": cheap}, cheap.usd.high * 0.99, PRICES)["within_budget"] is False
