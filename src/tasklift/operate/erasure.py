"""The stores of traffic.db that hold customers' texts, as the erasure registry asks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, delete, select

from tasklift.operate.tables import feedback, reviews, traces
from tasklift_platform.database import Database


@dataclass(frozen=True, slots=True)
class TrafficStore:
    """One table whose rows name the person they are about.

    Attributes:
        name: of the store.
        table: with a column `subject`.
    """

    name: str
    table: Table
    database: Database

    async def erase(self, subject: str) -> int:
        """Delete the person's rows; how many.

        Raises:
            DatabaseError: it could not be done.
        """
        async with self.database.write() as connection:
            gone = await connection.execute(delete(self.table).where(self.table.c.subject == subject))
        return int(gone.rowcount)

    async def export(self, subject: str) -> Sequence[Mapping[str, Any]]:
        """The person's rows, with all columns."""
        async with self.database.read() as connection:
            found = await connection.execute(select(self.table).where(self.table.c.subject == subject))
            return [dict(row) for row in found.mappings()]


def traffic_stores(database: Database) -> list[TrafficStore]:
    """Feedback, reviews and traces."""
    tables = {"feedback": feedback, "reviews": reviews, "traces": traces}
    return [TrafficStore(name, table, database) for name, table in tables.items()]
