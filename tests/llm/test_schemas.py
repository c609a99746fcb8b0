"""Answers held to a schema: grammars, response formats, one mending, then a failure that is counted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from made_up_tasks import OUTPUTS

from tasklift.llm.answer_schema import response_format, unwrapped
from tasklift.llm.client import OpenAICompatibleModel
from tasklift.llm.counting import CountingModel
from tasklift.llm.fake import Behaviour, FakeEndpoint, ScriptedModel
from tasklift.llm.gbnf import schema_grammar
from tasklift.llm.model import Message, Model, Request
from tasklift.llm.written import ask_for
from tasklift.task import JsonOutput, Number, Output

WIDE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "count": {"type": "integer", "minimum": 0, "maximum": 3},
        "share": {"type": "number", "minimum": 0},
        "open": {"type": "boolean"},
        "kind": {"enum": ["a", 'b "quoted"', None]},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 6}, "maxItems": 2},
        "inner": {
            "type": "object",
            "properties": {"x": {"type": ["string", "null"], "maxLength": 4}},
            "required": ["x"],
        },
    },
    "required": ["name", "inner"],
    "additionalProperties": False,
}


def request(output: Output, text: str = "Say something.") -> Request:
    schema = json.dumps(output.answer_schema) if output.answer_schema else ""
    return Request((Message("user", text),), schema=schema, max_tokens=output.max_tokens)


@pytest.mark.parametrize(
    "output",
    [
        *(OUTPUTS[kind] for kind in ("labels", "number", "json")),
        JsonOutput(kind="json", json_schema=WIDE),
        Number(kind="number", minimum=-2, maximum=7, may_abstain=True),
    ],
    ids=["labels", "number", "json", "every type", "abstaining"],
)
async def test_the_small_model_writes_what_the_schema_allows(llama: Model, output: Output) -> None:
    for text in ("Pick one.", "The lift is stuck at Mill Lane 12!", 'Write "{ and then [ for ever'):
        answer = output.read((await llama.complete(request(output, text))).text)
        assert output.read(output.write(answer)) == answer


async def test_what_the_grammar_does_not_know_is_left_to_llama_cpp(llama: Model) -> None:
    schema = {
        "type": "object",
        "properties": {"day": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}$"}},
        "required": ["day"],
    }
    assert schema_grammar(schema) is None
    reply = await llama.complete(request(JsonOutput(kind="json", json_schema=schema), "Which month is it?"))
    assert set(json.loads(reply.text)) == {"day"}


def test_a_grammar_writes_properties_and_labels_in_order_each_once() -> None:
    schema = OUTPUTS["labels"].answer_schema
    assert schema is not None
    grammar = schema_grammar(schema) or ""
    assert grammar.startswith('root ::= "[" r')
    assert r'"\x22lift\x22"' in grammar
    assert schema_grammar({"type": "integer", "minimum": 1, "maximum": 3}) == 'root ::= ("1" | "2" | "3")'


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/x"},
        {"type": "object", "required": ["gone"]},
        {"type": "array", "uniqueItems": True, "items": {"type": "string"}},
        {"allOf": []},
        {"type": "object", "minProperties": 2},
    ],
)
def test_rules_that_have_no_grammar_give_none(schema: dict[str, Any]) -> None:
    assert schema_grammar(schema) is None


async def test_a_misfit_is_shown_to_the_model_once_and_mended() -> None:
    model = ScriptedModel(["seventy", "70"])
    found = await ask_for(model, request(OUTPUTS["number"]), OUTPUTS["number"])
    assert (found.answer, found.mended, found.problem) == (70, True, "")
    assert found.usage.calls == 2
    said = [message.content for message in model.requests[1].messages]
    assert said[-2] == "seventy"
    assert said[-1].startswith("That answer cannot be used: 'seventy' is not JSON. Answer with one whole number")


async def test_a_model_that_ignores_the_format_is_given_up_after_one_mending() -> None:
    model = ScriptedModel({}, default="I would rather not.")
    found = await ask_for(model, request(OUTPUTS["json"]), OUTPUTS["json"])
    assert found.answer is None
    assert found.problem.startswith("also the second answer cannot be used: 'I would rather not.' is not JSON")
    assert len(model.requests) == 2


async def test_hosted_models_get_the_schema_and_answers_are_unwrapped() -> None:
    async with FakeEndpoint([Behaviour('{"answer": 70}')]) as endpoint:
        model = OpenAICompatibleModel(endpoint.url, endpoint.model)
        reply = await model.complete(request(OUTPUTS["number"]))
        await model.aclose()
    assert reply.text == "70"
    asked = endpoint.received[0]["response_format"]["json_schema"]
    assert asked["strict"] is True
    assert asked["schema"]["properties"]["answer"] == {"type": "integer", "minimum": 0, "maximum": 100}


async def test_an_endpoint_that_takes_no_schema_is_asked_without_one() -> None:
    async with FakeEndpoint(takes_response_format=False, answer=lambda body: '{"number": 4}') as endpoint:
        model = OpenAICompatibleModel(endpoint.url, endpoint.model)
        found = await ask_for(model, request(OUTPUTS["json"]), OUTPUTS["json"])
        await model.aclose()
    assert found.answer == {"number": 4}
    assert ["response_format" in body for body in endpoint.received] == [True, False]


def test_strict_only_where_every_field_is_required() -> None:
    def strict(schema: Any) -> bool:
        return bool(json.loads(response_format(json.dumps(schema)))["json_schema"]["strict"])

    assert strict({"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False})
    assert not strict(OUTPUTS["json"].answer_schema)
    assert strict(OUTPUTS["labels"].answer_schema)


def test_only_the_wrapper_of_its_own_is_taken_off() -> None:
    number, obj = json.dumps(OUTPUTS["number"].answer_schema), json.dumps(OUTPUTS["json"].answer_schema)
    assert unwrapped('{"answer": 7}', number) == "7"
    assert unwrapped('{"answer": 7}', obj) == '{"answer": 7}'
    assert unwrapped('{"answer": 7, "b": 1}', number) == '{"answer": 7, "b": 1}'
    assert unwrapped('{"answer', number) == '{"answer'


@pytest.mark.parametrize("kind", ["labels", "number", "json", "text"])
async def test_a_price_before_any_call_counts_one_call_a_row(kind: str) -> None:
    model = CountingModel("http://127.0.0.1/v1#m")
    found = await ask_for(model, request(OUTPUTS[kind]), OUTPUTS[kind])
    assert not found.problem
    assert len(model.requests) == 1


def test_a_schema_enters_the_key_of_a_request_and_its_absence_does_not() -> None:
    plain = Request((Message("user", "x"),))
    assert plain.key("m") != Request((Message("user", "x"),), schema="{}").key("m")
    assert '"schema"' not in plain.key("m")
