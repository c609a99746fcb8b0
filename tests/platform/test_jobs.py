from __future__ import annotations

import asyncio
import signal
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa

from tasklift.errors import ConfigError
from tasklift_platform.database import Database, now_s
from tasklift_platform.errors import LeaseLostError
from tasklift_platform.job_worker import GiveUpError, JobWorker, PutOffError
from tasklift_platform.jobs import Backoff, Job, JobQueue, NewJob
from tasklift_platform.tables import jobs


@pytest.fixture
def queue(database: Database) -> JobQueue:
    return JobQueue(database, "work", lease_s=5.0, backoff=Backoff(0.01, 0.02))


async def put(database: Database, queue: JobQueue, *new: NewJob) -> list[int]:
    async with database.write() as connection:
        return await queue.put(connection, new)


def numbered(count: int, keys: int | None = None) -> list[NewJob]:
    return [NewJob("n", {"n": n}, None if keys is None else f"k{n % keys}") for n in range(count)]


async def drain(queue: JobQueue, handler: Callable[[Job], Awaitable[None]], workers: int = 1, **options: Any) -> None:
    """Workers until nothing is left to do."""
    stop = asyncio.Event()
    running = [JobWorker(queue, {"n": handler}, poll_s=0.01, **options) for _ in range(workers)]
    tasks = [asyncio.create_task(worker.run(stop)) for worker in running]
    until = time.monotonic() + 20
    while set(await queue.counts()) & {"ready", "running", "waiting"}:
        assert time.monotonic() < until, await queue.counts()
        await asyncio.sleep(0.02)
    stop.set()
    await asyncio.gather(*tasks)


async def test_jobs_come_out_in_the_order_in_which_they_went_in(database: Database, queue: JobQueue) -> None:
    ids = await put(database, queue, *numbered(20))
    assert ids == sorted(ids)
    claimed = await queue.claim("w", 20)
    assert [job.payload["n"] for job in claimed] == list(range(20))
    assert await queue.claim("w", 1) == []


async def test_a_job_exists_only_if_the_callers_transaction_does(database: Database, queue: JobQueue) -> None:
    async def half(connection: Any) -> None:
        await queue.put(connection, [NewJob("n")])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.run(half)
    assert await queue.counts() == {}


async def test_one_job_of_a_key_is_under_way_at_a_time(database: Database, queue: JobQueue) -> None:
    await put(database, queue, *numbered(4, keys=1), NewJob("n", {"n": "other"}))
    first, other = await queue.claim("a", 10)
    assert (first.payload["n"], other.payload["n"]) == (0, "other")
    assert await queue.claim("b", 10) == []
    await put(database, queue, NewJob("n", {"n": 4}, "k0"))
    await queue.finish(first)
    assert [job.payload["n"] for job in await queue.claim("b", 10)] == [1]


async def test_many_workers_do_each_job_once_and_keep_the_order_of_each_key(
    database: Database, queue: JobQueue
) -> None:
    seen: dict[str, list[int]] = {}
    active: set[str] = set()

    async def handler(job: Job) -> None:
        assert job.key is not None
        assert job.key not in active
        active.add(job.key)
        await asyncio.sleep(0.001)
        seen.setdefault(job.key, []).append(job.payload["n"])
        active.remove(job.key)

    await asyncio.gather(*(put(database, queue, *numbered(12, keys=4)) for _ in range(5)))
    await drain(queue, handler, workers=4, concurrency=3)
    assert sum(map(len, seen.values())) == 60
    for numbers in seen.values():
        assert [numbers[n : n + 3] for n in range(0, 15, 3)] == [sorted(numbers[:3])] * 5


async def test_the_database_itself_refuses_a_second_active_job_of_a_key(database: Database, queue: JobQueue) -> None:
    await put(database, queue, *numbered(2, keys=1))
    with pytest.raises(sa.exc.IntegrityError):
        await database.run(lambda connection: connection.execute(sa.update(jobs).values(state="running")))


async def test_a_failed_job_is_tried_again_and_the_later_ones_of_its_key_wait(
    database: Database, queue: JobQueue
) -> None:
    seen = []

    async def handler(job: Job) -> None:
        seen.append((job.payload["n"], job.attempt))
        if job.payload["n"] == 0 and job.attempt < 3:
            raise RuntimeError("not yet")

    await put(database, queue, *numbered(2, keys=1))
    await drain(queue, handler)
    assert seen == [(0, 1), (0, 2), (0, 3), (1, 1)]


