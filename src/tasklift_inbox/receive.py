"""Takes raw events in: one transaction, then the answer. Requests that come at once share a transaction.

A commit waits for the disk. With one for each request a burst would queue behind them; so whatever comes in while one
is written goes into the next one, and all of it is answered together.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy.dialects.postgresql import insert as insert_postgres
from sqlalchemy.dialects.sqlite import insert as insert_sqlite

from tasklift_inbox.tables import raw_events
from tasklift_platform.database import Database, now_s
from tasklift_platform.errors import DatabaseBusyError, DatabaseError

_MOST_AT_ONCE = 100
_MOST_WAITING = 2000
_KEPT_HEADERS = ("content-type",)  # never one with a secret


class Receiver:
    """Writes raw events of this process; `aclose` writes what is waiting."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[tuple[dict[str, Any], asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._closing = False
        self._task = asyncio.create_task(self._run())
        self.arrived = asyncio.Event()  # for whoever reads them: there is something new

    async def accept(self, channel_id: str, dedupe_key: str, headers: Mapping[str, str], body: bytes) -> None:
        """Return once the event is stored, or was before.

        Raises:
            DatabaseError: it is not stored; the provider has to send it again (503).
        """
        if self._closing or len(self._waiting) >= _MOST_WAITING:
            raise DatabaseBusyError("too many events wait for the database")
        kept = {name: headers[name] for name in _KEPT_HEADERS if name in headers}
        row = {"channel_id": channel_id, "dedupe_key": dedupe_key, "headers": json.dumps(kept), "body": body}
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, stored))
        self._wake.set()
        await stored

    async def aclose(self) -> None:
        """Write what waits, take nothing more."""
        self._closing = True
        self._wake.set()
        await self._task

    async def _run(self) -> None:
        while not (self._closing and not self._waiting):
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch, self._waiting = self._waiting[:_MOST_AT_ONCE], self._waiting[_MOST_AT_ONCE:]
                await self._write(batch)

    async def _write(self, batch: list[tuple[dict[str, Any], asyncio.Future[None]]]) -> None:
        try:
            await store_raw(self._database, [row for row, _ in batch])
        except Exception as error:  # the boundary: each waiting request has to be told
            for _, stored in batch:
                if not stored.done():
                    stored.set_exception(_own(error))
            return
        for _, stored in batch:
            with contextlib.suppress(asyncio.InvalidStateError):  # the caller went away
                stored.set_result(None)
        self.arrived.set()


async def store_raw(database: Database, rows: list[dict[str, Any]]) -> None:
    """Store raw events in one transaction; those that are there already are left alone."""
    insert = (insert_sqlite if database.is_sqlite else insert_postgres)(raw_events)
    statement = insert.values(received_at=now_s(), state="new", error="").on_conflict_do_nothing()
    async with database.write() as connection:
        await connection.execute(statement, rows)


def _own(error: Exception) -> Exception:
    """Each request gets its own exception: one object raised by many tasks mixes their tracebacks."""
    return type(error)(str(error)) if isinstance(error, DatabaseError) else error
