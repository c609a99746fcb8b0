"""Durable jobs in the application's own database: at least once, in order for each key, with attempts.

A job is `ready` or, where an earlier one of its key is not finished, `waiting`; a worker makes it `running` under a
lease that it renews; then it is `done`, `ready` again after a pause, or `dead`. An index of the database allows one
active job for each key, so two workers cannot run two of them at once, whatever happens. A worker that was killed
loses its jobs when their lease is over. Every time is the database's.

A handler may run twice (a worker that died after the work and before saying so), so it has to be idempotent.
"""

from __future__ import annotations

import json
import random
import secrets
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from tasklift.errors import ConfigError
from tasklift_platform.database import Database, now_s
from tasklift_platform.errors import LeaseLostError
from tasklift_platform.tables import jobs

#: The clock was set back by more than this since the last sign of life: the lease counts as over.
BACKWARDS_S = 5.0
_REAP_EVERY_S = 1.0
_LONGEST_ERROR = 2000  # characters
#: As literal text, because SQLite uses a partial index only for the very words of its condition.
_READY, _RUNNING, _WAITING = (sa.text(f"jobs.state = '{state}'") for state in ("ready", "running", "waiting"))
_ALWAYS = sa.true()
_DONE: dict[str, Any] = {"state": "done", "finished_at": now_s(), "error": None}
_ACTIVE = sa.text("jobs.state IN ('ready', 'running')")


@dataclass(frozen=True, slots=True)
class NewJob:
    """One thing to do.

    Attributes:
        kind: which handler does it.
        payload: JSON; keep customers' texts elsewhere and name them by id here, so that erasing finds them.
        key: jobs of one key run one after the other, in the order in which they were put in. None: no order.
        delay_s: not before so many seconds from now; later jobs of its key wait, too.
        max_attempts: after so many it is dead, and the next of its key goes on.
    """

    kind: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None
    delay_s: float = 0.0
    max_attempts: int = 5

    def __post_init__(self) -> None:
        if self.max_attempts < 1 or not self.delay_s >= 0:
            raise ConfigError("max_attempts must be 1 or more, and delay_s 0 or more")


@dataclass(frozen=True, slots=True)
class Job:
    """A job that is ours to do.

    Attributes:
        attempt: from 1; with `worker` it proves that the lease is still ours.
    """

    id: int
    kind: str
    payload: dict[str, Any]
    key: str | None
    attempt: int
    max_attempts: int
    worker: str


@dataclass(frozen=True, slots=True)
class Backoff:
    """The pause before the next attempt: `first_s`, doubled each time up to `longest_s`, times 0.5 to 1 by chance."""

    first_s: float = 1.0
    longest_s: float = 600.0

    def pause_s(self, attempt: int) -> float:
        """Seconds after attempt `attempt` (from 1) failed."""
        return float(min(self.longest_s, self.first_s * 2 ** min(attempt - 1, 60))) * random.uniform(0.5, 1.0)


