"""What every process has to notice within a second: revocations, releases. One small query for all of them.

A change bumps its counter in the transaction that makes it. A `Watch` reads the counters at most a few times a
second, beside the requests and not in them, and only while there are requests.
"""

from __future__ import annotations

import asyncio
import time

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as insert_postgres
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from tasklift_platform.database import Database, now_s
from tasklift_platform.errors import DatabaseError, DatabaseLostError
from tasklift_platform.tables import revisions


async def bump(connection: AsyncConnection, name: str) -> None:
    """Count one change of `name` in the caller's transaction."""
    insert = insert_sqlite if connection.dialect.name == "sqlite" else insert_postgres
    await connection.execute(
        insert(revisions)
        .values(name=name, revision=1)
        .on_conflict_do_update(index_elements=["name"], set_={"revision": revisions.c.revision + 1})
    )


class Watch:
    """The counters and the database's clock, never older than `hard_s` when `fresh` returns.

    Args:
        database: where they are.
        soft_s: older than this, they are read again while requests go on.
        hard_s: older than this, a request waits for them.
        grace_s: while the database is lost, what was read last holds for this long; then `fresh` raises.
    """

    def __init__(self, database: Database, *, soft_s: float = 0.3, hard_s: float = 0.8, grace_s: float = 60.0) -> None:
        self._database = database
        self._soft_s, self._hard_s, self._grace_s = soft_s, hard_s, grace_s
        self._read_at = float("-inf")  # monotonic
        self._offset_s = 0.0  # database clock minus monotonic clock
        self._revisions: dict[str, int] = {}
        self._reading: asyncio.Task[None] | None = None
        self._error: DatabaseError | None = None

    async def fresh(self) -> None:
        """Make sure that what is known is at most `hard_s` old.

        Raises:
            DatabaseError: lost for longer than `grace_s`.
        """
        age_s = time.monotonic() - self._read_at
        if age_s < self._soft_s:
            return
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        if age_s < self._hard_s:
            return
        await asyncio.wait([self._reading], timeout=5.0 if age_s > self._grace_s else 1.0)
        if time.monotonic() - self._read_at > self._grace_s:
            raise self._error or DatabaseLostError(f"{self._database!r}: no answer")

    def revision(self, name: str) -> int:
        """How often `name` was changed, as of the last read."""
        return self._revisions.get(name, 0)

    def now_s(self) -> float:
        """The database's clock, carried on by this machine's monotonic one: it never jumps."""
        return time.monotonic() + self._offset_s

    async def aclose(self) -> None:
        """Wait for the read that is under way."""
        if self._reading is not None:
            await asyncio.wait([self._reading])

    async def _read(self) -> None:
        started = time.monotonic()
        try:
            async with self._database.read() as connection:
                found = (await connection.execute(sa.select(revisions.c.name, revisions.c.revision))).all()
                clock_s = (await connection.execute(sa.select(now_s()))).scalar_one()
        except DatabaseError as error:
            self._error = error
            return
        self._revisions = {row.name: row.revision for row in found}
        self._offset_s = clock_s - time.monotonic()
        self._read_at, self._error = started, None
