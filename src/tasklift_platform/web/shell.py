"""The outermost layer of a web application: request id, limits, security headers, errors, metrics, drain.

One layer instead of six, because each of them would wrap every message of every answer again.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tasklift_platform.web.drain import Drain
from tasklift_platform.web.headers import RawHeaders, SecurityHeaders
from tasklift_platform.web.limits import RequestLimits, lingering
from tasklift_platform.web.problems import Render, problem_of, render

_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_LOG = logging.getLogger("tasklift.web")


class Observer(Protocol):
    """Told about each answer; `metrics.HttpMetrics` is one."""

    def __call__(self, scope: Scope, status: int, seconds: float) -> None:
        """`status` is 499 where the caller went away before the answer began."""


@dataclass(frozen=True, slots=True)
class ShellOptions:
    """The parts of a Shell.

    Attributes:
        limits: how much of a request is read.
        headers: what is added to every answer.
        render: how an error looks.
        observe: called once for each request.
        trust_request_id: take over the caller's `X-Request-ID` where it is well-formed.
    """

    limits: RequestLimits = field(default_factory=RequestLimits)
    headers: SecurityHeaders = field(default_factory=SecurityHeaders)
    render: Render = render
    observe: Observer | None = None
    trust_request_id: bool = True


class Shell:
    """Around `app`, which may be FastAPI, Starlette or any ASGI application.

    The request's id is in `scope["state"]["request_id"]`, in the answer's `X-Request-ID` and in the log.
    """

    def __init__(self, app: ASGIApp, drain: Drain, options: ShellOptions | None = None) -> None:
        self._app, self._drain = app, drain
        self._options = options or ShellOptions()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        answer = _Answer(scope, send, self, request_id)
        started = time.perf_counter()
        self._drain.enter()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self._guarded(scope, receive, answer)
        finally:
            structlog.contextvars.unbind_contextvars("request_id")
            self._drain.leave()
            if self._options.observe is not None:
                self._options.observe(scope, answer.status or 499, time.perf_counter() - started)

    def finish_headers(self, scope: Scope, headers: RawHeaders, request_id: str) -> None:
        """Add what every answer has."""
        self._options.headers.extend(scope, headers)
        headers.append((b"x-request-id", request_id.encode()))
        if self._drain.begun and not any(name == b"connection" for name, _ in headers):
            headers.append((b"connection", b"close"))

    async def _guarded(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        limits = self._options.limits
        try:
            limits.refuse_announced(scope)
            await self._app(scope, limits.around(receive), answer)
        except Exception as error:  # the boundary: whatever it is, the caller gets an answer and no stack trace
            problem = problem_of(error, answer.request_id)
            if problem.status >= 500:
                said = {"method": scope["method"], "path": scope["path"], "status": problem.status}
                _LOG.error("request failed", extra=said, exc_info=error)
            if answer.is_complete:
                return  # the framework answered and raised again
            if answer.status:
                raise  # half an answer must not look like a whole one: the server cuts the connection
            send = lingering(answer, receive) if problem.status == 413 else answer
            await self._options.render(scope, problem)(scope, receive, send)

    def _request_id(self, scope: Scope) -> str:
        if self._options.trust_request_id:
            for name, value in scope["headers"]:
                if name == b"x-request-id" and _ID.fullmatch(value):
                    return str(value.decode())
        return uuid.uuid4().hex


class _Answer:
    """`send`, with the headers finished and the status noted."""

    __slots__ = ("_scope", "_send", "_shell", "is_complete", "request_id", "status")

    def __init__(self, scope: Scope, send: Send, shell: Shell, request_id: str) -> None:
        self._scope, self._send, self._shell = scope, send, shell
        self.request_id = request_id
        self.status = 0
        self.is_complete = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [(name.lower(), value) for name, value in message.get("headers", ())]
            self._shell.finish_headers(self._scope, headers, self.request_id)
            message = {**message, "headers": headers}
        elif message["type"] == "http.response.body":
            self.is_complete = not message.get("more_body", False)
        await self._send(message)
