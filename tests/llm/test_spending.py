"""A hard cap in money: never gone beyond, nothing lost that was paid for, and no cap without a price."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tasklift.cache import caching_in
from tasklift.dataset import Dataset
from tasklift.errors import BudgetError, ConfigError, InvalidOutputError, ServerError
from tasklift.llm.fake import FakeEndpoint, ScriptedModel
from tasklift.llm.model import Message, Reply, Request
from tasklift.llm.prices import TokenPrice
from tasklift.llm.spending import Meter, MeteredModel, most_usd, spending_under, tokens_usd
from tasklift.measure.evaluation import Options, evaluate_async
from tasklift.prediction import Usage
from tasklift.strategies.prompt import Prompt
from tasklift.task import Task

PRICE = TokenPrice(1000.0, 500.0, 2000.0, "made up")
ASKED = Request((Message("user", "is this spam?"),), ("yes", "no"), max_tokens=4)


def meter(cap_usd: float | None) -> Meter:
    return Meter(cap_usd, lambda model: PRICE)


def test_tokens_are_priced_by_kind() -> None:
    assert tokens_usd(Usage(input_tokens=1000, cached_tokens=400, output_tokens=10), PRICE) == pytest.approx(0.82)


async def test_what_a_call_uses_is_counted_and_a_call_beyond_the_cap_is_not_made() -> None:
    model = ScriptedModel({"": "yes"})
    most = most_usd(ASKED, PRICE)
    under = meter(1.5 * most)
    asked = MeteredModel(model, under)
    reply = await asked.complete(ASKED)
    assert under.spent_usd == tokens_usd(reply.usage, PRICE) < most
    while under.spent_usd + most <= 1.5 * most:
        await asked.complete(ASKED)
    with pytest.raises(BudgetError, match="higher --max-usd") as told:
        await asked.complete(ASKED)
    assert under.spent_usd <= under.cap_usd == 1.5 * most
    assert len(model.requests) == under.calls
    assert f"{under.calls} calls" in str(told.value)


async def test_calls_at_the_same_time_never_go_beyond_the_cap_together() -> None:
    model = ScriptedModel({"": "yes"}, delay_s=0.02)
    under = meter(3.2 * most_usd(ASKED, PRICE))
    asked = MeteredModel(model, under)
    ended = await asyncio.gather(*(asked.complete(ASKED) for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(one, Reply) for one in ended) == 3 == len(model.requests)
    assert all(isinstance(one, Reply | BudgetError) for one in ended)


async def test_a_failed_call_costs_nothing_unless_an_answer_was_made() -> None:
    under = meter(None)
    asked = MeteredModel(ScriptedModel([ServerError("down"), "maybe"]), under)
    with pytest.raises(ServerError):
        await asked.complete(ASKED)
    assert under.spent_usd == 0
    with pytest.raises(InvalidOutputError):
        await asked.complete(ASKED)
    assert under.spent_usd == most_usd(ASKED, PRICE)


def test_no_cap_is_promised_where_no_price_is_known() -> None:
    with pytest.raises(ConfigError, match=r"prices\.tokens"):
        MeteredModel(ScriptedModel({"": "yes"}), Meter(1.0, lambda model: None))


async def test_an_evaluation_stops_at_the_cap_and_goes_on_from_there(
    colours: Task, colour_rows: Dataset, tmp_path: Path
) -> None:
    """What was paid for is kept: the second run asks only what is missing, and together they ask each row once."""
    rows = colour_rows.part(colour_rows.examples[:20], "test")
    train = colour_rows.part(colour_rows.examples[20:], "train")
    async with FakeEndpoint(answer=lambda body: "red", delay_s=0.01) as endpoint:
        strategies = {"prompt": Prompt(model=f"{endpoint.url}#{endpoint.model}")}
        options = Options(folder=tmp_path, concurrency=4)
        with caching_in(tmp_path / "cache"):
            under = meter(3.0)
            with spending_under(under), pytest.raises(BudgetError):
                await evaluate_async(colours, strategies, train, rows, options)
            paid = len(endpoint.received)
            assert 0 < under.spent_usd <= 3.0
            assert 0 < paid < 20
            assert paid == under.calls
            with spending_under(meter(None)):
                found = await evaluate_async(colours, strategies, train, rows, options)
    assert len(found.result("prompt").predictions) == 20
    assert len(endpoint.received) == 20
