"""A JSON Schema of an answer as a hosted model's `response_format`, and the answer out of what comes back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

#: Hosted models take objects only, so another answer travels as the one field of an object.
FIELD = "answer"


@lru_cache(maxsize=64)
def response_format(schema: str) -> str:
    """The `response_format` field as JSON text, made once for each schema.

    Args:
        schema: JSON text.
    """
    inner = json.loads(schema)
    whole = inner
    if is_wrapped(schema):
        whole = {"type": "object", "properties": {FIELD: inner}, "required": [FIELD], "additionalProperties": False}
    told = {"name": FIELD, "strict": _may_be_strict(whole), "schema": whole}
    return json.dumps({"type": "json_schema", "json_schema": told})


@lru_cache(maxsize=64)
def is_wrapped(schema: str) -> bool:
    """Is the answer no plain object?"""
    return bool(json.loads(schema).get("type") != "object")


def unwrapped(text: str, schema: str) -> str:
    """The answer as JSON text, where `text` is an object around it; else `text` as it is."""
    if not is_wrapped(schema) or not text.lstrip().startswith("{"):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, dict) and set(value) == {FIELD}:
        return json.dumps(value[FIELD], ensure_ascii=False)
    return text


def _may_be_strict(schema: Any) -> bool:
    """Hosted models decode strictly only where every property is required and no other is allowed."""
    if isinstance(schema, Mapping):
        properties = schema.get("properties")
        if isinstance(properties, Mapping) and (
            set(schema.get("required", ())) != set(properties) or schema.get("additionalProperties") is not False
        ):
            return False
        return all(_may_be_strict(part) for part in schema.values())
    return all(_may_be_strict(part) for part in schema) if isinstance(schema, list) else True
