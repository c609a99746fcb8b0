"""Every test that asks for `database` or `database_url` runs twice: on SQLite and on a real Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from tasklift_platform.database import Database, DatabaseOptions
from tasklift_platform.migrate import upgrade
from tasklift_platform.scratch import ScratchPostgres
from tasklift_platform.web.drain import Drain, DrainingServer
from tasklift_platform.web.slow import with_head_timeout


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'platform.db'}"
        return
    server: ScratchPostgres = request.getfixturevalue("postgres")
    url = server.new_database()
    yield url
    server.recycle(url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A database with the platform's tables."""
    database = await Database.open(database_url, DatabaseOptions(synchronous="normal"))
    await upgrade(database)
    yield database
    await database.aclose()


@asynccontextmanager
async def _serving(app: ASGIApp, drain: Drain) -> AsyncIterator[str]:
    http = with_head_timeout(H11Protocol, 0.5)
    config = uvicorn.Config(
        app, "127.0.0.1", 0, http=http, log_config=None, lifespan="off", timeout_graceful_shutdown=5
    )
    server = DrainingServer(config, drain)
    task = asyncio.create_task(server._serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        drain.begin()
        server.should_exit = True
        await task


@pytest.fixture
def serving() -> Callable[[ASGIApp, Drain], AbstractAsyncContextManager[str]]:
    """A real server for an application: `async with serving(app, drain) as url`."""
    return _serving
