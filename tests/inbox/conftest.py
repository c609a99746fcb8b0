"""Every test that asks for `runtime` runs on SQLite and on a real Postgres."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tasklift_inbox.runtime import Runtime, Settings
from tasklift_platform.database import DatabaseOptions
from tasklift_platform.scratch import ScratchPostgres
from tasklift_platform.vault import new_secret_key

KEY = new_secret_key()


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """An inbox that does not exist yet."""
    options = DatabaseOptions(synchronous="normal")
    if request.param == "sqlite":
        yield Settings(tmp_path, "", KEY, options=options)
        return
    server: ScratchPostgres = request.getfixturevalue("postgres")
    url = server.new_database()
    yield Settings(tmp_path, url, KEY, options=options)
    server.recycle(url)


@pytest.fixture
async def runtime(settings: Settings) -> AsyncIterator[Runtime]:
    """An inbox without channels."""
    runtime = await Runtime.open(settings)
    yield runtime
    await runtime.aclose()
