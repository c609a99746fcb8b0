"""What went wrong with a request, as a page for people and as JSON for programs; never a stack trace.

Errors that say it themselves: PlatformError (`status`, `code`, `public`), RequestError below, Starlette's
HTTPException and FastAPI's validation errors. Whatever else is raised is ours: 500, and the log has the rest.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import Scope

from tasklift_platform.errors import PlatformError, RateExceededError
from tasklift_platform.web.headers import csp_nonce

_CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "request_too_large",
    422: "invalid_request",
    429: "rate_limit_exceeded",
    503: "unavailable",
}
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{status} {phrase}</title>
<style nonce="{nonce}">body{{font:1rem/1.5 system-ui,sans-serif;max-width:38rem;margin:15vh auto;padding:0 1rem}}
h1{{font-size:1.4rem}}small{{color:#666}}</style></head>
<body><h1>{phrase}</h1><p>{message}</p><p><small>{status}, request {request_id}</small></p></body></html>
"""


class RequestError(HTTPException):
    """A request that cannot be answered, with the status and the words to say so.

    It is Starlette's kind of error, and no TaskliftError, because frameworks let this kind pass while they read a
    request, and turn any other into "400 parsing error".

    Args:
        status: HTTP status, 400 to 599.
        code: one word for programs.
        message: what is wrong, which value, what to do; the caller reads it.
    """

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, message, headers)
        self.code = code


@dataclass(frozen=True, slots=True)
class Problem:
    """One answer that is an error.

    Attributes:
        status: HTTP status.
        code: one word for programs.
        message: for people.
        request_id: under which the log has more.
        fields: where in the request it is wrong: `body.limit` -> what is wrong there.
        headers: further ones for the answer.
    """

    status: int
    code: str
    message: str
    request_id: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


#: Turns a problem into an answer; an application may bring its own.
Render = Callable[[Scope, Problem], Response]


def problem_of(error: Exception, request_id: str = "") -> Problem:
    """What a caller is told about `error`."""
    if isinstance(error, PlatformError):
        headers = {}
        if isinstance(error, RateExceededError):
            headers["Retry-After"] = str(math.ceil(error.retry_after_s))
        elif error.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        elif error.status == 503:
            headers["Retry-After"] = "1"
        return Problem(error.status, error.code, error.public, request_id, headers=headers)
    if isinstance(error, RequestValidationError):
        return _validation_problem(error, request_id)
    if isinstance(error, HTTPException):
        code = getattr(error, "code", None) or _CODES.get(error.status_code, "error")
        return Problem(error.status_code, code, str(error.detail), request_id, headers=error.headers or {})
    message = f"something went wrong here, not in your request; it is logged under {request_id or 'its time'}"
    return Problem(500, "server_error", message, request_id)


def _validation_problem(error: RequestValidationError, request_id: str) -> Problem:
    """The places and what is wrong there; not the values, which may be private, and may be long."""
    fields = {".".join(str(part) for part in item["loc"]): str(item["msg"]) for item in error.errors()}
    first = next(iter(fields.items()), ("body", "cannot be read"))
    more = f" (and {len(fields) - 1} more)" if len(fields) > 1 else ""
    return Problem(422, "invalid_request", f"{first[0]}: {first[1]}{more}", request_id, fields)


def render(scope: Scope, problem: Problem) -> Response:
    """A page where the caller is a browser, JSON otherwise."""
    if scope["type"] == "http" and _wants_page(scope):
        return page(scope, problem)
    error: dict[str, Any] = {"message": problem.message, "type": _kind(problem.status), "code": problem.code}
    error["request_id"] = problem.request_id
    if problem.fields:
        error["fields"] = dict(problem.fields)
    body = json.dumps({"error": error}, ensure_ascii=False).encode("utf-8", "replace")
    return Response(body, problem.status, dict(problem.headers), "application/json")


def page(scope: Scope, problem: Problem) -> Response:
    """The problem as a page; every value in it is escaped."""
    values = {
        "status": str(problem.status),
        "phrase": _phrase(problem.status),
        "message": problem.message,
        "request_id": problem.request_id,
        "nonce": csp_nonce(scope),
    }
    text = _PAGE.format(**{name: html.escape(value) for name, value in values.items()})
    return HTMLResponse(text.encode("utf-8", "replace"), problem.status, dict(problem.headers))


def exception_handlers(
    render: Render = render,
) -> dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]]:
    """For `FastAPI(exception_handlers=...)` or Starlette's: all errors look alike, and none shows a stack trace."""

    async def answer(request: Request, error: Exception) -> Response:
        return render(request.scope, problem_of(error, request.scope.get("state", {}).get("request_id", "")))

    kinds = (HTTPException, RequestValidationError, PlatformError, Exception)
    return dict.fromkeys(kinds, answer)


def _wants_page(scope: Scope) -> bool:
    accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
    return b"text/html" in accept


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _kind(status: int) -> str:
    return "server_error" if status >= 500 else "invalid_request_error"
