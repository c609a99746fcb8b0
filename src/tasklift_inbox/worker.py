"""Everything that works in the background: reading events, sending, fetching, polling, looking after channels."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable

import sqlalchemy as sa

from tasklift_inbox.channels.instagram import InstagramChannel
from tasklift_inbox.errors import SendError
from tasklift_inbox.media import Fetcher
from tasklift_inbox.normalise import Normaliser
from tasklift_inbox.polling import Pollers
from tasklift_inbox.privacy import registry_of
from tasklift_inbox.receive import store_raw
from tasklift_inbox.runtime import Runtime, Settings
from tasklift_inbox.sending import Sender, note_health
from tasklift_inbox.tables import channels
from tasklift_platform.errors import DatabaseError
from tasklift_platform.job_worker import JobWorker
from tasklift_platform.leases import take_lease
from tasklift_platform.logs import configure_logs

_LOG = logging.getLogger("tasklift.inbox.worker")
_HEALTH_S = 60.0
_SWEEP_S = 300.0


class Worker:
    """All background work of one process; `run` returns after `stop`.

    Args:
        wake: set by whoever stored a raw event in this process.
    """

    def __init__(self, runtime: Runtime, wake: asyncio.Event | None = None) -> None:
        self._runtime, self._wake = runtime, wake
        self._pollers = Pollers(runtime, wake)
        sender, fetcher = Sender(runtime), Fetcher(runtime)
        self._senders = JobWorker(runtime.send_queue, {"send": sender.send}, concurrency=8, poll_s=0.3)
        self._fetchers = JobWorker(
            runtime.media_queue, {"fetch": fetcher.fetch, "name": fetcher.name}, concurrency=4, poll_s=1.0
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set."""
        work = [
            Normaliser(self._runtime).run(stop, self._wake),
            self._senders.run(stop),
            self._fetchers.run(stop),
            self._every(stop, 2.0, self._pollers.keep),
            self._every(stop, _HEALTH_S, self._heal),
            self._every(stop, _SWEEP_S, self._sweep),
            self._every(stop, _SWEEP_S, self._finish_erasures),
        ]
        try:
            await asyncio.gather(*work)
        finally:
            await self._pollers.aclose()

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


def work(settings: Settings) -> None:
    """A process of background work only, until it is told to stop; what is under way is finished."""
    configure_logs(sys.stderr)
    logging.getLogger("alembic").setLevel(logging.WARNING)

    async def run() -> None:
        runtime, stop = await Runtime.open(settings), asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        try:
            await Worker(runtime).run(stop)
        finally:
            await runtime.aclose()

    asyncio.run(run())
