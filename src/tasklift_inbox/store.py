"""Opening the inbox's database."""

from __future__ import annotations

from pathlib import Path

from tasklift_platform.database import Database, DatabaseOptions
from tasklift_platform.migrate import Migrations, upgrade

INBOX = Migrations("inbox", Path(__file__).parent / "migrations")


async def open_store(url: str, options: DatabaseOptions | None = None) -> Database:
    """The database with the tables of this version.

    Raises:
        ConfigError: the address cannot be used.
        DatabaseError: it does not answer, or a newer version wrote it.
    """
    database = await Database.open(url, options)
    try:
        await upgrade(database, [INBOX])
    except BaseException:
        await database.aclose()
        raise
    return database
