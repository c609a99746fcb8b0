"""What the client asks, what it takes for an answer, and which addresses it accepts."""

from __future__ import annotations

import asyncio

import pytest

from tasklift.errors import ConfigError, InvalidOutputError, RequestRefusedError
from tasklift.llm.client import ClientOptions, OpenAICompatibleModel
from tasklift.llm.fake import Behaviour, FakeEndpoint
from tasklift.llm.labels import match_label
from tasklift.llm.model import Message, Model, Reply, Request

KEY = "sk-proj-Zq81xY77mmKwP20aLtR9"
LABELS = ("Billing", "Delivery", "Other")


def ask(labels: tuple[str, ...] = ()) -> Request:
    return Request((Message("system", "Sort."), Message("user", "Where is my parcel?")), labels)


async def complete(
    endpoint: FakeEndpoint,
    request: Request | None = None,
    *,
    key_variable: str | None = None,
    options: ClientOptions | None = None,
) -> Reply:
    model = OpenAICompatibleModel(endpoint.url, endpoint.model, key_variable=key_variable, options=options)
    try:
        return await model.complete(request or ask())
    finally:
        await model.aclose()


@pytest.fixture
def key_variable(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SOME_KEY", KEY)
    return "SOME_KEY"


# Answers


async def test_free_text_with_usage_of_the_server(key_variable: str) -> None:
    async with FakeEndpoint([Behaviour("two words", cached_tokens=3)], api_key=KEY) as endpoint:
        reply = await complete(endpoint, key_variable=key_variable)
        sent = endpoint.received[0]
    assert reply.text == "two words"
    assert (reply.usage.calls, reply.usage.cached_tokens, reply.usage.output_tokens) == (1, 3, 2)
    assert reply.usage.input_tokens == 5
    assert not reply.cached
    assert sent["messages"][0] == {"role": "system", "content": "Sort."}
    assert (sent["max_tokens"], sent["temperature"], sent["seed"]) == (64, 0.0, 0)
    assert "response_format" not in sent


async def test_labels_are_sent_as_a_schema() -> None:
    async with FakeEndpoint(answer=lambda body: "Delivery") as endpoint:
        reply = await complete(endpoint, ask(labels=LABELS))
        schema = endpoint.received[0]["response_format"]["json_schema"]
    assert reply.text == "Delivery"
    assert schema["strict"] is True
    assert schema["schema"]["properties"]["label"]["enum"] == list(LABELS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"label": "Billing"}', "Billing"),
        ('{"label": "billing."}', "Billing"),
        ("  'delivery'.\n", "Delivery"),
        ("“OTHER”", "Other"),
        ("The label is Billing", None),
        ("Billing, Delivery", None),
        ('{"label": "Billing", "why": "x"}', None),
        ('{"label": ["Billing"]}', None),
        ('{"label": "Bill', None),
        ("", None),
        ("bill", None),
    ],
)
def test_only_exactly_one_label_counts(text: str, expected: str | None) -> None:
    assert match_label(text, LABELS) == expected


def test_labels_that_differ_only_in_case_need_an_exact_answer() -> None:
    assert match_label("YES", ("Yes", "yes")) is None
    assert match_label("yes", ("Yes", "yes")) == "yes"
    assert match_label("", (".", "'")) is None
    assert match_label(".", (".", "'")) == "."


async def test_one_repair_gives_the_label_and_counts_both_calls() -> None:
    async with FakeEndpoint([Behaviour("I think it is Billing"), Behaviour("billing")]) as endpoint:
        reply = await complete(endpoint, ask(labels=LABELS))
        repair = endpoint.received[1]["messages"]
    assert reply.text == "Billing"
    assert reply.usage.calls == 2
    assert repair[-2] == {"role": "assistant", "content": "I think it is Billing"}
    assert repair[-1]["content"].endswith("Billing\nDelivery\nOther")


async def test_a_wrong_label_twice_is_invalid_output() -> None:
    async with FakeEndpoint(default=Behaviour("Sales", finish_reason="length")) as endpoint:
        with pytest.raises(InvalidOutputError, match=r"'Sales' \(finish_reason: length\) is none of the 3 labels"):
            await complete(endpoint, ask(labels=LABELS))
        assert len(endpoint.received) == 2


async def test_an_empty_answer_is_invalid_output() -> None:
    async with FakeEndpoint(default=Behaviour("", finish_reason="length")) as endpoint:
        with pytest.raises(InvalidOutputError, match="larger max_tokens"):
            await complete(endpoint)


# What endpoints refuse


async def test_without_response_format_labels_go_into_words_and_that_is_remembered() -> None:
    async with FakeEndpoint(answer=lambda body: "Other", takes_response_format=False) as endpoint:
        model = OpenAICompatibleModel(endpoint.url, endpoint.model)
        replies = [await model.complete(ask(labels=LABELS)) for _ in range(3)]
        await model.aclose()
        sent = endpoint.received
    assert [reply.text for reply in replies] == ["Other"] * 3
    assert ["response_format" in body for body in sent] == [True, False, False, False]
    assert sent[-1]["messages"][-1]["content"].endswith("Billing\nDelivery\nOther")


