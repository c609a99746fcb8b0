"""Batches through a real local server: cheaper, resumable, and what they do not answer is asked in the plain way."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tasklift.cache import ContentCache
from tasklift.errors import BudgetError, RequestRefusedError, ServerError
from tasklift.llm.batches import Batches, Filled
from tasklift.llm.cached import CachedModel
from tasklift.llm.client import ClientOptions, OpenAICompatibleModel
from tasklift.llm.fake import Behaviour, FakeEndpoint
from tasklift.llm.model import Message, Request
from tasklift.llm.prices import TokenPrice
from tasklift.llm.spending import Meter

LABELS = ("red", "green")


def ask(text: str, **rest: Any) -> Request:
    return Request((Message("user", text),), LABELS, **rest)


def batches(endpoint: FakeEndpoint, folder: Path, cache: ContentCache, meter: Meter | None = None) -> Batches:
    model = OpenAICompatibleModel(endpoint.url, endpoint.model, options=ClientOptions(max_retries=0))
    return Batches(model, cache, folder, meter, lambda line: None, poll_s=0.01)


def noted(folder: Path) -> list[Path]:
    return list(folder.glob("*.json"))


async def test_a_batch_answers_what_the_cache_does_not_hold(tmp_path: Path) -> None:
    cache = ContentCache()
    async with FakeEndpoint(answer=lambda body: "green" if "moss" in str(body) else "red") as endpoint:
        made = batches(endpoint, tmp_path, cache)
        assert await made.fill([ask("moss"), ask("ruby"), ask("ruby")]) == Filled(2, 2)
        assert await made.fill([ask("moss"), ask("ruby", repeat=1)]) == Filled(1, 1)
        model = CachedModel(made.model, cache)
        replies = [await model.complete(request) for request in (ask("moss"), ask("ruby"), ask("ruby", repeat=1))]
        await made.model.aclose()
    assert [reply.text for reply in replies] == ["green", "red", "red"]
    assert all(reply.cached and reply.usage.calls == 1 for reply in replies)
    assert endpoint.received == []  # nothing was asked in the plain way
    assert endpoint.batches.created == 2
    assert not noted(tmp_path)


async def test_a_run_that_was_stopped_goes_on_with_the_same_batch(tmp_path: Path) -> None:
    cache = ContentCache()
    async with FakeEndpoint() as endpoint:
        endpoint.batches.polls = 1000
        waiting = asyncio.create_task(batches(endpoint, tmp_path, cache).fill([ask("a"), ask("b")]))
        while not noted(tmp_path):  # noqa: ASYNC110 - a file tells
            await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        endpoint.batches.polls = 0
        assert await batches(endpoint, tmp_path, cache).fill([ask("b"), ask("a")]) == Filled(2, 2)
    assert endpoint.batches.created == 1


async def test_what_a_batch_does_not_answer_is_asked_in_the_plain_way(tmp_path: Path) -> None:
    cache = ContentCache()
    async with FakeEndpoint([Behaviour("pink")], answer=lambda body: "red") as endpoint:
        made = batches(endpoint, tmp_path, cache)
        assert await made.fill([ask("a"), ask("b")]) == Filled(2, 1)  # "pink" is no label
        model = CachedModel(made.model, cache)
        assert {(await model.complete(ask(text))).text for text in "ab"} == {"red"}
        await made.model.aclose()
        assert len(endpoint.received) == 1
        endpoint.batches.ends, endpoint.batches.answered_share = "expired", 0.5
        assert await made.fill([ask("c"), ask("d")]) == Filled(2, 1)
        endpoint.batches.ends = "failed"
        assert await made.fill([ask("e")]) == Filled(1, 0)


async def test_a_cap_in_money_stands_before_a_batch(tmp_path: Path) -> None:
    price = TokenPrice(1000.0, 1000.0, 1000.0, "given")
    async with FakeEndpoint() as endpoint:
        small = Meter(0.001, lambda name: price)
        with pytest.raises(BudgetError, match="raise --max-usd, or leave --batch out"):
            await batches(endpoint, tmp_path, ContentCache(), small).fill([ask("a")])
        assert endpoint.batches.created == 0
        large = Meter(100.0, lambda name: price)
        await batches(endpoint, tmp_path, ContentCache(), large).fill([ask("a word")])
    assert large.calls == 1
    assert large.spent_usd == pytest.approx((2 + 2) * 1000 / 1e6 / 2)  # two words in, two out, half the price


async def test_an_endpoint_without_batches_says_what_to_do(tmp_path: Path) -> None:
    async with FakeEndpoint() as endpoint:
        made = batches(endpoint, tmp_path, ContentCache())
        made.model.base_url = endpoint.url.replace("/v1", "/v2")
        with pytest.raises(RequestRefusedError, match="it has no batches; leave --batch out"):
            await made.fill([ask("a")])
    with pytest.raises(ServerError, match="goes on with the batch"):
        await batches(endpoint, tmp_path, ContentCache()).fill([ask("a")])
    assert not noted(tmp_path)


async def test_the_lines_of_a_batch_are_what_would_be_sent(tmp_path: Path) -> None:
    async with FakeEndpoint() as endpoint:
        made = batches(endpoint, tmp_path, ContentCache())
        await made.fill([ask("a")])
        await made.model.complete(ask("a"))
        await made.model.aclose()
    (line,) = next(iter(endpoint.batches.files.values())).splitlines()
    assert json.loads(line)["body"] == endpoint.received[0]
    assert json.loads(line)["method"] == "POST"


async def test_a_prefix_cache_serves_what_stands_first_and_it_shows(tmp_path: Path) -> None:
    """The same words with the row in front, and behind: only the second is served, and cheaper."""
    rules = "Answer with one of the labels that the list above names. " * 6
    tokens = {}
    for name in ("first", "last"):
        async with FakeEndpoint() as endpoint:
            endpoint.prefixes = type(endpoint.prefixes)(16)
            model = OpenAICompatibleModel(endpoint.url, endpoint.model)
            usages = []
            for row in ("one", "two", "three"):
                text = f"{row} {rules}" if name == "first" else f"{rules} {row}"
                usages.append((await model.complete(ask(text))).usage)
            await model.aclose()
        tokens[name] = sum(usage.cached_tokens for usage in usages)
    assert tokens["first"] == 0
    assert tokens["last"] == 2 * 64
