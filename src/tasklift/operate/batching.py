"""Concurrent requests answered together: what comes in while one batch is computed makes up the next."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tasklift.prediction import Prediction
from tasklift.strategy import Candidate, Context, Family, Input, Resources, Traits

_Asked = tuple[Input, asyncio.Future[Prediction]]

#: How long the first request of an idle candidate waits for company.
WINDOW_S = 0.002


class Wrapped(Candidate):
    """A candidate that answers through another one and is like it in everything else."""

    def __init__(self, inner: Candidate) -> None:
        self.inner = inner
        self.fingerprint: str = inner.fingerprint
        self.family: Family = inner.family
        self.traits: Traits = inner.traits
        self.setup: Resources = inner.setup
        self.training_ids = inner.training_ids
        self.notes: Mapping[str, Any] = inner.notes

    def save(self, folder: Path) -> None:
        """As the candidate inside."""
        self.inner.save(folder)

    async def aclose(self) -> None:
        """Close the candidate inside."""
        await self.inner.aclose()


class Budgeted(Wrapped):
    """A stage that may take only so long: a late answer is a failed one, and the next stage is asked."""

    def __init__(self, inner: Candidate, budget_s: float) -> None:
        super().__init__(inner)
        self._budget_s = budget_s

    async def predict(self, inputs: Sequence[Input], ctx: Context) -> list[Prediction]:
        """One prediction an input; all of them failed where time was over."""
        until = time.monotonic() + self._budget_s
        deadline = until if ctx.deadline is None else min(until, ctx.deadline)
        try:
            async with asyncio.timeout(self._budget_s):
                return await self.inner.predict(inputs, replace(ctx, deadline=deadline))
        except TimeoutError:
            said = f"the stage took longer than {self._budget_s:g} s"
            return [Prediction.failed("timeout", said, latency_s=self._budget_s) for _ in inputs]


class Batched(Wrapped):
    """A local candidate whose single requests are put together.

    One batch runs at a time, on the one worker thread. When it is done, everything that waits for the same overlay
    goes into the next, up to the candidate's batch size; an idle candidate waits a moment for company first.

    Args:
        inner: what answers; it must not depend on the context beyond the overlay.
        window_s: that moment.
    """

    def __init__(self, inner: Candidate, window_s: float = WINDOW_S) -> None:
        super().__init__(inner)
        self._window_s = window_s
        self._waiting: dict[str | None, deque[_Asked]] = {}  # by overlay; the first one has waited longest
        self._runner: asyncio.Task[None] | None = None

    async def predict(self, inputs: Sequence[Input], ctx: Context) -> list[Prediction]:
        """One prediction an input; `latency_s` holds the wait for the batch, as a caller sees it."""
        loop = asyncio.get_running_loop()
        begin = time.perf_counter()
        futures: list[asyncio.Future[Prediction]] = []
        for value in inputs:
            future: asyncio.Future[Prediction] = loop.create_future()
            self._waiting.setdefault(ctx.overlay, deque()).append((value, future))
            futures.append(future)
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run())
        answers = [await future for future in futures]
        took = time.perf_counter() - begin
        return [replace(answer, latency_s=took) for answer in answers]

    async def _run(self) -> None:
        await asyncio.sleep(self._window_s)
        while self._waiting:
            overlay, waiting = next(iter(self._waiting.items()))
            del self._waiting[overlay]
            batch = [waiting.popleft() for _ in range(min(len(waiting), self.traits.batch_size))]
            if waiting:
                self._waiting[overlay] = waiting  # at the end: every overlay has its turn
            batch = [(value, future) for value, future in batch if not future.done()]  # callers that gave up
            if batch:
                await self._answer(overlay, batch)

    async def _answer(self, overlay: str | None, batch: Sequence[_Asked]) -> None:
        try:
            answers = await self.inner.predict([value for value, _ in batch], Context(overlay=overlay))
            told = list(zip(batch, answers, strict=True))
        except Exception as error:  # every waiting caller has to hear of it: none may wait for ever
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in told:
            if not future.done():
                future.set_result(answer)

    async def aclose(self) -> None:
        """Wait for what is under way, then close the candidate inside."""
        if self._runner is not None and not self._runner.done():
            await self._runner
        await self.inner.aclose()
