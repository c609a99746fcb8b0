"""Channels that have to be asked: Telegram by long polling, mailboxes by IMAP. One process at a time, under a lease.

The position moves after the commit, never before: what is read twice is left out by the database.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import time
from typing import Any

import sqlalchemy as sa

from tasklift_inbox.channels.email import EmailChannel
from tasklift_inbox.channels.telegram import TelegramChannel
from tasklift_inbox.errors import SendError
from tasklift_inbox.mail.mailbox import MAILBOX_ERRORS, Mailbox, Position
from tasklift_inbox.receive import store_raw
from tasklift_inbox.runtime import Runtime
from tasklift_inbox.sending import note_health
from tasklift_inbox.tables import channels
from tasklift_inbox.texts import compact
from tasklift_platform.errors import DatabaseError, LeaseLostError
from tasklift_platform.leases import Lease, release_lease, renew_lease, take_lease

_LOG = logging.getLogger("tasklift.inbox.polling")
_LEASE_S = 90.0  # longer than one poll takes
_PAUSE_S = 5.0
_SLICE_S = 1.0  # of waiting in IDLE: so soon a stop is noticed
_LOOK_S = 60.0  # a mailbox is looked at so often even if nothing rings
_MAILS_AT_ONCE = 20


class Pollers:
    """A task for each channel that polls; one of a channel that is gone is stopped."""

    def __init__(self, runtime: Runtime, wake: asyncio.Event | None) -> None:
        self._runtime, self._wake = runtime, wake
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def keep(self) -> None:
        """Start what is missing, stop what is not wanted."""
        await self._runtime.refresh()
        wanted = {name for name, channel in self._runtime.channels.items() if _polls(channel)}
        for name in set(self._tasks) - wanted:
            self._tasks.pop(name).cancel()
        for name in wanted:
            if name not in self._tasks or self._tasks[name].done():
                self._tasks[name] = asyncio.create_task(self._poll(name))

    async def aclose(self) -> None:
        """Stop them all."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _poll(self, name: str) -> None:
        while True:
            try:
                lease = await take_lease(self._runtime.database, f"inbox.poll.{name}", _LEASE_S)
                if lease is not None:
                    await self._poll_under(name, lease)
            except (DatabaseError, LeaseLostError) as error:
                _LOG.warning("polling %s waits: %s", name, error)
            except SendError as error:
                await self._unhealthy(name, str(error), error.remedy)
            except MAILBOX_ERRORS as error:
                await self._unhealthy(name, f"the mailbox: {error}"[:500], "run `tasklift-inbox channel check`")
            await asyncio.sleep(_PAUSE_S)

    async def _unhealthy(self, name: str, problem: str, remedy: str) -> None:
        try:
            await note_health(self._runtime, name, problem, remedy)
        except DatabaseError as error:
            _LOG.warning("polling %s waits: %s", name, error)

    async def _poll_under(self, name: str, lease: Lease) -> None:
        channel = self._runtime.channels.get(name)
        try:
            if isinstance(channel, TelegramChannel):
                await self._telegram(channel, lease)
            elif isinstance(channel, EmailChannel):
                await self._mailbox(channel, lease)
        finally:
            await release_lease(self._runtime.database, lease)

    async def _telegram(self, channel: TelegramChannel, lease: Lease) -> None:
        name = channel.config.id
        await channel.set_webhook("")
        offset = int((await self._cursor(name)).get("offset", 0))
        while self._runtime.channels.get(name) is channel:
            updates = await channel.poll(offset)
            await renew_lease(self._runtime.database, lease, _LEASE_S)
            bodies = [(str(update.get("update_id")), json.dumps(update).encode()) for update in updates]
            if not bodies:
                continue
            await self._store(name, bodies)
            offset = max(int(update.get("update_id", 0)) for update in updates) + 1
            await self._set_cursor(name, {"offset": offset})

    async def _mailbox(self, channel: EmailChannel, lease: Lease) -> None:
        """New mails, then IDLE until it rings; the mailbox is looked at every minute in any case."""
        name, opened = channel.config.id, time.monotonic()
        box = await channel.open_mailbox()
        try:
            while self._runtime.channels.get(name) is channel:
                await self._new_mails(channel, box)
                until = time.monotonic() + _LOOK_S
                while time.monotonic() < until and self._runtime.channels.get(name) is channel:
                    await renew_lease(self._runtime.database, lease, _LEASE_S)
                    if await asyncio.to_thread(box.wait, _SLICE_S):
                        break
                await asyncio.to_thread(box.stop_waiting)
        except MAILBOX_ERRORS as error:  # servers hang up now and then, and when a token runs out: no illness
            if time.monotonic() - opened < _LOOK_S:
                raise
            _LOG.info("the mailbox of %s is opened again: %s", name, error)
        finally:
            box.close()

    async def _new_mails(self, channel: EmailChannel, box: Mailbox) -> None:
        name = channel.config.id
        cursor = await self._cursor(name)
        since = float(cursor.get("since", time.time() - 86400 * channel.history_days))
        position = Position(int(cursor.get("validity", 0)), int(cursor.get("uid", 0)), since)
        found = box.new_since(position, channel.abilities.download_bytes)
        while True:
            some = await asyncio.to_thread(lambda: list(itertools.islice(found, _MAILS_AT_ONCE)))
            if not some:
                return
            await self._store(name, [(channel.dedupe_key(raw), raw) for _, raw in some])
            last = some[-1][0]
            await self._set_cursor(name, {"validity": last.validity, "uid": last.uid, "since": since})

    async def _store(self, name: str, bodies: list[tuple[str, bytes]]) -> None:
        rows = [{"channel_id": name, "dedupe_key": key, "headers": "{}", "body": body} for key, body in bodies]
        await store_raw(self._runtime.database, rows)
        if self._wake is not None:
            self._wake.set()

    async def _cursor(self, name: str) -> dict[str, Any]:
        async with self._runtime.database.read() as connection:
            found = await connection.execute(sa.select(channels.c.cursor).where(channels.c.id == name))
            return dict(json.loads(found.scalar_one()))

    async def _set_cursor(self, name: str, cursor: dict[str, float]) -> None:
        async with self._runtime.database.write() as connection:
            await connection.execute(sa.update(channels).where(channels.c.id == name).values(cursor=compact(cursor)))


def _polls(channel: object) -> bool:
    if isinstance(channel, TelegramChannel):
        return bool(channel.config.settings.get("mode", "polling") == "polling")
    return isinstance(channel, EmailChannel)
