"""Server-sent events: streams that a browser resumes by itself after a break.

A `Channel` is one subject's events in this process, with the last ones kept. The reader's `Last-Event-ID` says how
far it came: it gets what it missed, or, where that is no longer kept (or another process answers), one event
`reset`, on which a page loads itself again. A source of its own, such as rows of a table, needs no channel: any
async iterator of `Event` can be streamed.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tasklift_platform.web.drain import Drain

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back
]


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        data: any text; lines stay lines.
        event: its name, "message" where empty.
        id: what the reader sends back as `Last-Event-ID`; empty: cannot be resumed from.
    """

    data: str
    event: str = ""
    id: str = ""

    def encode(self) -> bytes:
        """As it goes over the wire."""
        lines = [f"id: {_one_line(self.id)}"] if self.id else []
        if self.event:
            lines.append(f"event: {_one_line(self.event)}")
        data = self.data.replace("\r\n", "\n").replace("\r", "\n")  # a lone return would end the line, too
        lines.extend(f"data: {line}" for line in data.split("\n"))
        return ("\n".join(lines) + "\n\n").encode("utf-8", "replace")


RESET = "reset"


class Channel:
    """Events of one subject in this process.

    Args:
        kept: so many of the last events can be resumed from.
        behind: a reader that is so many events behind is sent away, and comes back with its `Last-Event-ID`.
    """

    def __init__(self, kept: int = 256, behind: int = 256) -> None:
        self._epoch = secrets.token_hex(4)  # numbers of another process, or of before a restart, mean nothing here
        self._count = 0
        self._kept: deque[Event] = deque(maxlen=kept)
        self._behind = behind
        self._readers: set[asyncio.Queue[Event | None]] = set()

    def publish(self, data: str, event: str = "") -> str:
        """Send one event to every reader.

        Returns:
            its id.
        """
        self._count += 1
        item = Event(data, event, f"{self._epoch}-{self._count}")
        self._kept.append(item)
        for queue in list(self._readers):
            if queue.qsize() >= self._behind:
                self._readers.discard(queue)
                queue.put_nowait(None)
            else:
                queue.put_nowait(item)
        return item.id

    async def subscribe(self, last_id: str = "") -> AsyncIterator[Event]:
        """What was published after `last_id` (empty: from now on), and what comes."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        for missed in self._missed(last_id):
            queue.put_nowait(missed)
        self._readers.add(queue)
        try:
            while (item := await queue.get()) is not None:
                yield item
        finally:
            self._readers.discard(queue)

    def _missed(self, last_id: str) -> list[Event]:
        if not last_id:
            return []
        epoch, _, number = last_id.rpartition("-")
        seen = int(number) if number.isdecimal() and len(number) < 18 else -1
        first_kept = self._count - len(self._kept)
        if epoch != self._epoch or not first_kept <= seen <= self._count:
            return [Event("", RESET, f"{self._epoch}-{self._count}")]
        return list(self._kept)[seen - first_kept :]


def last_event_id(scope: Scope) -> str:
    """How far the reader came; empty: it is new."""
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"last-event-id"), "")


class EventStream(Response):
    """An answer that streams `events` until they end, the reader leaves, or the process goes down.

    Args:
        events: closed at the end in any case.
        drain: ends the stream when the process goes down; the reader then comes back to another one.
        heartbeat_s: after so long without an event a comment is sent, so that proxies keep the connection.
        retry_ms: a browser comes back after so long; None: it is not told.
    """

    def __init__(
        self, events: AsyncIterator[Event], drain: Drain, *, heartbeat_s: float = 15.0, retry_ms: int | None = 1000
    ) -> None:
        self.status_code = 200
        self.background = None
        self.raw_headers = list(_HEADERS)
        self._events, self._drain = events, drain
        self._heartbeat_s, self._retry_ms = heartbeat_s, retry_ms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send(_body(b"" if self._retry_ms is None else f"retry: {self._retry_ms}\n\n".encode()))
        ends = [asyncio.create_task(self._drain.wait_begun()), asyncio.create_task(_gone(receive))]
        pump = asyncio.create_task(self._pump(send))
        try:
            await asyncio.wait([pump, *ends], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (pump, *ends):
                task.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
            with suppress(asyncio.CancelledError):
                await pump  # raises what the source raised
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pump(self, send: Send) -> None:
        """Events as they come, heartbeats between them."""
        coming: asyncio.Future[Event] | None = None
        try:
            while True:
                coming = coming or asyncio.ensure_future(anext(self._events))
                done, _ = await asyncio.wait([coming], timeout=self._heartbeat_s)
                if not done:
                    await send(_body(b": still here\n\n"))
                    continue
                try:
                    event = coming.result()
                except StopAsyncIteration:
                    return
                coming = None
                await send(_body(event.encode()))
        finally:
            await self._close(coming)

    async def _close(self, coming: asyncio.Future[Event] | None) -> None:
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
        close = getattr(self._events, "aclose", None)
        if close is not None:
            await close()


def _one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ").replace("\0", " ")


def _body(data: bytes) -> dict[str, object]:
    return {"type": "http.response.body", "body": data, "more_body": True}


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
