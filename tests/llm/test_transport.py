"""Errors, retries, keys and limits, against a real server on loopback."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

import pytest

from tasklift.errors import (
    AuthenticationError,
    ConfigError,
    InvalidOutputError,
    ModelError,
    ModelTimeoutError,
    RateLimitError,
    RequestRefusedError,
    ServerError,
)
from tasklift.llm.client import ClientOptions, Clock, OpenAICompatibleModel
from tasklift.llm.endpoint import Key, read_answer, retry_after
from tasklift.llm.fake import Behaviour, FakeEndpoint
from tasklift.llm.model import Message, Reply, Request

KEY = "sk-proj-Zq81xY77mmKwP20aLtR9"
LABELS = ("Billing", "Delivery", "Other")
OK = Behaviour("fine")


class FakeTime:
    """A clock that jumps instead of waiting, and remembers the jumps."""

    def __init__(self, chance: float = 0.5, wall_s: float = 1_700_000_000.0) -> None:
        self.now_s = 0.0
        self.pauses: list[float] = []
        self.clock = Clock(lambda: self.now_s, lambda: wall_s, self.sleep, lambda: chance)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(round(seconds, 6))
        self.now_s += seconds
        await asyncio.sleep(0)


def ask(text: str = "Where is my parcel?", labels: tuple[str, ...] = (), **rest: Any) -> Request:
    return Request((Message("system", "Sort."), Message("user", text)), labels, **rest)


async def complete(
    endpoint: FakeEndpoint,
    request: Request | None = None,
    *,
    key_variable: str | None = None,
    options: ClientOptions | None = None,
    time: FakeTime | None = None,
) -> Reply:
    model = OpenAICompatibleModel(
        endpoint.url,
        endpoint.model,
        key_variable=key_variable,
        options=options,
        clock=(time or FakeTime()).clock,
    )
    try:
        return await model.complete(request or ask())
    finally:
        await model.aclose()


@pytest.fixture
def key_variable(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SOME_KEY", KEY)
    return "SOME_KEY"


# Errors and retries


@pytest.mark.parametrize(
    ("behaviour", "error", "requests"),
    [
        (Behaviour.error(401), AuthenticationError, 1),
        (Behaviour.error(403), AuthenticationError, 1),
        (Behaviour.error(400), RequestRefusedError, 1),
        (Behaviour.error(404), RequestRefusedError, 1),
        (Behaviour.error(422), RequestRefusedError, 1),
        (Behaviour.error(302), RequestRefusedError, 1),
        (Behaviour.error(408), ModelTimeoutError, 3),
        (Behaviour.error(409), RequestRefusedError, 3),
        (Behaviour.error(429), RateLimitError, 3),
        (Behaviour.error(429, code="insufficient_quota"), RateLimitError, 1),
        (Behaviour.error(500), ServerError, 3),
        (Behaviour(kind="html", status=502), ServerError, 3),
        (Behaviour(kind="html"), InvalidOutputError, 3),
        (Behaviour(kind="garbage"), InvalidOutputError, 3),
        (Behaviour(kind="truncated"), InvalidOutputError, 3),
        (Behaviour(kind="broken_off"), InvalidOutputError, 3),
        (Behaviour(kind="disconnect"), ServerError, 3),
    ],
)
async def test_failures_for_ever(behaviour: Behaviour, error: type[ModelError], requests: int) -> None:
    async with FakeEndpoint(default=behaviour) as endpoint:
        with pytest.raises(error) as caught:
            await complete(endpoint, options=ClientOptions(max_retries=2))
        assert len(endpoint.received) == requests
    assert endpoint.url in str(caught.value)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour.error(429),
        Behaviour.error(503),
        Behaviour(kind="truncated"),
        Behaviour(kind="broken_off"),
        Behaviour(kind="garbage"),
        Behaviour(kind="disconnect"),
    ],
)
async def test_a_passing_failure_is_retried(behaviour: Behaviour) -> None:
    async with FakeEndpoint([behaviour, behaviour, OK]) as endpoint:
        assert (await complete(endpoint)).text == "fine"


async def test_pauses_grow_with_full_jitter() -> None:
    time = FakeTime(chance=0.5)
    async with FakeEndpoint(default=Behaviour.error(500)) as endpoint:
        options = ClientOptions(max_retries=4, backoff_s=1, max_backoff_s=3)
        with pytest.raises(ServerError, match="5 requests"):
            await complete(endpoint, time=time, options=options)
    assert time.pauses == [0.5, 1.0, 1.5, 1.5]


async def test_retry_after_is_honoured_and_capped() -> None:
    time = FakeTime(chance=0)
    script = [Behaviour.error(429, retry_after_s=7), Behaviour.error(503, retry_after_s=500)]
    async with FakeEndpoint(script, default=OK) as endpoint:
        reply = await complete(endpoint, time=time, options=ClientOptions(max_retry_after_s=20))
    assert time.pauses == [7, 20]
    assert reply.latency_s == pytest.approx(27)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": formatdate(1030, usegmt=True)}, 30),
        ({"retry-after": formatdate(1030, usegmt=True), "date": formatdate(1010, usegmt=True)}, 20),
        ({"retry-after": formatdate(900, usegmt=True)}, 0),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_forms_of_retry_after(headers: Mapping[str, str], seconds: float | None) -> None:
    assert retry_after(headers, 1000.0) == seconds


async def test_the_overall_time_out_ends_the_retries() -> None:
    time = FakeTime(chance=0)
    async with FakeEndpoint(default=Behaviour.error(429, retry_after_s=40)) as endpoint:
        with pytest.raises(RateLimitError, match=r"3 requests"):
            await complete(endpoint, time=time, options=ClientOptions(total_timeout_s=100))
    assert time.pauses == [40, 40]


@pytest.mark.parametrize("kind", ["hang", "hang_after_headers", "answer"])
async def test_a_silent_server_is_a_time_out(kind: Any) -> None:
    behaviour = Behaviour(kind=kind, delay_s=0.5 if kind == "answer" else 0.0)
    async with FakeEndpoint(default=behaviour) as endpoint:
        with pytest.raises(ModelTimeoutError, match=r"no answer within 0.1 s; .*\(2 requests\)"):
            await complete(endpoint, options=ClientOptions(timeout_s=0.1, max_retries=1))


async def test_a_time_out_is_retried() -> None:
    async with FakeEndpoint([Behaviour(kind="hang")], default=OK) as endpoint:
        assert (await complete(endpoint, options=ClientOptions(timeout_s=0.5))).text == "fine"


async def test_nobody_listening_is_a_server_error() -> None:
    model = OpenAICompatibleModel("http://127.0.0.1:9/v1", "m", clock=FakeTime().clock)
    with pytest.raises(ServerError, match="is the server running"):
        await model.complete(ask())
    await model.aclose()


def test_an_error_inside_a_200_keeps_its_status() -> None:
    found = read_answer(200, {}, b'{"error": {"message": "upstream is busy", "code": 429}}', lambda: 0.0)
    assert getattr(found, "error", None) is RateLimitError


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"choices": []}', b'{"choices": [{"message": null}]}', b"[" * 9999])
def test_odd_json_is_invalid_output(body: bytes) -> None:
    found = read_answer(200, {}, body, lambda: 0.0)
    assert getattr(found, "error", None) is InvalidOutputError


def test_content_in_parts_and_odd_usage() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]
    body = {
        "choices": [{"message": {"content": parts}}],
        "usage": {"prompt_tokens": None, "completion_tokens": 4},
    }
    found = read_answer(200, {}, json.dumps(body).encode(), lambda: 0.0)
    assert getattr(found, "text", None) == "ab"
    assert (found.usage.calls, found.usage.input_tokens, found.usage.output_tokens) == (1, 0, 4)


# Keys


def _everything(error: BaseException | None) -> str:
    """All that a log could show of an error: its chain, and the attributes of each link."""
    shown = ""
    while error is not None:
        shown += "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error)) + repr(error.args)
        error = error.__cause__ or error.__context__
    return shown


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour.error(400, f"you sent Authorization: Bearer {KEY} to us"),
        Behaviour.error(401, f"Incorrect API key provided: {KEY[:12]}******{KEY[-9:]}"),
        Behaviour.error(500, KEY),
        Behaviour(f"the answer is {KEY}"),
        Behaviour(kind="disconnect"),
        Behaviour(kind="hang"),
        Behaviour(kind="hang_after_headers"),
    ],
)
async def test_the_key_is_in_no_error_repr_or_log(
    behaviour: Behaviour, key_variable: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with FakeEndpoint(default=behaviour) as endpoint:
        options = ClientOptions(timeout_s=0.1, max_retries=0)
        model = OpenAICompatibleModel(endpoint.url, endpoint.model, key_variable=key_variable, options=options)
        with pytest.raises(ModelError) as caught:
            await model.complete(ask(labels=LABELS))
        shown = repr(model) + repr(vars(model)) + repr(vars(model._transport)) + caplog.text
        await model.aclose()
    shown += _everything(caught.value)
    assert not any(KEY[at : at + 8] in shown for at in range(len(KEY) - 7))


async def test_a_wrong_key_says_which_variable_to_check(key_variable: str) -> None:
    async with FakeEndpoint(api_key="another-key-altogether") as endpoint:
        with pytest.raises(AuthenticationError, match="check the key in SOME_KEY") as caught:
            await complete(endpoint, key_variable=key_variable)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(("variable", "hint"), [("UNSET_KEY", "UNSET_KEY is not set"), (None, "no key was sent")])
async def test_a_missing_key_says_so(variable: str | None, hint: str) -> None:
    async with FakeEndpoint(api_key=KEY) as endpoint:
        with pytest.raises(AuthenticationError, match=hint):
            await complete(endpoint, key_variable=variable)


def test_a_malformed_key_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "first-line\nsecond-line")
    with pytest.raises(ConfigError, match="SOME_KEY") as caught:
        OpenAICompatibleModel("http://127.0.0.1:1/v1", "m", key_variable="SOME_KEY")
    assert "line" not in str(caught.value)


def test_scrubbing_leaves_other_text_alone(key_variable: str) -> None:
    key = Key(key_variable)
    assert key.scrub(f"a {KEY} b {KEY[3:15]} c") == "a *** b *** c"
    assert key.scrub("nothing here") == "nothing here"
    assert Key(None).scrub(KEY) == KEY


# Limits


async def test_concurrency_is_bounded() -> None:
    async with FakeEndpoint(default=Behaviour("x", delay_s=0.01)) as endpoint:
        model = OpenAICompatibleModel(endpoint.url, endpoint.model, options=ClientOptions(max_concurrency=3))
        await asyncio.gather(*(model.complete(ask(str(at))) for at in range(20)))
        await model.aclose()
        assert endpoint.most_at_once == 3


async def test_requests_per_minute() -> None:
    time = FakeTime()
    async with FakeEndpoint(default=OK) as endpoint:
        options = ClientOptions(requests_per_minute=30)
        model = OpenAICompatibleModel(endpoint.url, endpoint.model, options=options, clock=time.clock)
        replies = [await model.complete(ask()) for _ in range(5)]
        await model.aclose()
    assert time.pauses == [2.0] * 4
    assert [reply.latency_s for reply in replies] == [0.0] * 5


async def test_tokens_per_minute_follow_what_was_really_used() -> None:
    time = FakeTime()
    async with FakeEndpoint(default=Behaviour(" ".join(["word"] * 55))) as endpoint:  # 5 + 55 = 60 tokens
        options = ClientOptions(tokens_per_minute=60)
        model = OpenAICompatibleModel(endpoint.url, endpoint.model, options=options, clock=time.clock)
        for _ in range(4):
            await model.complete(ask())
        await model.aclose()
    assert time.pauses == [60.0] * 3


@pytest.mark.parametrize("bad", [{"timeout_s": 0}, {"max_retries": -1}, {"max_concurrency": 0}, {"backoff_s": -1.0}])
def test_impossible_options_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        ClientOptions(**bad)
