"""Databases with the traffic tables, and two candidates that are fitted and saved."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tasklift.dataset import Dataset
from tasklift.operate.store import open_store, url_of
from tasklift.strategies.baseline import Baseline, Majority
from tasklift.strategies.fitting import fit_or_load
from tasklift.strategy import Candidate
from tasklift.task import Task
from tasklift_platform.database import Database, DatabaseOptions


@pytest.fixture(params=["sqlite", "postgres"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """Empty, with the tables: every test that asks for it runs on SQLite and on a real Postgres."""
    server = None if request.param == "sqlite" else request.getfixturevalue("postgres")
    url = url_of(tmp_path) if server is None else server.new_database()
    opened = await open_store(url, DatabaseOptions(synchronous="normal"))
    yield opened
    await opened.aclose()
    if server is not None:
        server.recycle(url)


@pytest.fixture
def fitted(tmp_path: Path, colours: Task, colour_rows: Dataset) -> dict[str, Candidate]:
    """Saved below `tmp_path`."""
    made = {"majority": Majority(), "baseline": Baseline()}
    return {name: fit_or_load(one, colours, colour_rows, tmp_path, print) for name, one in made.items()}
