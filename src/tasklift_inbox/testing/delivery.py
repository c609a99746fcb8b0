"""Delivers webhooks as providers do at their worst: signed, repeated, out of order, until they are taken."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

_PAUSE_S = 0.05


def sign(body: bytes, secret: str) -> dict[str, str]:
    """Meta's signature of a body."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={digest}", "Content-Type": "application/json"}


@dataclass(slots=True)
class Delivery:
    """Sends events to a webhook.

    Attributes:
        url: of the webhook.
        app_secret: to sign as Meta does; '' for none.
        headers: further ones, such as Telegram's secret token.
        repeats: each event is delivered 1 to so many times.
        within: events change places with others up to so many places away.
        batch: up to so many of Meta's events come in one delivery.
        tries: of one delivery, where it is not taken (503, or no connection).
    """

    url: str
    app_secret: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    repeats: int = 1
    within: int = 0
    batch: int = 1
    tries: int = 60
    seed: int = 0

    async def post(self, session: aiohttp.ClientSession, event: Any) -> int:
        """Deliver one event; returns the last status."""
        body = event if isinstance(event, bytes) else json.dumps(event, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json", **self.headers}
        if self.app_secret:
            headers |= sign(body, self.app_secret)
        status = 0
        for _ in range(self.tries):
            try:
                async with session.post(self.url, data=io.BytesIO(body), headers=headers) as response:
                    status = response.status
            except (aiohttp.ClientError, TimeoutError):
                status = 0
            if status not in (0, 500, 502, 503):
                break
            await asyncio.sleep(_PAUSE_S)
        return status

    def order(self, count: int) -> list[int]:
        """Which event is delivered when: indices, with repetitions, each near its place."""
        chance = random.Random(self.seed)
        places = [
            (index + chance.uniform(0, self.within), index)
            for index in range(count)
            for _ in range(chance.randint(1, self.repeats))
        ]
        return [index for _, index in sorted(places)]

    async def deliver(self, events: Sequence[Any], at_once: int = 8) -> dict[int, int]:
        """Deliver `events`; returns status -> how many deliveries ended with it."""
        statuses: dict[int, int] = {}
        ordered = [events[index] for index in self.order(len(events))]
        queue = iter([_together(ordered[n : n + self.batch]) for n in range(0, len(ordered), self.batch)])
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:

            async def carry() -> None:
                for event in queue:
                    status = await self.post(session, event)
                    statuses[status] = statuses.get(status, 0) + 1

            await asyncio.gather(*(carry() for _ in range(at_once)))
        return statuses


def _together(events: Sequence[Any]) -> Any:
    """Several of Meta's events as one, with all their entries."""
    if len(events) == 1:
        return events[0]
    return {**events[0], "entry": [entry for event in events for entry in event["entry"]]}
