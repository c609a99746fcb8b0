"""Kinds of output: which answers they allow, how they are written and read, which definitions they refuse."""

from __future__ import annotations

from typing import Any

import pytest
from made_up_tasks import OUTPUTS, task_of
from pydantic import ValidationError

from tasklift.errors import DataError
from tasklift.task import JsonOutput, Label, Labels, Number, Right, Task, Text

ABSTAINED = {"abstain": True}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("labels", ["water", "lift"]),
        ("labels", []),
        ("number", 70),
        ("json", {"number": 4}),
        ("json", {}),
        ("text", "Cold."),
    ],
)
def test_what_is_written_is_read_again(kind: str, value: Any) -> None:
    output = OUTPUTS[kind]
    assert output.same(output.read(output.write(value)), value)


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("labels", "lift", "'lift' is not JSON"),
        ("labels", '["lift", "lifts"]', "unknown label 'lifts'; did you mean 'lift'?"),
        ("labels", '["lift", "lift"]', "names a label twice"),
        ("labels", '{"lift": 1}', "is no list of labels"),
        ("number", "about 70", "'about 70' is not JSON"),
        ("number", "170", "170 lies outside the range of the task, 0 to 100"),
        ("number", "7.5", "7.5 is no whole number"),
        ("number", "true", "True is no number"),
        ("number", "NaN", "is not JSON"),
        ("json", "[]", "[] is no JSON object"),
        ("json", '{"number": "4"}', 'number: "4" is not of type "integer"'),
        ("json", '{"town": "x"}', "the object does not obey the schema: the object: Additional properties"),
        ("json", '{"street": "Mill', "is not JSON"),
        ("text", "  ", "'' is no text"),
        ("text", "x" * 61, "the text has 61 characters, more than the 60 that are allowed"),
    ],
)
def test_an_answer_that_is_not_allowed_is_told_why(kind: str, text: str, said: str) -> None:
    with pytest.raises(DataError) as caught:
        OUTPUTS[kind].read(text)
    assert said in str(caught.value)


def test_one_code_fence_and_a_full_stop_are_let_go() -> None:
    assert OUTPUTS["json"].read('```json\n{"number": 4}\n```') == {"number": 4}
    assert OUTPUTS["number"].read(" 70. ") == 70


def test_answers_that_mean_the_same_are_the_same() -> None:
    assert OUTPUTS["labels"].same(["light", "lift"], ["lift", "light"])
    assert OUTPUTS["json"].same({"street": " Mill  Lane ", "number": None}, {"street": "Mill Lane"})
    assert OUTPUTS["number"].same(3.0, 3)
    assert not OUTPUTS["json"].same({"number": 3}, {"number": 4})


@pytest.mark.parametrize("make", [Number, Text])
def test_abstaining_is_an_answer_where_the_task_allows_it(make: Any) -> None:
    kind = make.model_fields["kind"].annotation.__args__[0]
    open_, closed = make(kind=kind, may_abstain=True), make(kind=kind)
    open_.check(ABSTAINED)
    assert open_.read('{"abstain": true}') == ABSTAINED
    assert "If the text does not say, answer" in open_.form
    with pytest.raises(DataError):
        closed.check(ABSTAINED)


def test_an_object_may_abstain_but_not_have_a_field_of_that_name() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}
    output = JsonOutput(kind="json", json_schema=schema, may_abstain=True)
    assert output.read('{"abstain": true}') == ABSTAINED
    with pytest.raises(ValidationError, match="cannot be told apart; rename the property"):
        JsonOutput(kind="json", may_abstain=True, json_schema=schema | {"properties": {"abstain": {}, "total": {}}})


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "array"}, 'json_schema must have type = "object"'),
        (
            {"type": "object", "properties": {"a": {"type": "text"}}},
            "json_schema is no JSON Schema: at properties/a/type",
        ),
        (
            {"type": "object", "properties": {"a": {"type": "integer", "minimum": 5, "maximum": 3}}},
            "contradicts itself at /properties/a: nothing can obey {'type': 'integer', 'minimum': 5, 'maximum': 3}",
        ),
        ({"type": "object", "required": ["b"], "additionalProperties": False}, "contradicts itself at the top"),
        (
            {"type": "object", "properties": {"a": {"enum": ["x"], "type": "integer"}}},
            "contradicts itself at /properties/a",
        ),
        (
            {"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}},
            "cannot be used: Pointer '/nowhere' does not exist",
        ),
        ({"type": "object", "properties": {"a": {"pattern": "("}}}, "cannot be used"),
    ],
)
def test_a_schema_that_nothing_can_obey_is_refused_when_the_task_is_read(schema: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        JsonOutput(kind="json", json_schema=schema)
    assert said in str(caught.value)


def test_the_form_names_fields_types_and_what_may_be_missing() -> None:
    assert OUTPUTS["json"].form == (
        "Answer with one JSON object with these fields:\n- street (text, may be missing): street name\n"
        "- number (whole number, may be missing)\nLeave out what the text does not say. "
        "Write the object and nothing else."
    )
    assert OUTPUTS["number"].form == "Answer with one whole number from 0 to 100 and nothing else."
    assert Label(labels={"a": "", "b": ""}).form == "Answer with exactly one label and nothing else."


def test_ranges_and_labels_that_allow_nothing_are_refused() -> None:
    with pytest.raises(ValidationError, match="minimum 5 is not below maximum 5"):
        Number(kind="number", minimum=5, maximum=5)
    with pytest.raises(ValidationError, match="a task needs labels"):
        Labels(kind="labels", labels={})


@pytest.mark.parametrize(
    ("kind", "right", "said"),
    [
        ("text", Right(within=3), "right.within is for kind = \"number\"; the output is of kind 'text'"),
        ("json", Right(at_least=0.5), "right.at_least needs right.metric"),
    ],
)
def test_a_rule_for_another_kind_is_refused(kind: str, right: Right, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        task_of(kind, right=right)


def test_what_is_right_does_not_enter_the_hash_of_a_task() -> None:
    assert task_of("number").content_hash == task_of("number", right=Right(within=1)).content_hash
    assert task_of("number").metrics == ("accuracy", "mae", "quadratic_kappa")
    other = Task(name="t", instruction="i", output=Number(kind="number", maximum=3))
    assert other.content_hash != Task(name="t", instruction="i", output=Number(kind="number")).content_hash
