"""Durable jobs: how many a second go in, and through, on SQLite and on a real Postgres.

    python3 dev.py bench platform_jobs [--jobs 2000] [--workers 2]

The handler does nothing, so this is what the queue itself costs. Every commit waits for the disk on SQLite
("full"); the scratch Postgres runs without fsync, so compare the two in order of magnitude only.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

import sqlalchemy as sa
from _common import machine

from tasklift_platform.database import Database, DatabaseOptions
from tasklift_platform.job_worker import JobWorker
from tasklift_platform.jobs import Job, JobQueue, NewJob
from tasklift_platform.migrate import upgrade
from tasklift_platform.scratch import postgres_programs, scratch_postgres
from tasklift_platform.tables import jobs

BATCH = 100
ARRIVING = 300  # jobs that are put in one by one


async def nothing(_: Job) -> None:
    """The whole work of a job."""


async def work(url: str, queue_name: str, synchronous: str) -> None:
    """One worker process, until the queue is empty."""
    options = DatabaseOptions(synchronous="full" if synchronous == "full" else "normal")
    database = await Database.open(url, options)
    queue, stop = JobQueue(database, queue_name), asyncio.Event()
    running = asyncio.create_task(JobWorker(queue, {"n": nothing}, concurrency=64, poll_s=0.02).run(stop))
    while set(await queue.counts()) & {"ready", "running", "waiting"}:  # noqa: ASYNC110 - the database is asked
        await asyncio.sleep(0.05)
    stop.set()
    await running
    await database.aclose()


async def busy_s(database: Database, queue_name: str) -> float:
    """Seconds from the first claim to the last result, by the database."""
    span = sa.select(sa.func.max(jobs.c.finished_at) - sa.func.min(jobs.c.beat_at)).where(jobs.c.queue == queue_name)
    async with database.read() as connection:
        return float((await connection.execute(span)).scalar_one())


async def measure(url: str, count: int, workers: int, synchronous: str) -> dict[str, float]:
    """Jobs a second: put in by batches and one by one, done without keys, done with 50 keys."""
    options = DatabaseOptions(synchronous="full" if synchronous == "full" else "normal")
    database = await Database.open(url, options)
    await upgrade(database)
    rates: dict[str, float] = {}
    for name, keys in (("no keys", 0), ("50 keys", 50)):
        queue = JobQueue(database, name)
        new = [NewJob("n", {"n": n}, f"k{n % keys}" if keys else None) for n in range(count)]
        started = time.perf_counter()
        for first in range(0, count, BATCH):
            async with database.write() as connection:
                await queue.put(connection, new[first : first + BATCH])
        rates[f"put by {BATCH}, {name}"] = count / (time.perf_counter() - started)
        command = [sys.executable, __file__, "--work", url, name, synchronous]
        processes = [await asyncio.create_subprocess_exec(*command) for _ in range(workers)]
        waited = [await process.wait() for process in processes]
        assert not any(waited)
        rates[f"done, {name}, {workers} processes"] = count / await busy_s(database, name)
    started = time.perf_counter()
    for _ in range(ARRIVING):
        async with database.write() as connection:
            await queue.put(connection, [NewJob("n")])
    rates["put one by one"] = ARRIVING / (time.perf_counter() - started)
    await database.aclose()
    return rates


def show(name: str, rates: dict[str, float]) -> None:
    """Print one database's rates."""
    for what, rate in rates.items():
        print(f"{name:<14} {what:<48} {rate:8.0f} jobs/s")


def main() -> int:
    """Measure both databases, as far as they are here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        asyncio.run(work(*asked.work))
        return 0
    for synchronous in ("full", "normal"):
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{Path(folder) / 'jobs.db'}"
            show(f"sqlite {synchronous}", asyncio.run(measure(url, asked.jobs, asked.workers, synchronous)))
    if postgres_programs() is None:
        print("postgres       not installed")
    else:
        with scratch_postgres() as server:
            url = server.new_database()
            show("postgres", asyncio.run(measure(url, asked.jobs, asked.workers, "full")))
    print(machine())
    return 0


if __name__ == "__main__":
    sys.exit(main())
