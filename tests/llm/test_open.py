"""Models by their names: which are opened, and which key goes where."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasklift.cache import caching_in
from tasklift.errors import AuthenticationError, ConfigError
from tasklift.llm.fake import FakeEndpoint, ScriptedModel
from tasklift.llm.model import Message, Model, Request
from tasklift.llm.open import open_model

ASKED = Request((Message("user", "Where is my parcel?"),))
REAL_KEY = "sk-proj-Zq81xY77mmKwP20aLtR9"
#: A line break: no key has one, so the key that is taken is the one that is complained about.
NO_KEY = "sk-proj\nZq81xY77mmKwP20aLtR9"


async def answer(endpoint: FakeEndpoint, request: Request = ASKED) -> str:
    model = open_model(f"{endpoint.url}#{endpoint.model}")
    try:
        return (await model.complete(request)).text
    finally:
        await model.aclose()


def test_a_model_is_returned_as_it_is() -> None:
    model = ScriptedModel(default="x")
    assert open_model(model) is model


def test_an_address_is_named_and_is_remote() -> None:
    here, elsewhere = open_model("http://127.0.0.1:9/v1#m"), open_model("https://models.example.org/v1#m")
    assert isinstance(here, Model)
    assert here.name == "http://127.0.0.1:9/v1#m"
    assert (here.remote, here.data_leaves_machine, here.deterministic) == (True, False, False)
    assert (elsewhere.remote, elsewhere.data_leaves_machine) == (True, True)
    assert REAL_KEY not in here.snapshot + elsewhere.snapshot


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lokal", "no model is called 'lokal'; did you mean 'local'"),
        ("gpt-4o", "no model is called 'gpt-4o'; known: local, llama_cpp"),
        ("", "no model is called ''; known: local"),
        ("http://#m", "is not an endpoint; write it like http://127.0.0.1:8000/v1#model-name"),
        ("https://me:secret@example.org/v1#m", "holds a login or a query; put the key in a variable"),
        ("https://example.org/v1?key=secret#m", "holds a login or a query; put the key in a variable"),
        ("http://127.0.0.1:port/v1#m", "its host or port is malformed"),
    ],
)
def test_what_is_no_model_is_refused(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        open_model(name)
    assert "secret" not in str(caught.value)


async def test_a_key_for_any_endpoint_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKLIFT_API_KEY", REAL_KEY)
    async with FakeEndpoint(api_key=REAL_KEY) as endpoint:
        assert await answer(endpoint) == "ok"


async def test_the_key_of_openai_is_not_sent_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", REAL_KEY)
    async with FakeEndpoint(api_key=REAL_KEY) as endpoint:
        with pytest.raises(AuthenticationError, match="You didn't provide an API key"):
            await answer(endpoint)
        assert len(endpoint.received) == 1
    async with FakeEndpoint(api_key="") as endpoint:  # takes requests without a key only
        assert await answer(endpoint) == "ok"


async def test_the_own_key_is_sent_where_both_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-for-openai-only-1234567")
    monkeypatch.setenv("TASKLIFT_API_KEY", REAL_KEY)
    async with FakeEndpoint(api_key=REAL_KEY) as endpoint:
        assert await answer(endpoint) == "ok"


async def test_an_empty_variable_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKLIFT_API_KEY", "")
    async with FakeEndpoint(api_key="") as endpoint:
        assert await answer(endpoint) == "ok"


def test_openai_gets_its_own_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", NO_KEY)
    for host in ("api.openai.com", "API.OpenAI.com:443"):
        with pytest.raises(ConfigError, match="OPENAI_API_KEY holds characters that no key has"):
            open_model(f"https://{host}/v1#gpt")
    monkeypatch.setenv("TASKLIFT_API_KEY", REAL_KEY)
    assert open_model("https://api.openai.com/v1#gpt").data_leaves_machine


@pytest.mark.parametrize(
    "host",
    [
        "api.openai.com.example.org",
        "example.org/api.openai.com",
        "notapi.openai.com",
        "openai.com",
        "api.openai.com.",
        "127.0.0.1:8000",
    ],
)
def test_hosts_that_look_like_openai_do_not_get_its_key(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", NO_KEY)
    open_model(f"https://{host}/v1#gpt")
    monkeypatch.setenv("TASKLIFT_API_KEY", NO_KEY)
    with pytest.raises(ConfigError, match="TASKLIFT_API_KEY holds characters that no key has"):
        open_model(f"https://{host}/v1#gpt")


async def test_equal_requests_are_asked_once(tmp_path: Path) -> None:
    async with FakeEndpoint() as endpoint:
        with caching_in(tmp_path):
            assert [await answer(endpoint) for _ in range(3)] == ["ok"] * 3
            await answer(endpoint, Request(ASKED.messages, repeat=1))
        assert len(endpoint.received) == 2
