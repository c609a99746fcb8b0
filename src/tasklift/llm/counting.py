"""A model that is never there: it counts what it would have been asked. For prices before any call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tasklift.llm.model import Reply, Request


def least_answer(schema: Mapping[str, Any]) -> Any:
    """Some small value that obeys a plain schema: it stands for an answer that needs no second call."""
    if "const" in schema or "enum" in schema:
        return schema.get("const", next(iter(schema.get("enum", [None]))))
    if "anyOf" in schema:
        return least_answer(schema["anyOf"][0])
    kind = schema.get("type")
    if kind == "object":
        return {name: least_answer(schema["properties"][name]) for name in schema.get("required", ())}
    if kind == "array":
        return [least_answer(schema.get("items", {}))] * schema.get("minItems", 0)
    if kind in ("integer", "number"):
        return schema.get("minimum", schema.get("maximum", 0))
    return "x" * max(schema.get("minLength", 1), 1) if kind == "string" else None


class CountingModel:
    """Stands in for a hosted model and answers with the first label or the least allowed answer, at no cost.

    Args:
        name: of the model that it stands for.

    Attributes:
        requests: every request so far.
    """

    remote = True
    data_leaves_machine = True
    deterministic = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.snapshot = f"counting:{name}"
        self.requests: list[Request] = []

    async def complete(self, request: Request) -> Reply:
        """Note the request."""
        self.requests.append(request)
        if request.labels:
            return Reply(request.labels[0])
        return Reply(json.dumps(least_answer(json.loads(request.schema))) if request.schema else "none")

    async def aclose(self) -> None:
        """Nothing to release."""
