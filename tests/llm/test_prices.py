"""Token prices come from the table in the package, and only for hosts that it knows."""

from __future__ import annotations

import datetime
import socket

import genai_prices
import pytest

from tasklift.llm.prices import price_of


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("prices must not need a network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_a_known_model() -> None:
    price = price_of("gpt-4o", datetime.date(2026, 6, 1))
    assert price is not None
    assert (price.input_usd, price.cached_input_usd, price.output_usd) == (2.5, 1.25, 10.0)
    assert price.snapshot == f"genai-prices {genai_prices.__version__} 2026-06-01"


def test_an_address_names_the_host_and_the_model() -> None:
    by_name = price_of("gpt-4o-mini")
    assert by_name is not None
    assert price_of("https://api.openai.com/v1#gpt-4o-mini") == by_name


@pytest.mark.parametrize(
    "name",
    ["local", "no-such-model", "http://127.0.0.1:8000/v1#gpt-4o", "https://llm.example.com/v1#gpt-4o", ""],
)
def test_unknown_models_and_hosts_have_no_price(name: str) -> None:
    assert price_of(name) is None


def test_a_model_without_token_prices_has_none() -> None:
    assert price_of("text-embedding-3-small") is None


def test_prices_are_those_of_the_day() -> None:
    before, after = price_of("o3", datetime.date(2025, 6, 1)), price_of("o3", datetime.date(2025, 7, 1))
    assert before is not None
    assert after is not None
    assert before.input_usd > after.input_usd


def test_without_a_cached_price_cached_tokens_cost_as_much_as_others() -> None:
    price = price_of("https://api.groq.com/openai/v1#llama-3.1-8b-instant")
    assert price is not None
    assert price.cached_input_usd == price.input_usd


def test_tiered_prices_give_the_first_tier() -> None:
    price = price_of("gemini-2.5-pro", datetime.date(2026, 6, 1))
    assert price is not None
    assert price.input_usd == 1.25
