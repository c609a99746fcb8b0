"""Plain ASGI: reading a body within limits, sending JSON, errors in the form that OpenAI's clients know."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from tasklift.errors import (
    ConflictError,
    DataError,
    MissingDependencyError,
    ReleaseError,
    TaskliftError,
    TrafficError,
    UnknownIdError,
    UnsupportedError,
)
from tasklift.prediction import Failure
from tasklift_platform.errors import PlatformError, RateExceededError
from tasklift_platform.web.problems import problem_of

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

#: Larger requests are refused before they are read.
MAX_BODY = 2 * 2**20
#: A body that takes longer to arrive is not waited for: many slow clients must not hold the service.
BODY_TIMEOUT_S = 10.0
_JSON: tuple[bytes, bytes] = (b"content-type", b"application/json")
#: Failure of a prediction -> HTTP status. What the provider did wrong is a bad gateway, not the caller's fault.
STATUS_OF = {"timeout": 504, "rate_limit": 429, "empty_input": 400}
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """An answer that is an error.

    Args:
        status: HTTP status.
        message: for a person.
        code: for a program.
        param: the field that is wrong.
        retry_after_s: when to try again.
        more: further headers.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
        more: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.retry_after_s, self.more = retry_after_s, more or {}

    def body(self) -> dict[str, Any]:
        """The documented form."""
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        """`retry-after` and what a 401 has to say."""
        found = {} if self.retry_after_s is None else {"retry-after": str(max(1, round(self.retry_after_s)))}
        return {**found, **({"www-authenticate": "Bearer"} if self.status == 401 else {}), **self.more}


def api_error(error: TaskliftError) -> ApiError:
    """Any error of ours, as a caller may see it."""
    if isinstance(error, RateExceededError):
        return ApiError(error.status, error.public, error.code, retry_after_s=error.retry_after_s)
    if isinstance(error, PlatformError):
        return ApiError(error.status, error.public, error.code, retry_after_s=1.0 if error.status == 503 else None)
    for kind, status, code in _KNOWN:
        if isinstance(error, kind):
            return ApiError(status, str(error), code)
    return ApiError(500, "the service failed; its log says more", "internal_error")


#: Errors whose message a caller may read, the special ones first.
_KNOWN: tuple[tuple[type[TaskliftError], int, str], ...] = (
    (ConflictError, 409, "conflict"),
    (ReleaseError, 503, "not_released"),
    (DataError, 400, "invalid_value"),
    (UnknownIdError, 404, "not_found"),
    (TrafficError, 409, "not_possible"),
    (UnsupportedError, 501, "not_supported"),
    (MissingDependencyError, 501, "not_supported"),
)


def to_api_error(error: Exception) -> ApiError:
    """Any error that a handler may raise, as a caller may see it."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, TaskliftError):
        return api_error(error)
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        said = "the body of the request is not valid JSON" if first["type"] == "json_invalid" else first["msg"]
        return ApiError(400, f"{where}: {said}" if where else said, "invalid_value", where or None)
    if isinstance(error, HTTPException):
        found = problem_of(error)
        return ApiError(found.status, found.message, found.code, more=found.headers)
    return ApiError(500, "the service failed; its log says more", "internal_error")


def failure_error(failure: Failure) -> ApiError:
    """A prediction without an answer, as a caller may see it. What a provider said stays in the trace: it may
    hold addresses and names of keys."""
    status = STATUS_OF.get(failure.kind, 502)
    said = failure.message if failure.kind in ("timeout", "empty_input") else f"the model failed ({failure.kind})"
    return ApiError(status, said, failure.kind, retry_after_s=1.0 if status in (429, 504) else None)


def header(headers: Headers, name: bytes) -> bytes | None:
    """The first header of this (lower-case) name."""
    for key, value in headers:
        if key == name:
            return value
    return None


def bearer(headers: Headers) -> str | None:
    """The key that a request carries."""
    value = header(headers, b"authorization")
    if value is None or value[:7].lower() != b"bearer ":
        return None
    return value[7:].strip().decode("latin-1")


async def read_body(headers: Headers, receive: Receive, limit: int = MAX_BODY) -> bytes:
    """The whole body.

    Raises:
        ApiError: 413 too large, 408 too slow, 400 the caller went away in the middle.
    """
    told = header(headers, b"content-length")
    if told is not None and told.isdigit() and int(told) > limit:
        raise too_large(limit)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ApiError(400, "the connection was closed before the request was whole")
                part = message.get("body", b"")
                size += len(part)
                if size > limit:
                    raise too_large(limit)
                parts.append(part)
                if not message.get("more_body", False):
                    return parts[0] if len(parts) == 1 else b"".join(parts)
    except TimeoutError:
        raise ApiError(408, f"the request was not whole after {BODY_TIMEOUT_S:g} s", "timeout") from None


_CLOSE = {"connection": "close"}


def too_large(limit: int) -> ApiError:
    """413."""
    return ApiError(
        413, f"the request is larger than {limit / 2**20:g} MiB; send less text", "request_too_large", more=_CLOSE
    )


def parse_json(raw: bytes) -> dict[str, Any]:
    """The object in a body.

    Raises:
        ApiError: 400, it is no JSON object.
    """
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        where = f" ({error})" if isinstance(error, json.JSONDecodeError) else ""
        raise ApiError(400, f"the body of the request is not valid JSON{where}", "invalid_json") from None
    if not isinstance(body, dict):
        raise ApiError(400, f"the body of the request must be a JSON object, not {type(body).__name__}", "invalid_json")
    return body


async def send_json(send: Send, status: int, body: bytes, headers: Headers) -> None:
    """One JSON answer."""
    whole = [_JSON, (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": whole})
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: ApiError) -> None:
    """One error."""
    extra = [(name.encode(), value.encode()) for name, value in error.headers().items()]
    await send_json(send, error.status, json.dumps(error.body()).encode(), extra)
