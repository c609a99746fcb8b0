"""The client against a real OpenAI-compatible server: llama.cpp's, with the small bundled model, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tasklift.errors import MissingDependencyError, RequestRefusedError
from tasklift.llm.client import OpenAICompatibleModel
from tasklift.llm.model import Message, Request
from tasklift.weights import SMOLLM2, default_home, locate

ASKED = Request((Message("system", "Sort."), Message("user", "Where is my parcel?")), max_tokens=12)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where the server listens, with one slot of 512 tokens."""
    xllamacpp = pytest.importorskip("xllamacpp", reason="needs the extra [local]")
    try:
        weights = locate(SMOLLM2, default_home())
    except MissingDependencyError as error:
        pytest.skip(str(error))
    asked = xllamacpp.CommonParams()
    asked.model.path, asked.port, asked.n_ctx, asked.n_parallel = str(weights), 0, 512, 1
    asked.cpuparams.n_threads, asked.use_jinja, asked.verbosity = 1, True, -1
    server = xllamacpp.Server(asked)
    yield f"{server.listening_address}/v1"
    del server


@pytest.fixture
def model(address: str) -> OpenAICompatibleModel:
    return OpenAICompatibleModel(address, "smollm2", key_variable=None)


async def test_text_and_its_usage(model: OpenAICompatibleModel) -> None:
    reply = await model.complete(ASKED)
    await model.aclose()
    assert reply.text
    assert 0 < reply.usage.output_tokens <= 12
    assert reply.usage.input_tokens > 5


async def test_labels_and_schemas_hold_while_it_writes(model: OpenAICompatibleModel) -> None:
    label = await model.complete(replace(ASKED, labels=("Billing", "Delivery", "Other")))
    schema = {
        "type": "object",
        "properties": {"urgent": {"type": "boolean"}},
        "required": ["urgent"],
        "additionalProperties": False,
    }
    found = await model.complete(replace(ASKED, schema=json.dumps(schema), max_tokens=40))
    await model.aclose()
    assert label.text in ("Billing", "Delivery", "Other")
    assert isinstance(json.loads(found.text)["urgent"], bool)


async def test_a_prompt_beyond_its_context_is_refused_with_a_reason(model: OpenAICompatibleModel) -> None:
    with pytest.raises(RequestRefusedError, match="context"):
        await model.complete(replace(ASKED, messages=(Message("user", "parcel " * 900),)))
    await model.aclose()
