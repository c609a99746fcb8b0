"""Everything that works in the background: reading events, sending, fetching, polling, looking after channels."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable

import sqlalchemy as sa

from tasklift_inbox.channels.instagram import InstagramChannel
from tasklift_inbox.channels.telegram import TelegramChannel
from tasklift_inbox.errors import SendError
from tasklift_inbox.media import Fetcher
from tasklift_inbox.normalise import Normaliser
from tasklift_inbox.privacy import registry_of
from tasklift_inbox.receive import store_raw
from tasklift_inbox.runtime import Runtime
from tasklift_inbox.sending import Sender, note_health
from tasklift_inbox.tables import channels
from tasklift_inbox.texts import compact
from tasklift_platform.errors import DatabaseError, LeaseLostError
from tasklift_platform.job_worker import JobWorker
from tasklift_platform.leases import Lease, release_lease, renew_lease, take_lease

_LOG = logging.getLogger("tasklift.inbox.worker")
_LEASE_S = 90.0  # longer than one poll takes
_PAUSE_S = 5.0
_HEALTH_S = 60.0
_SWEEP_S = 300.0


class Worker:
    """All background work of one process; `run` returns after `stop`.

    Args:
        wake: set by whoever stored a raw event in this process.
    """

    def __init__(self, runtime: Runtime, wake: asyncio.Event | None = None) -> None:
        self._runtime, self._wake = runtime, wake
        self._pollers: dict[str, asyncio.Task[None]] = {}
        sender, fetcher = Sender(runtime), Fetcher(runtime)
        self._senders = JobWorker(runtime.send_queue, {"send": sender.send}, concurrency=8, poll_s=0.3)
        self._fetchers = JobWorker(runtime.media_queue, {"fetch": fetcher.fetch}, concurrency=4, poll_s=1.0)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set."""
        work = [
            Normaliser(self._runtime).run(stop, self._wake),
            self._senders.run(stop),
            self._fetchers.run(stop),
            self._every(stop, 2.0, self._keep_polling),
            self._every(stop, _HEALTH_S, self._heal),
            self._every(stop, _SWEEP_S, self._sweep),
            self._every(stop, _SWEEP_S, self._finish_erasures),
        ]
        try:
            await asyncio.gather(*work)
        finally:
            for task in self._pollers.values():
                task.cancel()
            await asyncio.gather(*self._pollers.values(), return_exceptions=True)

    async def _every(self, stop: asyncio.Event, pause_s: float, action: Callable[[], Awaitable[None]]) -> None:
        while not stop.is_set():
            try:
                await action()
            except (DatabaseError, SendError) as error:
                _LOG.warning("background work waits: %s", error)
            try:
                await asyncio.wait_for(stop.wait(), pause_s)
            except TimeoutError:
                pass

    async def _keep_polling(self) -> None:
        """A poller for each channel that polls; one of a channel that is gone is stopped."""
        await self._runtime.refresh()
        wanted = {
            name: channel
            for name, channel in self._runtime.channels.items()
            if isinstance(channel, TelegramChannel) and channel.config.settings.get("mode", "polling") == "polling"
        }
        for name in set(self._pollers) - set(wanted):
            self._pollers.pop(name).cancel()
        for name in wanted:
            if name not in self._pollers or self._pollers[name].done():
                self._pollers[name] = asyncio.create_task(self._poll(name))

    async def _poll(self, name: str) -> None:
        """Long polling under a lease; the offset moves only after the commit."""
        while True:
            try:
                lease = await take_lease(self._runtime.database, f"inbox.poll.{name}", _LEASE_S)
                if lease is not None:
                    await self._poll_under(name, lease)
            except (DatabaseError, LeaseLostError) as error:
                _LOG.warning("polling %s waits: %s", name, error)
            except SendError as error:
                await note_health(self._runtime, name, str(error), error.remedy)
            await asyncio.sleep(_PAUSE_S)

    async def _poll_under(self, name: str, lease: Lease) -> None:
        try:
            first = self._runtime.channels.get(name)
            if isinstance(first, TelegramChannel):
                await first.set_webhook("")
            offset = (await self._cursor(name)).get("offset", 0)
            while isinstance(channel := self._runtime.channels.get(name), TelegramChannel):
                updates = await channel.poll(offset)
                await renew_lease(self._runtime.database, lease, _LEASE_S)
                rows = [
                    {"channel_id": name, "dedupe_key": str(update.get("update_id")), "headers": "{}"}
                    | {"body": json.dumps(update).encode()}
                    for update in updates
                ]
                if not rows:
                    continue
                await store_raw(self._runtime.database, rows)
                offset = max(int(update.get("update_id", 0)) for update in updates) + 1
                await self._set_cursor(name, {"offset": offset})
                if self._wake is not None:
                    self._wake.set()
        finally:
            await release_lease(self._runtime.database, lease)

    async def _cursor(self, name: str) -> dict[str, int]:
        async with self._runtime.database.read() as connection:
            found = await connection.execute(sa.select(channels.c.cursor).where(channels.c.id == name))
            return dict(json.loads(found.scalar_one()))

    async def _set_cursor(self, name: str, cursor: dict[str, int]) -> None:
        async with self._runtime.database.write() as connection:
            await connection.execute(sa.update(channels).where(channels.c.id == name).values(cursor=compact(cursor)))

    async def _sweep(self) -> None:
        """Ask Instagram for what its webhooks did not bring; what is here already is left out by the constraints."""
        for name, channel in list(self._runtime.channels.items()):
            if not isinstance(channel, InstagramChannel):
                continue
            lease = await take_lease(self._runtime.database, f"inbox.sweep.{name}", _SWEEP_S / 2)
            found = await channel.sweep() if lease is not None else None
            if found is not None:
                row = {"channel_id": name, "dedupe_key": channel.dedupe_key(found), "headers": "{}", "body": found}
                await store_raw(self._runtime.database, [row])

    async def _finish_erasures(self) -> None:
        await registry_of(self._runtime).retry_open()

    async def _heal(self) -> None:
        """Look again at channels that were unhealthy: what waits for them goes on once they are well."""
        query = sa.select(channels.c.id).where(channels.c.is_active, channels.c.health == "unhealthy")
        async with self._runtime.database.read() as connection:
            sick = list((await connection.execute(query)).scalars())
        for name in sick:
            channel = self._runtime.channels.get(name)
            if channel is None:
                continue
            bad = [check for check in await channel.check() if check.problem]
            if not bad:
                await note_health(self._runtime, name, "")
