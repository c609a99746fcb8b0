"""The public stand-ins, the server also as the real `openai` client sees it."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from tasklift.errors import InvalidOutputError, RateLimitError, TaskliftError
from tasklift.llm.fake import Behaviour, FakeEndpoint, Scripted, ScriptedModel
from tasklift.llm.model import Message, Model, Reply, Request

MESSAGES: list[Any] = [{"role": "user", "content": "three short words"}]
SCHEMA: Any = {
    "type": "json_schema",
    "json_schema": {
        "name": "label",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"label": {"type": "string", "enum": ["yes", "no"]}},
            "required": ["label"],
            "additionalProperties": False,
        },
    },
}


def ask(text: str, *labels: str) -> Request:
    return Request((Message("user", text),), labels)


# ScriptedModel


async def test_answers_by_message_or_the_longest_part_of_it() -> None:
    model = ScriptedModel({"parcel": "delivery", "parcel refund": "refund"}, default="other")
    assert isinstance(model, Model)
    texts = [(await model.complete(ask(text))).text for text in ("my parcel", "a parcel refund", "hello")]
    assert texts == ["delivery", "refund", "other"]
    assert len(model.requests) == 3
    await model.aclose()


async def test_answers_by_function_and_in_order() -> None:
    by_function = ScriptedModel(lambda request: request.messages[-1].content.upper())
    assert (await by_function.complete(ask("hi"))).text == "HI"
    script: list[Scripted] = ["one", Reply("two"), RateLimitError("slow down")]
    in_order = ScriptedModel(script, default="rest")
    assert [(await in_order.complete(ask("x"))).text for _ in range(2)] == ["one", "two"]
    with pytest.raises(RateLimitError, match="slow down"):
        await in_order.complete(ask("x"))
    assert (await in_order.complete(ask("x"))).text == "rest"
    assert (by_function.deterministic, in_order.deterministic) == (True, False)


async def test_a_script_without_an_answer_says_what_was_asked() -> None:
    with pytest.raises(TaskliftError, match="no answer to 'hello'; add one, or a default"):
        await ScriptedModel({"bye": "x"}).complete(ask("hello"))
    with pytest.raises(TypeError, match="write \\['x'\\]"):
        ScriptedModel("x")


async def test_an_answer_that_is_no_label_is_invalid_output() -> None:
    with pytest.raises(InvalidOutputError, match="'maybe' is none of"):
        await ScriptedModel(default="maybe").complete(ask("x", "yes", "no"))


async def test_log_probabilities() -> None:
    reply = await ScriptedModel(default="yes", confidence=0.8).complete(ask("x", "yes", "no", "both"))
    assert reply.log_probs is not None
    assert {label: math.exp(log) for label, log in reply.log_probs.items()} == pytest.approx(
        {"yes": 0.8, "no": 0.1, "both": 0.1}
    )
    certain = await ScriptedModel(default="yes", confidence=1.0).complete(ask("x", "yes", "no"))
    assert certain.log_probs == {"yes": 0.0, "no": -math.inf}


def test_other_scripts_have_other_snapshots() -> None:
    assert ScriptedModel({"a": "b"}).snapshot == ScriptedModel({"a": "b"}).snapshot
    assert ScriptedModel({"a": "b"}).snapshot != ScriptedModel({"a": "c"}).snapshot


# FakeEndpoint, seen by the openai client


@pytest.fixture
async def endpoint() -> AsyncIterator[FakeEndpoint]:
    async with FakeEndpoint(api_key="the-right-key", models=["m"]) as running:
        yield running


def client(endpoint: FakeEndpoint, key: str = "the-right-key") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=endpoint.url, api_key=key, max_retries=0, timeout=5)


async def test_openai_completes(endpoint: FakeEndpoint) -> None:
    async with client(endpoint) as api:
        found = await api.chat.completions.create(model="m", messages=MESSAGES)
    assert found.choices[0].message.content == "ok"
    assert found.choices[0].finish_reason == "stop"
    assert found.usage is not None
    assert (found.usage.prompt_tokens, found.usage.completion_tokens, found.usage.total_tokens) == (3, 1, 4)


async def test_openai_gets_an_answer_within_the_schema(endpoint: FakeEndpoint) -> None:
    async with client(endpoint) as api:
        found = await api.chat.completions.create(model="m", messages=MESSAGES, response_format=SCHEMA)
    assert json.loads(found.choices[0].message.content or "") == {"label": "yes"}


async def test_openai_streams() -> None:
    async with FakeEndpoint(default=Behaviour("some streamed  words")) as endpoint, client(endpoint) as api:
        stream = await api.chat.completions.create(
            model=endpoint.model, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "some streamed  words"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3


async def test_openai_lists_models(endpoint: FakeEndpoint) -> None:
    async with client(endpoint) as api:
        assert [model.id async for model in api.models.list()] == ["m"]


async def test_openai_sees_documented_errors(endpoint: FakeEndpoint) -> None:
    async with client(endpoint, "a-wrong-key") as api:
        with pytest.raises(openai.AuthenticationError) as unknown_key:
            await api.chat.completions.create(model="m", messages=MESSAGES)
    assert unknown_key.value.code == "invalid_api_key"
    async with client(endpoint) as api:
        with pytest.raises(openai.NotFoundError) as unknown_model:
            await api.chat.completions.create(model="other", messages=MESSAGES)
        with pytest.raises(openai.BadRequestError):
            await api.chat.completions.create(model="m", messages=[])
    assert unknown_model.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (Behaviour.error(429, retry_after_s=1), openai.RateLimitError),
        (Behaviour.error(500), openai.InternalServerError),
        (Behaviour(kind="html", status=502), openai.InternalServerError),
        (Behaviour(kind="disconnect"), openai.APIConnectionError),
        (Behaviour(kind="hang"), openai.APITimeoutError),
        (Behaviour(kind="hang_after_headers"), openai.APITimeoutError),
        (Behaviour(kind="truncated"), (openai.APIError, json.JSONDecodeError)),
    ],
)
async def test_openai_meets_failures(behaviour: Behaviour, error: Any) -> None:
    async with FakeEndpoint(default=behaviour) as endpoint, client(endpoint) as api:
        with pytest.raises(error):
            await api.with_options(timeout=0.3).chat.completions.create(model=endpoint.model, messages=MESSAGES)


async def test_openai_retries_after_a_rate_limit() -> None:
    script = [Behaviour.error(429, retry_after_s=0.01)]
    async with FakeEndpoint(script) as endpoint, client(endpoint) as api:
        found = await api.with_options(max_retries=1).chat.completions.create(model=endpoint.model, messages=MESSAGES)
        assert found.choices[0].message.content == "ok"
        assert len(endpoint.received) == 2


async def test_a_server_without_response_format_refuses_it() -> None:
    async with FakeEndpoint(takes_response_format=False) as endpoint, client(endpoint) as api:
        with pytest.raises(openai.BadRequestError, match="response_format"):
            await api.chat.completions.create(model=endpoint.model, messages=MESSAGES, response_format=SCHEMA)
