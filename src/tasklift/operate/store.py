"""Opening the database of a project's traffic."""

from __future__ import annotations

from pathlib import Path

from tasklift_platform.database import Database, DatabaseOptions
from tasklift_platform.migrate import Migrations, open_upgraded

TRAFFIC = Migrations("traffic", Path(__file__).parent / "migrations")


def url_of(state: Path) -> str:
    """Where traffic is kept unless another place is named: `.tasklift/traffic.db`."""
    return f"sqlite:///{(state / 'traffic.db').resolve()}"


async def open_store(url: str, options: DatabaseOptions | None = None) -> Database:
    """The database with the tables of this version.

    Raises:
        ConfigError: the address cannot be used.
        DatabaseError: it does not answer, or a newer version wrote it.
    """
    return await open_upgraded(url, [TRAFFIC], options)
