"""Clients that send the head of a request byte by byte, or nothing at all: uvicorn would hold them for ever."""

from __future__ import annotations

import asyncio
from typing import Any


class HeadTimeout(asyncio.Protocol):
    """Put in front of one of uvicorn's HTTP/1.1 protocols by `with_head_timeout`.

    A connection is closed when the head of its next request is not complete `head_timeout_s` after its first byte,
    and after connecting. Between requests uvicorn's own `timeout_keep_alive` counts.
    """

    head_timeout_s: float = 10.0
    cycle: Any  # uvicorn's request under way, or the last one
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The clock starts with the connection."""
        super().connection_made(transport)
        self._start(transport)

    def data_received(self, data: bytes) -> None:
        """It stops when the head is complete, and starts again with the next one's first byte."""
        super().data_received(data)
        if not self._is_between_requests():
            self._stop()
        elif self._timer is None:
            self._start(self.transport)  # type: ignore[attr-defined]

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to wait for any more."""
        self._stop()
        super().connection_lost(exc)

    def _is_between_requests(self) -> bool:
        return self.cycle is None or bool(self.cycle.response_complete)

    def _start(self, transport: asyncio.BaseTransport) -> None:
        self._timer = asyncio.get_running_loop().call_later(self.head_timeout_s, transport.close)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def with_head_timeout(protocol: type[asyncio.Protocol], head_timeout_s: float = 10.0) -> type[asyncio.Protocol]:
    """For `uvicorn.Config(http=with_head_timeout(H11Protocol))`, or around its httptools protocol."""
    return type(f"Timed{protocol.__name__}", (HeadTimeout, protocol), {"head_timeout_s": head_timeout_s})
