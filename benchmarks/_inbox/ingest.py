"""Durable ingest: signed WhatsApp webhooks of ten messages each, into one process that also normalises them."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import sqlalchemy as sa
from _common import Figure, note
from _processes import free_port, running

from tasklift_inbox import admin
from tasklift_inbox.runtime import Runtime, Settings
from tasklift_inbox.store import open_store
from tasklift_inbox.tables import messages, raw_events
from tasklift_inbox.testing import sign
from tasklift_inbox.testing.meta import whatsapp_event
from tasklift_platform.database import Database
from tasklift_platform.scratch import postgres_programs, scratch_postgres
from tasklift_platform.vault import new_secret_key

BATCH = 10
SECRET = "bench"
BARS = {"SQLite": 800, "Postgres": 1000}


def ingest(asked: argparse.Namespace) -> list[Figure]:
    """Both databases."""
    wanted = [name for name in BARS if asked.database in (None, name)]
    figures = [figure for figure in asked.kept if not any(figure.what.endswith(name) for name in wanted)]
    for name in wanted:
        bar = BARS[name]
        with _database(name) as url, tempfile.TemporaryDirectory() as folder:
            if url is None:
                note("Postgres is not installed: left out")
                continue
            figures += asyncio.run(_measure(name, bar, Settings(Path(folder), url, new_secret_key()), asked.seconds))
    return figures


@contextmanager
def _database(name: str) -> Iterator[str | None]:
    if name == "SQLite":
        yield ""
    elif postgres_programs() is None:
        yield None
    else:
        with scratch_postgres() as server:
            yield server.new_database()


async def _measure(name: str, bar: int, settings: Settings, seconds: float) -> list[Figure]:
    runtime = await Runtime.open(settings)
    values = {"external_id": "555", "access_token": "t", "app_secret": SECRET, "verify_token": "v"}
    await admin.add(runtime, admin.NewChannel("whatsapp", "wa", values), "bench")
    await runtime.aclose()
    port = free_port()
    command = [sys.executable, "-m", "tasklift_inbox", "serve", "--state", str(settings.state), "--port", str(port)]
    if settings.database:
        command += ["--database", settings.database]
    numbers = itertools.count()
    with running(command, port, "/readyz", TASKLIFT_SECRET_KEY=settings.secret_key) as server:
        database = await open_store(settings.url)
        loader = _Loader(f"http://127.0.0.1:{port}/hooks/wa", numbers)
        await loader.closed(2.0)  # warm
        await _drained(database, 120)
        acknowledged, lag = await _with_lag(database, loader.closed(seconds))
        left_s = await _drained(database, 300)
        _, at_bar = await _with_lag(database, loader.open(bar / BATCH, seconds))
        await _drained(database, 120)
        half = bar / 2
        latencies, late = await _with_lag(database, loader.open(half / BATCH, seconds))
        await _drained(database, 120)
        stored = await _count(database)
        memory = server.memory_mb
        await database.aclose()
    rate = acknowledged * BATCH / seconds
    p99 = sorted(latencies)[int(0.99 * len(latencies))] * 1000
    note(
        f"{name}: {stored} stored of {loader.taken * BATCH} acknowledged, {memory:.0f} MB, lag at full rate {lag:.1f} s"
    )
    return [
        Figure(
            f"acknowledged, {name}", rate, bar, unit=" messages/s", note=f"closed loop, 16 connections, {seconds:g} s"
        ),
        Figure(f"p99 at {half:g} messages/s, {name}", p99, at_most=100, unit=" ms", note="open loop"),
        Figure(f"oldest unread event at {half:g} messages/s, {name}", late, at_most=5, unit=" s"),
        Figure(f"oldest unread event at {bar} messages/s, {name}", at_bar, at_most=5, unit=" s"),
        Figure(f"read after the full rate ended, {name}", left_s, unit=" s", note=f"the oldest had waited {lag:.1f} s"),
        Figure(f"acknowledged and not stored, {name}", loader.taken * BATCH - stored, at_most=0, unit=" messages"),
    ]


class _Loader:
    """Signed batches; each message's id is new, 500 people write."""

    def __init__(self, url: str, numbers: Iterator[int]) -> None:
        self._url, self._numbers = url, numbers
        self.taken = 0

    def _event(self) -> bytes:
        now = str(int(time.time()))
        made = [
            {"from": f"27{n % 500:09d}", "id": f"wamid.{n}", "timestamp": now, "type": "text", "text": {"body": f"Where is order {n}?"}}
            for n in itertools.islice(self._numbers, BATCH)
        ]  # fmt: skip
        contacts = [{"wa_id": one["from"], "profile": {"name": "Ann"}} for one in made]
        return json.dumps(whatsapp_event("555", made, contacts=contacts)).encode()

    async def _post(self, session: aiohttp.ClientSession) -> float:
        body = self._event()
        started = time.perf_counter()
        async with session.post(self._url, data=body, headers=sign(body, SECRET)) as response:
            await response.read()
            self.taken += response.status == 200
        return time.perf_counter() - started

    async def closed(self, seconds: float, connections: int = 16) -> int:
        """As fast as it goes; returns how many were acknowledged."""
        before, until = self.taken, time.perf_counter() + seconds
        async with aiohttp.ClientSession() as session:

            async def carry() -> None:
                while time.perf_counter() < until:
                    await self._post(session)

            await asyncio.gather(*(carry() for _ in range(connections)))
        return self.taken - before

    async def open(self, per_second: float, seconds: float) -> list[float]:
        """At fixed moments, whatever the answers do; returns latencies, counted from those moments."""
        latencies: list[float] = []
        async with aiohttp.ClientSession() as session:

            async def one(at: float) -> None:
                await asyncio.sleep(max(0.0, at - time.perf_counter()))
                await self._post(session)
                latencies.append(time.perf_counter() - at)

            first = time.perf_counter() + 0.1
            await asyncio.gather(*(one(first + n / per_second) for n in range(int(per_second * seconds))))
        return latencies


async def _with_lag(database: Database, loading: Any) -> tuple[Any, float]:
    """What `loading` returns, and how old the oldest unread event was at worst, looked at twice a second."""
    task, worst = asyncio.create_task(loading), 0.0
    while not task.done():
        worst = max(worst, await _oldest_s(database))
        await asyncio.sleep(0.5)
    return await task, worst


async def _oldest_s(database: Database) -> float:
    query = sa.select(sa.func.min(raw_events.c.received_at)).where(sa.text("raw_events.state = 'new'"))
    async with database.read() as connection:
        oldest = (await connection.execute(query)).scalar()
    return 0.0 if oldest is None else max(0.0, time.time() - float(oldest))


async def _drained(database: Database, longest_s: float) -> float:
    """Seconds until nothing is unread."""
    started = time.monotonic()
    while await _oldest_s(database):
        if time.monotonic() - started > longest_s:
            raise SystemExit(f"events are unread after {longest_s:g} s")
        await asyncio.sleep(0.1)
    return time.monotonic() - started


async def _count(database: Database) -> int:
    async with database.read() as connection:
        return int((await connection.execute(sa.select(sa.func.count()).select_from(messages))).scalar_one())


os.environ.setdefault("PYTHONPATH", str(Path(__file__).resolve().parents[2] / "src"))
