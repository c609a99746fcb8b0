"""Going down without losing a request: say "not ready", end the streams, finish the rest."""

from __future__ import annotations

import asyncio
from types import FrameType

import uvicorn


class Drain:
    """Whether this process is going down, and how many requests it still has."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._begun = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def begun(self) -> bool:
        """True once it goes down: answer 503 on the readiness page, and begin nothing long."""
        return self._begun.is_set()

    def begin(self) -> None:
        """Go down: streams end, the readiness page says so, and connections close after their answer."""
        self._begun.set()

    async def wait_begun(self) -> None:
        """Until `begin`."""
        await self._begun.wait()

    async def wait_idle(self, timeout_s: float) -> bool:
        """Until no request is left, or `timeout_s` is over.

        Returns:
            False where some were left.
        """
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def enter(self) -> None:
        """A request began."""
        self.in_flight += 1
        self._idle.clear()

    def leave(self) -> None:
        """A request ended."""
        self.in_flight -= 1
        if self.in_flight == 0:
            self._idle.set()


class DrainingServer(uvicorn.Server):
    """uvicorn that begins `drain` on SIGTERM or SIGINT, before it waits for the requests that are under way.

    Args:
        notice_s: for so long it says "not ready" and still takes connections, so that a load balancer can look.
    """

    def __init__(self, config: uvicorn.Config, drain: Drain, notice_s: float = 0.0) -> None:
        super().__init__(config)
        self._drain, self._notice_s = drain, notice_s
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Remember the loop: a signal arrives outside of it."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets=sockets)  # type: ignore[arg-type]

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains, the second one goes at once."""
        if self._loop is None or self._drain.begun or self._notice_s <= 0:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._drain.begin)
            super().handle_exit(sig, frame)
            return
        self._loop.call_soon_threadsafe(self._notice, self._loop, sig)

    def _notice(self, loop: asyncio.AbstractEventLoop, sig: int) -> None:
        self._drain.begin()
        loop.call_later(self._notice_s, super().handle_exit, sig, None)