async def test_a_job_that_keeps_failing_is_dead_and_can_be_revived(database: Database, queue: JobQueue) -> None:
    broken = True

    async def handler(job: Job) -> None:
        if broken and job.payload["n"] == 0:
            raise RuntimeError("it is broken")

    await put(database, queue, NewJob("n", {"n": 0}, "k", max_attempts=2), NewJob("n", {"n": 1}, "k"))
    await drain(queue, handler)
    assert await queue.counts() == {"dead": 1, "done": 1}
    [(job, error)] = await queue.dead()
    assert error == "RuntimeError: it is broken"
    broken = False
    assert await queue.revive(job.id)
    assert not await queue.revive(job.id)
    await drain(queue, handler)
    assert await queue.counts() == {"done": 2}


async def test_a_handler_may_give_up_and_an_unknown_kind_is_dead(database: Database, queue: JobQueue) -> None:
    async def handler(job: Job) -> None:
        raise GiveUpError("never")

    await put(database, queue, NewJob("n"), NewJob("unknown"))
    await drain(queue, handler)
    assert sorted(error for _, error in await queue.dead()) == [
        "GiveUpError: never",
        "GiveUpError: no handler for jobs of the kind 'unknown'",
    ]


async def test_a_delayed_job_is_not_early(database: Database, queue: JobQueue) -> None:
    await put(database, queue, NewJob("n", delay_s=0.3))
    assert await queue.claim("w") == []
    await asyncio.sleep(0.35)
    assert len(await queue.claim("w")) == 1


async def test_a_worker_that_is_silent_loses_its_job_and_cannot_finish_it(database: Database) -> None:
    queue = JobQueue(database, "work", lease_s=0.2, backoff=Backoff(0.0, 0.0))
    await put(database, queue, NewJob("n", {"n": 0}, "k"), NewJob("n", {"n": 1}, "k"))
    [slow] = await queue.claim("slow")
    await asyncio.sleep(0.3)
    other = JobQueue(database, "work", lease_s=5.0, backoff=Backoff(0.0, 0.0))
    [again] = await other.claim("quick")
    assert (again.id, again.attempt) == (slow.id, 2)
    assert await queue.beat([slow]) == set()
    for action in (queue.finish(slow), queue.fail(slow, "late")):
        with pytest.raises(LeaseLostError):
            await action
    await other.finish(again)
    assert await queue.counts() == {"done": 1, "ready": 1}


async def test_a_result_and_its_job_are_stored_together_or_not_at_all(database: Database) -> None:
    queue = JobQueue(database, "work", lease_s=0.05, backoff=Backoff(0.0, 0.0))
    await put(database, queue, NewJob("n"))
    [slow] = await queue.claim("slow")
    await asyncio.sleep(0.1)
    await JobQueue(database, "work").claim("quick")

    async def result(connection: Any) -> None:
        await connection.execute(sa.text("INSERT INTO revisions VALUES ('result', 1)"))
        await queue.finish(slow, connection)

    with pytest.raises(LeaseLostError):
        await database.run(result)
    async with database.read() as connection:
        assert (await connection.execute(sa.text("SELECT count(*) FROM revisions"))).scalar() == 0


async def test_heartbeats_keep_a_job_that_takes_longer_than_its_lease(database: Database) -> None:
    queue = JobQueue(database, "work", lease_s=0.3)
    attempts = []

    async def handler(job: Job) -> None:
        attempts.append(job.attempt)
        await asyncio.sleep(1.3)

    await put(database, queue, NewJob("n"))
    await drain(queue, handler, workers=2)
    assert attempts == [1]


async def test_a_worker_that_lost_its_lease_stops_the_handler(database: Database) -> None:
    queue = JobQueue(database, "work", lease_s=0.3)
    stopped = asyncio.Event()

    async def handler(job: Job) -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            stopped.set()
            raise

    await put(database, queue, NewJob("n"))
    stop = asyncio.Event()
    task = asyncio.create_task(JobWorker(queue, {"n": handler}, poll_s=0.01).run(stop))
    while "running" not in await queue.counts():  # noqa: ASYNC110 - the database is asked
        await asyncio.sleep(0.01)
    await database.run(lambda connection: connection.execute(sa.update(jobs).values(worker="another")))
    await asyncio.wait_for(stopped.wait(), 2)
    stop.set()
    await task
    assert (await queue.counts()).get("done", 0) == 0


