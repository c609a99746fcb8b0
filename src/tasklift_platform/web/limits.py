"""How much of a request is read, and for how long.

What is not seen here, because the server has not handed the request over yet: a client that sends its headers
slowly. `slow.with_head_timeout` is for those.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from starlette.types import Message, Receive, Scope, Send

from tasklift.errors import ConfigError
from tasklift_platform.web.problems import RequestError

_CLOSE = {"Connection": "close"}  # the rest of the body is not read, but for what `lingering` takes
#: Of a refused body so much is taken and thrown away, while it comes without such a pause: a client that is cut off
#: while it sends meets a broken connection and never reads why.
MOST_DISCARDED = 32 * 2**20
DISCARD_PAUSE_S, DISCARD_S = 1.0, 10.0


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Bounds of one request.

    Attributes:
        body_bytes: longest body, whether its length was announced or it comes in chunks.
        body_timeout_s: from the first read to the last byte of the body.
    """

    body_bytes: int = 2 * 2**20
    body_timeout_s: float = 30.0

    def __post_init__(self) -> None:
        for name in ("body_bytes", "body_timeout_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0, not {getattr(self, name)!r}")

    def refuse_announced(self, scope: Scope) -> None:
        """Raise where the request announces more than is read.

        Raises:
            RequestError: 413, or 400 where the length is no number.
        """
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), None)
        if announced is None:
            return
        if not announced.isdigit():
            raise RequestError(400, "bad_request", "content-length is not a number", _CLOSE)
        if len(announced) > 18 or int(announced) > self.body_bytes:
            raise self._too_large()

    def around(self, receive: Receive) -> Receive:
        """`receive`, raising RequestError (413, 408) where the body is longer, or slower, than allowed."""
        return _BoundedReceive(receive, self)

    def _too_large(self) -> RequestError:
        message = f"the request is longer than {self.body_bytes} bytes; send less, or in parts"
        return RequestError(413, "request_too_large", message, _CLOSE)


def lingering(send: Send, receive: Receive) -> Send:
    """`send` for the answer to a refused body: whole at once, but the connection stays until what the client still
    sends was taken and thrown away, within limits."""

    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            await send({**message, "more_body": True})
            await _discard(receive)
            message = {"type": "http.response.body", "body": b""}
        await send(message)

    return wrapped


async def _discard(receive: Receive) -> None:
    taken, until = 0, asyncio.get_running_loop().time() + DISCARD_S
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(until):
            while taken < MOST_DISCARDED:
                message = await asyncio.wait_for(receive(), DISCARD_PAUSE_S)
                taken += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return


class _BoundedReceive:
    """Counts what the application reads of one request."""

    __slots__ = ("_limits", "_receive", "_received", "_until")

    def __init__(self, receive: Receive, limits: RequestLimits) -> None:
        self._receive, self._limits = receive, limits
        self._received = 0
        self._until: float | None = None  # None: not begun; inf: the body is complete, waiting is for disconnection

    async def __call__(self) -> Message:
        if self._until == float("inf"):
            return await self._receive()
        if self._until is None:
            self._until = asyncio.get_running_loop().time() + self._limits.body_timeout_s
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            text = f"the request did not arrive within {self._limits.body_timeout_s:g} s"
            raise RequestError(408, "request_timeout", text, _CLOSE) from None
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            if self._received > self._limits.body_bytes:
                raise self._limits._too_large()
            if not message.get("more_body", False):
                self._until = float("inf")
        return message
