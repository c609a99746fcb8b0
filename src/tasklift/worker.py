"""One thread for CPU work, so that the event loop stays free and CPU seconds can be told apart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_WORKER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tasklift-cpu")


@dataclass(frozen=True, slots=True)
class Timed(Generic[R]):
    """A result with what it took.

    Attributes:
        value: the result.
        wall_s: seconds on the worker, queueing excluded.
        cpu_s: process CPU seconds while it ran. Numeric libraries start threads of their own, so
            thread time would miss most of the work; other async work of the process is counted in.
    """

    value: R
    wall_s: float
    cpu_s: float


def timed(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Timed[R]:
    """Run `work` here and now."""
    wall, cpu = time.perf_counter(), time.process_time()
    value = work(*args, **kwargs)
    return Timed(value, time.perf_counter() - wall, time.process_time() - cpu)


async def on_worker(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Timed[R]:
    """Run `work` on the worker thread, one job at a time."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_WORKER, lambda: timed(work, *args, **kwargs))
