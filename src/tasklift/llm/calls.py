"""Tools as a model sees them, and its calls of them, in the form that OpenAI's chat completions use."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """What a model is told of a tool.

    Attributes:
        name: letters, digits, underscores.
        description: what it does, and when to use it.
        schema: JSON Schema of its arguments, as JSON text.
    """

    name: str
    description: str
    schema: str

    def to_json(self) -> dict[str, Any]:
        """An entry of `tools` in a request."""
        about = {"name": self.name, "description": self.description, "parameters": json.loads(self.schema)}
        return {"type": "function", "function": about}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model asks for a tool.

    Attributes:
        id: links the result to the call.
        name: of the tool; it may not exist.
        arguments: JSON text as the model wrote it; it may be none.
    """

    id: str
    name: str
    arguments: str = "{}"

    def to_json(self) -> dict[str, Any]:
        """An entry of `tool_calls` in a message."""
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


def read_calls(raw: object) -> tuple[ToolCall, ...]:
    """The `tool_calls` of a message; entries without a name are left out."""
    found = []
    for number, entry in enumerate(raw if isinstance(raw, list) else ()):
        function = entry.get("function") if isinstance(entry, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            continue
        said = function.get("arguments")
        # Some servers send the arguments as an object.
        arguments = said if isinstance(said, str) else json.dumps(said or {})
        found.append(ToolCall(str(entry.get("id") or f"call_{number}"), function["name"], arguments))
    return tuple(found)


def unpacked_calls(rows: Iterable[Mapping[str, str]]) -> tuple[ToolCall, ...]:
    """Calls from a cache entry."""
    return tuple(ToolCall(**row) for row in rows)
