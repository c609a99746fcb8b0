"""Turns raw events into conversations: read, then stored, in small batches; again at any time (`replay`).

An event that cannot be read, or stored, is `poison`: it is put aside with the reason, and the next ones go on. One
process at a time works on a channel, held by a lease; what makes it right is that a batch marks its events as done in
the transaction that stores them, and only if nobody else did.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from tasklift_inbox.channels.base import Channel
from tasklift_inbox.intake import Intake, Read, Stored
from tasklift_inbox.runtime import Runtime
from tasklift_inbox.tables import raw_events
from tasklift_platform.database import Database
from tasklift_platform.errors import DatabaseError, LeaseLostError
from tasklift_platform.leases import Lease, release_lease, renew_lease, take_lease

_LOG = logging.getLogger("tasklift.inbox.normalise")
#: Of one transaction; a webhook may hold one message or hundreds. Short, for others want to write, too.
_BATCH = 100
_BATCH_BYTES = 50_000
_LEASE_S = 6.0
_RENEW_S = 2.0
_PAUSE_S = 0.5
_OTHERS_S = 0.05  # before it is seen how far another process has come
_NEW = sa.text("raw_events.state = 'new'")


class _Taken(Exception):
    """Somebody else has done some of these events."""


@dataclass(slots=True)
class _Held:
    lease: Lease
    renewed_at: float


class Normaliser:
    """Reads the raw events of all channels in this process."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime, self._database = runtime, runtime.database
        self._held: dict[str, _Held] = {}

    async def run(self, stop: asyncio.Event, wake: asyncio.Event | None = None) -> None:
        """Work until `stop`; look when `wake` is set, and every half second."""
        wake = wake or asyncio.Event()
        try:
            while not stop.is_set():
                wake.clear()
                try:
                    done = await self.step()
                except DatabaseError as error:
                    _LOG.warning("normalising waits for the database: %s", error)
                    done = 0
                if not done:
                    await _first_of(stop, wake)
        finally:
            await self._release()

    async def step(self) -> int:
        """One batch of each channel that has something; returns how many raw events were done."""
        await self._runtime.refresh()
        with_new = sa.select(raw_events.c.channel_id).where(_NEW).distinct()
        async with self._database.read() as connection:
            waiting = list((await connection.execute(with_new)).scalars())
        done = 0
        for channel_id in waiting:
            channel = self._runtime.channels.get(channel_id)
            if channel is not None and await self._hold(channel_id):
                done += await self._batch(channel)
        return done

    async def drain(self) -> int:
        """Until nothing is left of what is new now; returns how many raw events were done here.

        What another process is at is waited for: whoever erases a person must not be overtaken by their last message.
        """
        newest = sa.select(sa.func.max(raw_events.c.id)).where(_NEW)
        async with self._database.read() as connection:
            last = (await connection.execute(newest)).scalar() or 0
        total = 0
        while await self._is_left(last):
            done = await self.step()
            total += done
            if not done:
                await asyncio.sleep(_OTHERS_S)
        await self._release()
        return total

    async def _is_left(self, last: int) -> bool:
        """Of the events up to `last`, and of channels that are active."""
        active = raw_events.c.channel_id.in_(list(self._runtime.channels))
        left = sa.select(raw_events.c.id).where(_NEW, raw_events.c.id <= last, active).limit(1)
        async with self._database.read() as connection:
            return (await connection.execute(left)).scalar() is not None

    async def _hold(self, channel_id: str) -> bool:
        now = asyncio.get_running_loop().time()
        held, name = self._held.get(channel_id), f"inbox.normalise.{channel_id}"
        try:
            if held is None:
                lease = await take_lease(self._database, name, _LEASE_S)
                if lease is None:
                    return False
                self._held[channel_id] = _Held(lease, now)
            elif now - held.renewed_at > _RENEW_S:
                await renew_lease(self._database, held.lease, _LEASE_S)
                held.renewed_at = now
        except LeaseLostError:
            del self._held[channel_id]
            return False
        return True

    async def _release(self) -> None:
        for held in self._held.values():
            try:
                await release_lease(self._database, held.lease)
            except DatabaseError as error:  # then it runs out
                _LOG.warning("a lease could not be given back: %s", error)
        self._held.clear()

    async def _batch(self, channel: Channel) -> int:
        rows = await self._rows(channel.config.id)
        read = [self._read(channel, row) for row in rows]
        try:
            await self._store(channel, read)
        except _Taken:
            return 0
        except (sa.exc.DBAPIError, ValueError, KeyError, TypeError) as error:
            _LOG.warning("a batch could not be stored, its events are tried one by one", exc_info=error)
            for one in read:
                await self._store_alone(channel, one)
        return len(read)

    async def _rows(self, channel_id: str) -> list[sa.Row[int, str, bytes, float]]:
        table = raw_events.c
        sizes = sa.select(table.id, sa.func.length(table.body)).where(table.channel_id == channel_id, _NEW)
        async with self._database.read() as connection:
            ids: list[int] = []
            total = 0
            for number, size in (await connection.execute(sizes.order_by(table.id).limit(_BATCH))).all():
                total += size
                if ids and total > _BATCH_BYTES:
                    break
                ids.append(number)
            wanted = sa.select(table.id, table.headers, table.body, table.received_at).where(table.id.in_(ids))
            return list((await connection.execute(wanted.order_by(table.id))).all())

    def _read(self, channel: Channel, row: sa.Row[int, str, bytes, float]) -> tuple[Read, str]:
        """What is in one event, or why it cannot be read."""
        try:
            items = channel.parse(json.loads(row.headers), bytes(row.body), row.received_at)
        except Exception as error:  # the boundary: one event must not stop the others, whatever is wrong with it
            _LOG.warning(
                "raw event cannot be read", extra={"event": row.id, "channel": channel.config.id}, exc_info=error
            )
            return Read(row.id, row.received_at, ()), f"{type(error).__name__}: {error}"[:2000]
        return Read(row.id, row.received_at, items), ""

    async def _store(self, channel: Channel, read: Sequence[tuple[Read, str]]) -> Stored:
        """Events and what was in them, in one transaction.

        Raises:
            _Taken: somebody else was quicker; nothing was stored.
        """
        async with self._database.write() as connection:
            ids = [one.raw_event_id for one, _ in read]
            marked = sa.update(raw_events).where(raw_events.c.id.in_(ids), _NEW).values(state="done", error="")
            if (await connection.execute(marked)).rowcount != len(ids):
                raise _Taken
            nameless = [name for name, one in self._runtime.channels.items() if one.abilities.has_profiles]
            intake = Intake(connection, self._runtime.route(channel), self._runtime.media_queue, nameless)
            stored = await intake.store(one for one, _ in read)
            bad = {one.raw_event_id: error for one, error in read if error}
            for number, account in stored.unrouted.items():
                bad[number] = f"account {account} is no channel here: `tasklift-inbox channel add`, then `replay`"
            for number, error in bad.items():
                aside = sa.update(raw_events).where(raw_events.c.id == number)
                await connection.execute(aside.values(state="poison", error=error))
        return stored

    async def _store_alone(self, channel: Channel, read: tuple[Read, str]) -> None:
        try:
            await self._store(channel, [read])
        except _Taken:
            return
        except (sa.exc.DBAPIError, ValueError, KeyError, TypeError) as error:
            words = f"cannot be stored: {type(error).__name__}: {error}"[:2000]
            _LOG.error("raw event is poison", extra={"event": read[0].raw_event_id}, exc_info=error)
            async with self._database.write() as connection:
                aside = sa.update(raw_events).where(raw_events.c.id == read[0].raw_event_id, _NEW)
                await connection.execute(aside.values(state="poison", error=words))


async def replay(
    database: Database, *, channel_id: str | None = None, only_poison: bool = True, since: float | None = None
) -> int:
    """Read raw events again: those that were put aside, or all. What is stored already stays as it is.

    Args:
        since: Unix seconds; only events that came later.

    Returns:
        how many are new again.
    """
    wanted = [raw_events.c.state == "poison" if only_poison else raw_events.c.state.in_(("done", "poison"))]
    if channel_id is not None:
        wanted.append(raw_events.c.channel_id == channel_id)
    if since is not None:
        wanted.append(raw_events.c.received_at >= since)
    async with database.write() as connection:
        again = sa.update(raw_events).where(*wanted).values(state="new", error="")
        return int((await connection.execute(again)).rowcount)


async def _first_of(stop: asyncio.Event, wake: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in (stop, wake)]
    await asyncio.wait(waits, timeout=_PAUSE_S, return_when=asyncio.FIRST_COMPLETED)
    for task in waits:
        task.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
