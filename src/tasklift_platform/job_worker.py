"""Does the jobs of a queue in this process: several at once, leases renewed, results written in batches."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tasklift.errors import ConfigError, TaskliftError
from tasklift_platform.errors import DatabaseError, LeaseLostError
from tasklift_platform.jobs import Job, JobQueue, new_worker_id

#: Does one job; what it raises makes the attempt fail.
Handler = Callable[[Job], Awaitable[None]]
_LOG = logging.getLogger("tasklift.jobs")
_BEATS_PER_LEASE = 3
_DATABASE_PAUSE_S = 1.0  # before the database is asked again when it was lost


class GiveUpError(TaskliftError):
    """Raised by a handler: trying again is of no use, the job is dead."""


class PutOffError(TaskliftError):
    """Raised by a handler: not now, again after `pause_s` seconds; the attempt does not count."""

    def __init__(self, reason: str, pause_s: float) -> None:
        super().__init__(reason)
        self.pause_s = pause_s


class JobWorker:
    """One worker; `run` returns after `stop` was set and the jobs under way are done.

    Args:
        handlers: kind -> what does it.
        concurrency: so many jobs at once.
        poll_s: how long a job may lie there before an idle worker sees it; `nudge` makes it look at once.
        grace_s: after `stop`, jobs get so long to end; then they are cancelled and given back.
    """

    def __init__(
        self,
        queue: JobQueue,
        handlers: Mapping[str, Handler],
        *,
        concurrency: int = 4,
        poll_s: float = 0.5,
        grace_s: float = 10.0,
    ) -> None:
        if concurrency < 1 or not handlers:
            raise ConfigError("a worker needs a handler, and a concurrency of 1 or more")
        self.id = new_worker_id()
        self._queue, self._handlers = queue, dict(handlers)
        self._concurrency, self._poll_s, self._grace_s = concurrency, poll_s, grace_s
        self._running: dict[int, tuple[Job, asyncio.Task[None]]] = {}
        self._done: list[Job] = []
        self._wake = asyncio.Event()

    def nudge(self) -> None:
        """There is something to do: look now. For the process that put the job in."""
        self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set."""
        stopping = asyncio.create_task(self._wake_at(stop))
        beating = asyncio.create_task(self._beat_for_ever())
        try:
            while not stop.is_set():
                await self._surviving(self._step)
            await self._wind_down()
        finally:
            for task in (stopping, beating, *(task for _, task in self._running.values())):
                task.cancel()
            await asyncio.gather(stopping, beating, return_exceptions=True)

    async def _step(self) -> None:
        """Write what is done, take what is free, wait for either."""
        self._wake.clear()
        await self._flush()
        free = self._concurrency - len(self._running)
        claimed = await self._queue.claim(self.id, free) if free else []
        for job in claimed:
            self._running[job.id] = job, asyncio.create_task(self._do(job))
        if len(claimed) < free or not free:
            try:
                await asyncio.wait_for(self._wake.wait(), self._poll_s)
            except TimeoutError:
                pass

    async def _flush(self) -> None:
        done = self._done
        if not done:
            return
        self._done = []
        try:
            ours = await self._queue.finish_many(done)
        except DatabaseError:
            self._done = done + self._done  # still running by the database; written when it is back
            raise
        for job in done:
            self._running.pop(job.id, None)
            if job.id not in ours:
                _LOG.warning("job was done, but its lease was lost: it is done again", extra=_about(job))

    async def _do(self, job: Job) -> None:
        try:
            handler = self._handlers.get(job.kind)
            if handler is None:
                raise GiveUpError(f"no handler for jobs of the kind {job.kind!r}")
            await handler(job)
        except Exception as error:  # the boundary: whatever a handler raises is this job's failure, not the worker's
            await self._failed(job, error)
        else:
            self._done.append(job)
        self._wake.set()

    async def _failed(self, job: Job, error: Exception) -> None:
        try:
            if isinstance(error, PutOffError):
                await self._queue.put_off(job, str(error), error.pause_s)
                self._running.pop(job.id, None)
                return
            again = await self._queue.fail(
                job, f"{type(error).__name__}: {error}", retry=not isinstance(error, GiveUpError)
            )
            _LOG.warning("job failed" if again else "job is dead", extra=_about(job), exc_info=error)
        except (LeaseLostError, DatabaseError) as lost:  # then its lease runs out, which counts as a failure, too
            _LOG.warning("job failed, and this could not be noted: %s", lost, extra=_about(job), exc_info=error)
        self._running.pop(job.id, None)

    async def _beat_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._queue.lease_s / _BEATS_PER_LEASE)
            await self._surviving(self._beat)

    async def _beat(self) -> None:
        held = [job for job, _ in self._running.values()]
        if not held:
            return
        ours = await self._queue.beat(held)
        for job in held:
            _, task = self._running.get(job.id, (job, None))
            if job.id not in ours and task is not None and not task.done():
                _LOG.warning("lease was lost: the job is stopped here", extra=_about(job))
                del self._running[job.id]
                task.cancel()
                self._wake.set()

    async def _wind_down(self) -> None:
        tasks = [task for _, task in self._running.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=self._grace_s)
        await self._surviving(self._flush)
        left = [job for job, task in self._running.values() if not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if left:
            await self._surviving(lambda: self._queue.give_back(left))
        self._running.clear()

    async def _surviving(self, action: Callable[[], Awaitable[None]]) -> None:
        """`action`; while the database is away, a pause instead."""
        try:
            await action()
        except DatabaseError as error:
            _LOG.warning("jobs wait for the database: %s", error)
            await asyncio.sleep(_DATABASE_PAUSE_S)

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake.set()


def _about(job: Job) -> dict[str, Any]:
    return {"job": job.id, "kind": job.kind, "key": job.key, "attempt": job.attempt}
