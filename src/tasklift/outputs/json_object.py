"""An object that obeys a JSON Schema: extraction."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, ClassVar, Literal

import jsonschema_rs
from jsonschema_rs.canonical import CanonicalizationError, UnsatisfiableReason, find_unsatisfiable
from pydantic import field_validator, model_validator

from tasklift.errors import DataError
from tasklift.outputs.base import MayAbstain, as_json, read_json, shown

#: Characters that are counted for a value without a bound, and tokens for the object around the fields.
FREE_CHARS = 160
LEAST_TOKENS = 32


class JsonOutput(MayAbstain):
    """An object that obeys a JSON Schema.

    Attributes:
        json_schema: a schema of type object; every answer is validated against it.
    """

    cue: ClassVar[str] = "JSON"
    default_metrics: ClassVar[tuple[str, ...]] = ("accuracy", "field_f1")

    kind: Literal["json"]
    json_schema: dict[str, Any]

    @field_validator("json_schema")
    @classmethod
    def _can_be_obeyed(cls, schema: dict[str, Any]) -> dict[str, Any]:
        refuse_contradictions(schema)
        return schema

    @model_validator(mode="after")
    def _abstention_is_no_object(self) -> JsonOutput:
        if self.may_abstain and "abstain" in self.json_schema.get("properties", {}):
            raise ValueError("may_abstain and a property called `abstain` cannot be told apart; rename the property")
        return self

    @property
    def form(self) -> str:
        """The fields with their types and descriptions."""
        lines = "".join(f"\n- {line}" for line in _field_lines(self.json_schema))
        fields = f" with these fields:{lines}\n" if lines else ". "
        closing = "Leave out what the text does not say. " if self._has_optional else ""
        return f"Answer with one JSON object{fields}{closing}Write the object and nothing else.{self.abstention_form}"

    @property
    def answer_schema(self) -> dict[str, Any]:
        """The task's own schema."""
        return self.or_abstain(self.json_schema)

    @property
    def max_tokens(self) -> int:
        """For each field its name, its quotes, and a token for two characters of its longest value."""
        lengths = [
            len(name) + int(part.get("maxLength", FREE_CHARS)) if isinstance(part, Mapping) else FREE_CHARS
            for name, part in self.json_schema.get("properties", {}).items()
        ]
        return LEAST_TOKENS + sum(8 + length // 2 for length in lengths)

    def check(self, value: Any) -> None:
        """Refuse what the schema refuses.

        Raises:
            DataError: the first two violations, each with its path.
        """
        if self.is_abstention(value):
            return
        if not isinstance(value, dict):
            raise DataError(f"{shown(value)} is no JSON object")
        problems = [
            f"{'.'.join(map(str, error.instance_path)) or 'the object'}: {error.message}"
            for error in _validator(as_json(self.json_schema)).iter_errors(value)
        ]
        if problems:
            more = f" (and {len(problems) - 2} more)" if len(problems) > 2 else ""
            raise DataError(f"the object does not obey the schema: {'; '.join(problems[:2])}{more}")

    def write(self, value: Any) -> str:
        """With its properties in the order of the schema, as constrained decoding writes them."""
        if not isinstance(value, Mapping):
            return as_json(value)
        known = [name for name in self.json_schema.get("properties", {}) if name in value]
        return as_json({name: value[name] for name in [*known, *(name for name in value if name not in known)]})

    def tidy(self, value: Any) -> Any:
        """Without absent fields, white space folded, keys in order: what the comparison sees."""
        return folded(value)

    def read(self, text: str) -> Any:
        """The object as it was written, validated.

        Raises:
            DataError: not JSON, or against the schema.
        """
        value = read_json(text)
        self.check(value)
        return value

    @property
    def _has_optional(self) -> bool:
        return set(self.json_schema.get("properties", {})) > set(self.json_schema.get("required", ()))


def refuse_contradictions(schema: Mapping[str, Any]) -> None:
    """Refuse a schema that is none, is not of type object, or that no object could obey.

    Raises:
        ValueError: where in the schema, and why.
    """
    if schema.get("type") != "object":
        raise ValueError('json_schema must have type = "object": an answer is one object')
    try:
        impossible = find_unsatisfiable(dict(schema))
        jsonschema_rs.validator_for(dict(schema))
    except jsonschema_rs.ValidationError as error:
        path = "/".join(map(str, error.instance_path)) or "the top"
        raise ValueError(f"json_schema is no JSON Schema: at {path}: {error.message}") from error
    except (CanonicalizationError, jsonschema_rs.ReferencingError, ValueError) as error:
        raise ValueError(f"json_schema cannot be used: {error}") from error
    for pointer, reason in sorted(impossible.items(), key=lambda item: -len(item[0])):
        if not isinstance(reason, UnsatisfiableReason.Literal):  # `false` closes an object: that is meant
            raise ValueError(
                f"json_schema contradicts itself at {pointer or 'the top'}: nothing can obey "
                f"{shown(_at(schema, pointer))}; change one of its conditions"
            )


def folded(value: Any) -> Any:
    """Without absent parts, white space in texts folded, keys sorted, whole numbers as integers."""
    if isinstance(value, Mapping):
        parts = {key: folded(value[key]) for key in sorted(value)}
        return {key: part for key, part in parts.items() if not _is_absent(part)}
    if isinstance(value, list | tuple):
        return [part for part in map(folded, value) if not _is_absent(part)]
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, float) and value == int(value) and abs(value) < 2**53:
        return int(value)
    return value


def fields_of(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """(path, value as JSON) of every leaf of a folded object; entries of a list share the path of the list."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from fields_of(part, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for part in value:
            yield from fields_of(part, path)
    else:
        yield path, as_json(value)


def _is_absent(value: Any) -> bool:
    return value is None or (isinstance(value, str | list | dict) and not value)


@lru_cache(maxsize=64)
def _validator(schema: str) -> Any:
    return jsonschema_rs.validator_for(json.loads(schema))


def _at(schema: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        schema = schema[int(key)] if isinstance(schema, list) else schema[key]
    return schema


def _field_lines(schema: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    required = set(schema.get("required", ()))
    for name, part in schema.get("properties", {}).items():
        if not isinstance(part, Mapping):
            continue
        items = part.get("items")
        inner = items if isinstance(items, Mapping) else part
        allowed = f", one of {', '.join(map(as_json, inner['enum']))}" if "enum" in inner else ""
        optional = "" if name in required else ", may be missing"
        meaning = f": {part['description']}" if part.get("description") else ""
        yield f"{indent}{name} ({_type_of(part)}{allowed}{optional}){meaning}"
        if inner.get("properties"):
            yield from _field_lines(inner, indent + "  ")


def _type_of(part: Mapping[str, Any]) -> str:
    kind = part.get("type", "text" if "enum" in part else "any value")
    names = [kind] if isinstance(kind, str) else list(kind)
    words = {"string": "text", "array": "list", "integer": "whole number", "boolean": "true or false", "null": "null"}
    return " or ".join(words.get(name, name) for name in names)