class JobQueue:
    """The jobs called `name` in one database; any number of processes may use it.

    Args:
        lease_s: a worker that gave no sign of life for so long has lost its jobs.
        backoff: the pause after a failed attempt.
    """

    def __init__(self, database: Database, name: str, *, lease_s: float = 30.0, backoff: Backoff | None = None) -> None:
        self._database, self.name, self.lease_s = database, name, lease_s
        self._backoff = backoff or Backoff()
        self._reaped_at = float("-inf")

    async def put(self, connection: AsyncConnection, new: Iterable[NewJob]) -> list[int]:
        """Put jobs in, in the caller's transaction: they exist if, and only if, it is committed.

        Returns:
            their ids, in order.
        """
        wanted = list(new)
        keys = sorted({job.key for job in wanted if job.key is not None})
        await self._lock(connection, keys)
        taken = await self._keys_with_active(connection, keys)
        rows = []
        for job in wanted:
            rows.append(self._row(job, "waiting" if job.key in taken else "ready"))
            if job.key is not None:
                taken.add(job.key)
        if not rows:
            return []
        run_at = now_s() + sa.bindparam("delay_s", type_=sa.Double())
        insert = sa.insert(jobs).values(run_at=run_at, created_at=now_s())
        insert = insert.returning(jobs.c.id, sort_by_parameter_order=True)
        return list((await connection.execute(insert, rows)).scalars())

    async def claim(self, worker: str, limit: int = 1) -> list[Job]:
        """Take up to `limit` jobs that are due, oldest first, each under a lease of `lease_s`."""
        await self._reap()
        due = (
            sa.select(jobs.c.id)
            .where(jobs.c.queue == self.name, _READY, jobs.c.run_at <= now_s())
            .order_by(jobs.c.run_at, jobs.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)  # left out on SQLite, where writers take turns
            .cte("due")  # looked up once: as a plain subquery Postgres may run it again and take more than `limit`
        )
        taken = (
            sa.update(jobs)
            .where(jobs.c.id.in_(sa.select(due.c.id)))
            .values(
                state="running",
                attempts=jobs.c.attempts + 1,
                worker=worker,
                beat_at=now_s(),
                lease_until=now_s() + self.lease_s,
            )
            .returning(jobs)
        )
        async with self._database.write() as connection:
            rows = (await connection.execute(taken)).all()
        return [_job(row) for row in sorted(rows, key=lambda row: (row.run_at, row.id))]

    async def beat(self, held: Sequence[Job]) -> set[int]:
        """Renew the leases of `held`.

        Returns:
            the ids that are still ours; the others were lost: stop working on them.
        """
        renewed = sa.update(jobs).where(_ours(held), _RUNNING)
        renewed = renewed.values(beat_at=now_s(), lease_until=now_s() + self.lease_s)
        async with self._database.write() as connection:
            return set((await connection.execute(renewed.returning(jobs.c.id))).scalars())

    async def finish(self, job: Job, connection: AsyncConnection | None = None) -> None:
        """The job is done, and the next one of its key is ready.

        Args:
            connection: the transaction in which the job's own result is written: both are stored, or neither.

        Raises:
            LeaseLostError: the job is not ours any more; raised inside the transaction, so that it is undone.
        """
        if connection is None:
            async with self._database.write() as own:
                await self.finish(job, own)
        elif not await self._end(connection, [job], _DONE):
            raise _lost(job)

    async def finish_many(self, held: Sequence[Job]) -> set[int]:
        """Several jobs are done, in one transaction.

        Returns:
            the ids that were still ours; the others will be, or were, done again by somebody else.
        """
        async with self._database.write() as connection:
            return await self._end(connection, held, _DONE)

    async def put_off(self, job: Job, reason: str, pause_s: float) -> None:
        """Not now: again after `pause_s`, and the attempt does not count. Later jobs of its key wait, too.

        Raises:
            LeaseLostError: the job is not ours any more.
        """
        values: dict[str, Any] = {"state": "ready", "attempts": jobs.c.attempts - 1, "run_at": now_s() + pause_s}
        async with self._database.write() as connection:
            if not await self._end(connection, [job], values | {"error": reason[:_LONGEST_ERROR]}):
                raise _lost(job)

    async def fail(self, job: Job, error: str, *, retry: bool = True) -> bool:
        """The attempt failed: again after a pause, or dead where it was the last one or `retry` is False.

        Returns:
            True where it will be tried again.

        Raises:
            LeaseLostError: the job is not ours any more.
        """
        if not await self._fail(job, error, retry):
            raise _lost(job)
        return retry and job.attempt < job.max_attempts

    async def give_back(self, held: Sequence[Job]) -> None:
        """We stop before they were done: they are ready again at once, and the attempt does not count."""
        values = {"state": "ready", "attempts": jobs.c.attempts - 1}
        async with self._database.write() as connection:
            await self._end(connection, held, values)

    async def counts(self) -> dict[str, int]:
        """State -> how many."""
        counted = sa.select(jobs.c.state, sa.func.count()).where(jobs.c.queue == self.name).group_by(jobs.c.state)
        async with self._database.read() as connection:
            return {row[0]: row[1] for row in (await connection.execute(counted)).all()}

    async def dead(self, limit: int = 100) -> list[tuple[Job, str]]:
        """Jobs that failed for good, newest first, with the last error."""
        wanted = sa.select(jobs).where(jobs.c.queue == self.name, jobs.c.state == "dead")
        async with self._database.read() as connection:
            rows = await connection.execute(wanted.order_by(jobs.c.id.desc()).limit(limit))
            return [(_job(row), row.error or "") for row in rows]

    async def revive(self, job_id: int) -> bool:
        """Try a dead job again, with all its attempts, behind the jobs of its key.

        Returns:
            False where there is no such dead job.
        """
        async with self._database.write() as connection:
            wanted = sa.select(jobs.c.key).where(jobs.c.id == job_id, jobs.c.queue == self.name)
            key = (await connection.execute(wanted)).scalar_one_or_none()
            keys = [] if key is None else [key]
            await self._lock(connection, keys)
            state = "waiting" if await self._keys_with_active(connection, keys) else "ready"
            revived = sa.update(jobs).where(jobs.c.id == job_id, jobs.c.queue == self.name, jobs.c.state == "dead")
            values = {"state": state, "attempts": 0, "run_at": now_s(), "finished_at": None, "worker": None}
            return bool((await connection.execute(revived.values(values))).rowcount)

    async def purge(self, older_than_s: float) -> int:
        """Forget jobs that were done so long ago; dead ones stay until somebody looked at them."""
        old = sa.delete(jobs).where(
            jobs.c.queue == self.name, jobs.c.state == "done", jobs.c.finished_at <= now_s() - older_than_s
        )
        async with self._database.write() as connection:
            return (await connection.execute(old)).rowcount

    def _row(self, job: NewJob, state: str) -> dict[str, Any]:
        return {
            "queue": self.name,
            "key": job.key,
            "kind": job.kind,
            "payload": json.dumps(job.payload, ensure_ascii=False),
            "state": state,
            "attempts": 0,
            "max_attempts": job.max_attempts,
            "delay_s": job.delay_s,
        }

    async def _lock(self, connection: AsyncConnection, keys: Sequence[str]) -> None:
        """Until the transaction's end nobody else puts in, ends or takes back jobs of `keys` (sorted)."""
        if self._database.is_sqlite:
            return  # one writer at a time as it is
        for number in sorted({zlib.crc32(f"{self.name}\0{key}".encode()) for key in keys}):
            await connection.execute(sa.text("SELECT pg_advisory_xact_lock(72361, :n)"), {"n": number - 2**31})

    async def _keys_with_active(self, connection: AsyncConnection, keys: Sequence[str]) -> set[str | None]:
        if not keys:
            return set()
        active = sa.select(jobs.c.key).where(jobs.c.queue == self.name, jobs.c.key.in_(keys), _ACTIVE)
        return set((await connection.execute(active)).scalars())

    async def _fail(self, job: Job, error: str, retry: bool, condition: sa.ColumnElement[bool] = _ALWAYS) -> bool:
        values: dict[str, Any] = {"error": error[:_LONGEST_ERROR]}
        if retry and job.attempt < job.max_attempts:
            values |= {"state": "ready", "run_at": now_s() + self._backoff.pause_s(job.attempt)}
        else:
            values |= {"state": "dead", "finished_at": now_s()}
        async with self._database.write() as connection:
            return bool(await self._end(connection, [job], values, condition))

    async def _end(
        self,
        connection: AsyncConnection,
        held: Sequence[Job],
        values: Mapping[str, Any],
        condition: sa.ColumnElement[bool] = _ALWAYS,
    ) -> set[int]:
        """Running no more; returns the ids of those that were ours."""
        keys = sorted({job.key for job in held if job.key is not None})
        await self._lock(connection, keys)
        ended = sa.update(jobs).where(_ours(held), _RUNNING, condition)
        ended = ended.values(**values, lease_until=None, worker=None).returning(jobs.c.id, jobs.c.key)
        found = (await connection.execute(ended)).all()
        if values["state"] != "ready":
            await self._promote(connection, [row.key for row in found if row.key is not None])
        return {row.id for row in found}

    async def _promote(self, connection: AsyncConnection, keys: Sequence[str]) -> None:
        """The oldest waiting job of each of `keys` is ready."""
        if not keys:
            return
        first = sa.select(sa.func.min(jobs.c.id)).where(jobs.c.queue == self.name, jobs.c.key.in_(keys), _WAITING)
        first = first.group_by(jobs.c.key).correlate(None)
        await connection.execute(sa.update(jobs).where(jobs.c.id.in_(first)).values(state="ready"))

    async def _reap(self) -> None:
        """Take jobs back from workers that gave no sign of life; looked for once a second in each process."""
        if time.monotonic() - self._reaped_at < _REAP_EVERY_S:
            return
        self._reaped_at = time.monotonic()
        over = sa.or_(jobs.c.lease_until <= now_s(), now_s() < jobs.c.beat_at - BACKWARDS_S)
        lost = sa.select(jobs).where(jobs.c.queue == self.name, _RUNNING, over)
        async with self._database.read() as connection:
            rows = (await connection.execute(lost)).all()
        for row in rows:  # asked again while changing it: it may have come back to life
            await self._fail(_job(row), f"worker {row.worker} gave no sign of life for {self.lease_s:g} s", True, over)


def new_worker_id() -> str:
    """A name for one worker, unique over all machines."""
    return secrets.token_hex(8)


def _job(row: Any) -> Job:
    return Job(row.id, row.kind, json.loads(row.payload), row.key, row.attempts, row.max_attempts, row.worker or "")


def _ours(held: Sequence[Job]) -> sa.ColumnElement[bool]:
    return sa.tuple_(jobs.c.id, jobs.c.attempts, jobs.c.worker).in_([(job.id, job.attempt, job.worker) for job in held])


def _lost(job: Job) -> LeaseLostError:
    return LeaseLostError(f"job {job.id} ({job.kind}) took longer than its lease and is not ours any more")
