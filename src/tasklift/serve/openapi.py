"""The OpenAPI page: what FastAPI knows, and the hot route that it does not."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

_TEXT = {"type": "string"}
_ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}}
_MESSAGE = {
    "type": "object",
    "required": ["role", "content"],
    "properties": {
        "role": {"enum": ["system", "developer", "user", "assistant", "tool", "function"]},
        "content": {"type": "string", "pattern": r"\S"},
    },
}
_METADATA = "`overlay` chooses an overlay; `subject` names the person it is about, where that is not `user`"
_FROM_USER = {"type": "object", "properties": {"role": {"const": "user"}}, "required": ["role"]}
_REQUEST = {
    "type": "object",
    "required": ["model", "messages"],
    "properties": {
        "model": {"type": "string", "minLength": 1, "description": "name of the task"},
        "messages": {
            "type": "array",
            "items": _MESSAGE,
            "contains": _FROM_USER,
            "minItems": 1,
            "description": "the last one of the user is the input",
        },
        "stream": {"type": "boolean"},
        "stream_options": {"type": "object", "properties": {"include_usage": {"type": "boolean"}}},
        "user": {"type": "string", "description": "who asks; decides between stable candidate and canary"},
        "metadata": {"type": "object", "additionalProperties": _TEXT, "description": _METADATA},
    },
}
_ANSWER = {
    "type": "object",
    "required": ["id", "object", "created", "model", "choices", "usage"],
    "properties": {
        "id": {"type": "string", "description": "id of the trace"},
        "object": {"const": "chat.completion"},
        "created": {"type": "integer"},
        "model": _TEXT,
        "choices": {"type": "array", "items": {"type": "object"}},
        "usage": {"type": "object"},
        "tasklift": {"type": "object", "description": "where a person has to answer: needs_review, review"},
    },
}


def document(api: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if api.openapi_schema is None:
        found = get_openapi(title=api.title, version=api.version, routes=api.routes)
        found["paths"]["/v1/chat/completions"] = {"post": _chat()}
        found.setdefault("components", {})["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        for path, operations in found["paths"].items():
            for operation in operations.values():
                operation["responses"].pop("422", None)  # what is invalid is answered with 400
                if path.startswith("/v1") or path == "/metrics":
                    operation["security"] = [{"key": []}]
        api.openapi_schema = found
    return api.openapi_schema


def _chat() -> dict[str, Any]:
    errors = (400, 401, 403, 404, 408, 413, 429, 502, 503, 504)
    content = {"application/json": {"schema": _ANSWER}, "text/event-stream": {"schema": _TEXT}}
    return {
        "summary": "Chat completions, as OpenAI's clients speak them",
        "operationId": "chat_completions",
        "requestBody": {"required": True, "content": {"application/json": {"schema": _REQUEST}}},
        "responses": {
            "200": {"description": "The answer", "content": content},
            **{str(status): {"description": "An error", "content": _ERROR} for status in errors},
        },
    }