async def test_a_worker_that_stops_gives_back_what_it_cannot_finish(database: Database, queue: JobQueue) -> None:
    async def handler(job: Job) -> None:
        await asyncio.sleep(0.05 if job.payload["n"] else 30)

    await put(database, queue, *numbered(2))
    stop = asyncio.Event()
    task = asyncio.create_task(JobWorker(queue, {"n": handler}, grace_s=0.3).run(stop))
    await asyncio.sleep(0.2)
    stop.set()
    await task
    assert await queue.counts() == {"ready": 1, "done": 1}
    assert [job.attempt for job in await queue.claim("next")] == [1]


async def test_a_clock_that_is_set_back_does_not_keep_a_dead_workers_job(database: Database, queue: JobQueue) -> None:
    await put(database, queue, NewJob("n"))
    [job] = await queue.claim("dead worker")
    later = {"beat_at": now_s() + 3600, "lease_until": now_s() + 3605}
    await database.run(lambda connection: connection.execute(sa.update(jobs).values(later)))
    other = JobQueue(database, "work", backoff=Backoff(0.0, 0.0))
    assert [(found.id, found.attempt) for found in await other.claim("next")] == [(job.id, 2)]


async def test_done_jobs_are_purged_and_dead_ones_kept(database: Database, queue: JobQueue) -> None:
    await put(database, queue, *numbered(2))
    first, second = await queue.claim("w", 2)
    await queue.finish(first)
    await queue.fail(second, "no", retry=False)
    assert await queue.purge(older_than_s=60) == 0
    assert await queue.purge(older_than_s=0) == 1
    assert await queue.counts() == {"dead": 1}


@pytest.mark.parametrize("wrong", [{"max_attempts": 0}, {"delay_s": -1}])
def test_a_job_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        NewJob("n", **wrong)


async def test_work_is_resumed_after_sigkill(database: Database, database_url: str) -> None:
    script = textwrap.dedent("""
        import asyncio, sys
        from tasklift_platform.database import Database
        from tasklift_platform.job_worker import JobWorker
        from tasklift_platform.jobs import JobQueue

        async def handler(job):
            print(job.payload["n"], flush=True)
            await asyncio.sleep(0.02)

        async def main():
            database = await Database.open(sys.argv[1])
            queue = JobQueue(database, "work", lease_s=0.5)
            await JobWorker(queue, {"n": handler}, concurrency=2, poll_s=0.01).run(asyncio.Event())

        asyncio.run(main())
    """)
    queue = JobQueue(database, "work", lease_s=0.5, backoff=Backoff(0.0, 0.0))
    await put(database, queue, *numbered(40, keys=5))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, database_url, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    for _ in range(10):
        await process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    before = [int(line) for line in (await process.stdout.read()).split()]
    await process.wait()
    seen: list[int] = []

    async def handler(job: Job) -> None:
        seen.append(job.payload["n"])

    await drain(queue, handler, workers=2)
    assert await queue.counts() == {"done": 40}
    assert len(before) < 30
    for key in range(5):
        after = [n for n in seen if n % 5 == key]
        assert after == sorted(after)
        assert after[-1] == 35 + key


async def test_claiming_a_job_of_a_long_queue_with_one_hot_key_stays_quick(database: Database, queue: JobQueue) -> None:
    await put(database, queue, *numbered(4000, keys=1), *numbered(300))
    started, done = time.perf_counter(), 0
    while done < 300:
        held = await queue.claim("w", 25)
        done += len(await queue.finish_many(held))
    per_second = done / (time.perf_counter() - started)
    print(f"{'sqlite' if database.is_sqlite else 'postgres'}: {per_second:.0f} jobs/s")
    assert per_second > 100


async def test_a_job_that_is_put_off_comes_again_and_counts_no_attempt(database: Database, queue: JobQueue) -> None:
    seen: list[tuple[int, int]] = []

    async def handler(job: Job) -> None:
        seen.append((job.payload["n"], job.attempt))
        if len(seen) < 4:
            raise PutOffError("not now", 0.01)

    await put(database, queue, NewJob("n", {"n": 0}, "k", max_attempts=1), NewJob("n", {"n": 1}, "k"))
    await drain(queue, handler)
    assert seen == [(0, 1), (0, 1), (0, 1), (0, 1), (1, 1)]
    assert await queue.counts() == {"done": 2}
