"""Opening the inbox's database."""

from __future__ import annotations

from pathlib import Path

from tasklift_platform.database import Database, DatabaseOptions
from tasklift_platform.migrate import Migrations, open_upgraded

INBOX = Migrations("inbox", Path(__file__).parent / "migrations")


async def open_store(url: str, options: DatabaseOptions | None = None) -> Database:
    """The database with the tables of this version.

    Raises:
        ConfigError: the address cannot be used.
        DatabaseError: it does not answer, or a newer version wrote it.
    """
    return await open_upgraded(url, [INBOX], options)
