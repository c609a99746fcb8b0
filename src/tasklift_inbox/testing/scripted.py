"""How a fake misbehaves next: a queue of troubles, one for each call."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import JSONResponse, Response


@dataclass(frozen=True, slots=True)
class Trouble:
    """What happens to one call.

    Attributes:
        status, body: the answer; status 0: none, the connection is cut.
        takes_it: the message is accepted all the same: the caller cannot know.
        delay_s: before the answer.
    """

    status: int = 0
    body: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    takes_it: bool = False
    delay_s: float = 0.0


@dataclass(slots=True)
class Script:
    """Troubles to come."""

    waiting: deque[Trouble] = field(default_factory=deque)

    def add(self, trouble: Trouble, times: int = 1) -> None:
        """The next `times` calls go like this."""
        self.waiting.extend([trouble] * times)

    def next(self) -> Trouble | None:
        """What happens to the call that is here."""
        return self.waiting.popleft() if self.waiting else None


async def answer_of(trouble: Trouble) -> Response:
    """The answer of a call in trouble."""
    if trouble.delay_s:
        await asyncio.sleep(trouble.delay_s)
    return JSONResponse(dict(trouble.body), trouble.status or 502, dict(trouble.headers))
