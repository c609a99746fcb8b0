"""Every test that asks for `database` or `database_url` runs twice: on SQLite and on a real Postgres."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tasklift_platform.database import Database
from tasklift_platform.migrate import upgrade
from tasklift_platform.scratch import ScratchPostgres, postgres_programs, scratch_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[ScratchPostgres]:
    if postgres_programs() is None:
        pytest.skip("no postgres is installed")
    with scratch_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'platform.db'}"
    return str(request.getfixturevalue("postgres").new_database())


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A database with the platform's tables."""
    database = await Database.open(database_url)
    await upgrade(database)
    yield database
    await database.aclose()
