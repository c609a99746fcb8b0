"""One candidate on all rows: what is stored is taken, what is missing is asked, a bounded number at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tasklift.cache import computing_afresh
from tasklift.dataset import Dataset, Example
from tasklift.errors import AuthenticationError, ModelTimeoutError, RateLimitError, ServerError
from tasklift.measure.store import EvaluationFolder
from tasklift.prediction import Prediction
from tasklift.strategy import Candidate, Context

#: Single requests by which the latency of a candidate that works in batches is measured.
LATENCY_ROWS = 20
#: After this many failed rows in a row for want of a key, the others are not tried.
HOPELESS_ROWS = 3
#: Kinds of failure that are asked again when an evaluation goes on.
PASSING_FAILURES = frozenset(
    error.kind for error in (AuthenticationError, RateLimitError, ModelTimeoutError, ServerError)
)


@dataclass(frozen=True)
class Asking:
    """A candidate and the rows that it is asked.

    Attributes:
        name: what the table calls it.
        candidate: who is asked.
        rows: all rows.
        at_once: batches under way at once, where it is a hosted model.
        seed: passed to it.
        store: where its answers are kept; None: nowhere.
        tell: told how many of the rows are done.
        repeat: which deliberate repeat this is; a repeat asks only for final answers.
    """

    name: str
    candidate: Candidate
    rows: Dataset
    at_once: int
    seed: int
    store: EvaluationFolder | None
    tell: Callable[[int], None]
    repeat: int = 0

    async def predictions(self, stored: Mapping[str, Prediction]) -> list[Prediction]:
        """One prediction a row, in order. Stored ones are taken, except those that failed in passing.

        Raises:
            AuthenticationError: the first rows all fail for want of a key.
            DataError: the answers cannot be stored.
        """
        have = {row_id: answer for row_id, answer in stored.items() if not _passing(answer)}
        told: list[Prediction] = []  # by this run, in the order of the answers
        batches = iter(self._batches(have))
        context = Context(seed=self.seed, repeat=self.repeat, all_stages=self.repeat == 0)
        self.tell(sum(row.id in have for row in self.rows))

        async def work() -> None:
            for batch in batches:  # shared: each takes the next one
                answers = await self.candidate.predict([row.input for row in batch], context)
                have.update(zip((row.id for row in batch), answers, strict=True))
                told.extend(answers)
                _refuse_hopeless(self.name, told)
                if self.store:
                    self.store.append(self.candidate.fingerprint, [row.id for row in batch], answers)
                    if self.store.is_sync_due:
                        await asyncio.to_thread(self.store.sync)
                self.tell(len(have))

        async with asyncio.TaskGroup() as group:
            for _ in range(self.at_once if self.candidate.traits.remote else 1):
                group.create_task(work())
        return [have[row.id] for row in self.rows]

    def _batches(self, have: Mapping[str, Prediction]) -> list[list[Example]]:
        """The rows to ask, in batches that lie where they lay before a stop. A local candidate's last bits
        depend on which rows it sees together, so it is asked a torn batch as a whole."""
        traits = self.candidate.traits
        whole = traits.deterministic and not traits.remote
        found = []
        for start in range(0, len(self.rows), traits.batch_size):
            batch = self.rows.examples[start : start + traits.batch_size]
            missing = [row for row in batch if row.id not in have]
            if missing:
                found.append(list(batch) if whole else missing)
        return found

    async def latencies(
        self, predictions: Sequence[Prediction], measured_before: Sequence[float] | None
    ) -> list[float]:
        """Seconds of single requests: of the rows themselves where each was one request, else of a few
        rows asked one by one (or as measured when the evaluation was made)."""
        if self.candidate.family == "human":
            return []
        if self.candidate.traits.remote or any(p.usage.calls for p in predictions):
            return [p.latency_s for p in predictions if not p.deferred and p.error is None]
        if measured_before is not None:
            return list(measured_before)
        seconds = []
        for row in self.rows.examples[:LATENCY_ROWS]:
            begin = time.perf_counter()
            with computing_afresh():
                await self.candidate.predict([row.input], Context(seed=self.seed))
            seconds.append(time.perf_counter() - begin)
        return seconds


def _passing(prediction: Prediction) -> bool:
    """It failed for a reason that may be gone by now, a missing key or an outage: worth asking again."""
    return prediction.error is not None and prediction.error.kind in PASSING_FAILURES


def _refuse_hopeless(name: str, told: Sequence[Prediction]) -> None:
    refused = [
        p.error.message
        for p in told[-HOPELESS_ROWS:]
        if p.error is not None and p.error.kind == AuthenticationError.kind
    ]
    if len(refused) == HOPELESS_ROWS:
        raise AuthenticationError(f"{name}: {refused[0]}")
