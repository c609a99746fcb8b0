"""One thread for CPU work, so that the event loop stays free and CPU seconds can be told apart."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_WORKER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tasklift-cpu")
#: CPU seconds of results that a cache served inside the `timed` call that is under way.
_SAVED: contextvars.ContextVar[list[float] | None] = contextvars.ContextVar("tasklift_saved", default=None)


@dataclass(frozen=True, slots=True)
class Timed(Generic[R]):
    """A result with what it took.

    Attributes:
        value: the result.
        wall_s: seconds on the worker, queueing excluded.
        cpu_s: process CPU seconds while it ran, and those that `credit` reported. Numeric libraries
            start threads of their own, so thread time would miss most of the work; other async work of
            the process is counted in.
    """

    value: R
    wall_s: float
    cpu_s: float


def timed(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Timed[R]:
    """Run `work` here and now."""
    saved: list[float] = []
    token = _SAVED.set(saved)
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        value = work(*args, **kwargs)
    finally:
        _SAVED.reset(token)
    credit(sum(saved))
    return Timed(value, time.perf_counter() - wall, time.process_time() - cpu + sum(saved))


def credit(cpu_s: float) -> None:
    """Count CPU seconds that a cache saved: a cost must not depend on what was computed before."""
    outer = _SAVED.get()
    if outer is not None:
        outer.append(cpu_s)


async def on_worker(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Timed[R]:
    """Run `work` on the worker thread, one job at a time, with the caller's context variables."""
    context = contextvars.copy_context()
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_WORKER, lambda: context.run(lambda: timed(work, *args, **kwargs)))