async def test_a_silent_400_is_tried_without_response_format_but_not_remembered_when_that_fails_too() -> None:
    async with FakeEndpoint(default=Behaviour.error(400, "context too long")) as endpoint:
        with pytest.raises(RequestRefusedError, match="400: context too long"):
            await complete(endpoint, ask(labels=LABELS))
        assert ["response_format" in body for body in endpoint.received] == [True, False]


async def test_a_400_after_a_schema_has_worked_is_not_blamed_on_it() -> None:
    script = [Behaviour("Other"), Behaviour.error(400, "context too long")]
    async with FakeEndpoint(script) as endpoint:
        model = OpenAICompatibleModel(endpoint.url, endpoint.model)
        await model.complete(ask(labels=LABELS))
        with pytest.raises(RequestRefusedError):
            await model.complete(ask(labels=LABELS))
        await model.aclose()
        assert len(endpoint.received) == 2


@pytest.mark.parametrize(
    ("message", "dropped", "instead"),
    [
        (
            "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.",
            "max_tokens",
            "max_completion_tokens",
        ),
        ("Unsupported value: 'temperature' does not support 0 with this model.", "temperature", None),
        ("seed: Extra inputs are not permitted", "seed", None),
    ],
)
async def test_a_refused_parameter_is_dropped(message: str, dropped: str, instead: str | None) -> None:
    async with FakeEndpoint([Behaviour.error(400, message)]) as endpoint:
        assert (await complete(endpoint)).text == "ok"
        body = endpoint.received[1]
    assert dropped not in body
    assert instead is None or body[instead] == 64


async def test_a_server_error_that_names_response_format_is_taken_as_a_refusal() -> None:
    script = [Behaviour.error(500, "response_format type must be text"), Behaviour("other")]
    async with FakeEndpoint(script) as endpoint:
        options = ClientOptions(max_retries=0)
        assert (await complete(endpoint, ask(labels=LABELS), options=options)).text == "Other"
        assert "response_format" not in endpoint.received[1]


async def test_response_format_can_be_switched_off() -> None:
    async with FakeEndpoint(default=Behaviour("other")) as endpoint:
        await complete(endpoint, ask(labels=LABELS), options=ClientOptions(use_response_format=False))
        assert "response_format" not in endpoint.received[0]


# Addresses


@pytest.mark.parametrize(
    ("url", "snapshot", "leaves"),
    [
        ("http://127.0.0.1:8000/v1#org/model:7b", "127.0.0.1:8000/v1#org/model:7b", False),
        ("http://localhost:11434/v1/#m", "localhost:11434/v1#m", False),
        ("http://[::1]:8000/v1#m", "[::1]:8000/v1#m", False),
        ("https://api.example.com/v1/chat/completions#m", "api.example.com/v1#m", True),
        ("http://10.0.0.7:8000/v1#m", "10.0.0.7:8000/v1#m", True),
        ("http://127.0.0.1.example.com/v1#m", "127.0.0.1.example.com/v1#m", True),
    ],
)
def test_addresses(url: str, snapshot: str, leaves: bool) -> None:
    model = OpenAICompatibleModel.from_url(url)
    assert isinstance(model, Model)
    assert (model.snapshot, model.data_leaves_machine) == (snapshot, leaves)
    assert model.remote
    assert not model.deterministic
    assert OpenAICompatibleModel.from_url(model.name).snapshot == snapshot


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/v1#m",
        "host:8000/v1#m",
        "http:///v1#m",
        "http://host:99999/v1#m",
        "http://user:hunter2@host/v1#m",
        "https://host/v1?key=hunter2#m",
    ],
)
def test_impossible_addresses_are_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        OpenAICompatibleModel.from_url(url)
    assert "hunter2" not in str(caught.value)


async def test_the_only_model_is_found_even_inside_a_running_loop(key_variable: str) -> None:
    async with FakeEndpoint(models=["solo"], api_key=KEY) as endpoint:
        # In a thread, since this loop also serves the endpoint.
        model = await asyncio.to_thread(OpenAICompatibleModel.from_url, endpoint.url, key_variable=key_variable)
        assert (await model.complete(ask())).text == "ok"
        await model.aclose()
    assert model.name.endswith("/v1#solo")


async def test_several_models_are_listed() -> None:
    async with FakeEndpoint(models=[f"m{at}" for at in range(12)]) as endpoint:
        with pytest.raises(ConfigError, match=r"12 models; .*#m0, .*: m0, .*, m9 and 2 more"):
            await asyncio.to_thread(OpenAICompatibleModel.from_url, endpoint.url)


def test_one_model_serves_several_loops(key_variable: str) -> None:
    async def run() -> list[str]:
        async with FakeEndpoint(default=Behaviour("fine")) as endpoint:
            model = OpenAICompatibleModel(endpoint.url, endpoint.model)
            texts = [(await model.complete(ask())).text]
            await model.aclose()
            texts.append((await model.complete(ask())).text)
            await model.aclose()
            await model.aclose()
            return texts

    assert asyncio.run(run()) == ["fine", "fine"]
    assert asyncio.run(run()) == ["fine", "fine"]
