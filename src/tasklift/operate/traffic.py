"""Traces: one row an answer, written in batches off the request path.

A worker keeps rows in memory for at most `WINDOW_S` and `MOST_WAITING` of them; what a crash takes with it is
counted afterwards from two numbers in a small file that outlives the process (`Ledger`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import TextClause, func, insert, select, text
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from tasklift.errors import TrafficError
from tasklift.operate.answers import kept
from tasklift.operate.ledger import Ledger, left_behind
from tasklift.operate.tables import losses, reviews, traces
from tasklift.prediction import Prediction
from tasklift_platform.database import Database
from tasklift_platform.errors import DatabaseError

#: Traces reach the database this many seconds after the answer, at the latest, while it can be reached.
WINDOW_S = 0.2
#: Rows that wait while the database cannot be reached; further ones are lost, and counted.
MOST_WAITING = 20_000
#: Rows in one transaction.
BATCH = 2000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trace:
    """One answer and everything that led to it.

    Attributes:
        id: as callers know it.
        task: its name.
        at: Unix seconds of the answer.
        release: version of the release that brought the candidate.
        candidate: its fingerprint.
        arm: stable, canary or shadow.
        overlay: '' where none was asked for.
        caller: as the caller names itself, or the name of its key.
        input: the fields, as the task's policy allows; None where it keeps none.
        prediction: what was answered, with all stages.
        latency_s: from request to answer.
        cost_usd: at the prices of the moment.
        pair: of a shadow answer, the trace it stands beside.
        review: of a row that a person is to look at: (review id, reason, input).
        subject: the person it is about, as `people.person_key` writes it; '' where nobody was named.
    """

    id: str
    task: str
    at: float
    release: int
    candidate: str
    arm: str
    overlay: str
    caller: str
    input: Mapping[str, Any] | None
    prediction: Prediction
    latency_s: float
    cost_usd: float
    pair: str | None = None
    review: tuple[str, str, Mapping[str, Any] | None] | None = None
    subject: str = ""


def new_id(prefix: str) -> str:
    """An id that sorts by time and that nobody can guess."""
    return f"{prefix}_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(8)}"


def is_recent(identity: str, within_s: float = 2.0) -> bool:
    """Was this id given out a moment ago, so that its row may not be written yet?"""
    try:
        return abs(time.time() - int(identity.partition("_")[2][:12], 16) / 1000) < within_s
    except ValueError:
        return False


class TraceWriter:
    """Takes traces at once, writes them in batches.

    Args:
        database: where the tables are.
        ledger: counts what was taken and what was written.
        window_s: longest time a trace waits.
        most_waiting: how many may wait.
    """

    def __init__(
        self, database: Database, ledger: Ledger, window_s: float = WINDOW_S, most_waiting: int = MOST_WAITING
    ) -> None:
        self._database, self._ledger = database, ledger
        self._window_s, self._most = window_s, most_waiting
        self._waiting: list[str] = []  # rows as JSON
        self._reviews: list[dict[str, Any]] = []
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._ended = 0  # rows that wait no longer, whatever became of them
        self._lost_before = 0
        self.written = 0
        self.lost = 0

    def put(self, trace: Trace) -> bool:
        """Take a trace; False where too many wait already: it is lost, and counted."""
        self._ledger.took()
        if len(self._waiting) >= self._most:
            self.lost += 1
            return False
        # Encoded now, so that the work is spread over the requests instead of stopping all of them at once.
        self._waiting.append(_json(_row(trace)))
        self._reviews.extend(review_rows(trace))
        return True

    async def put_durably(self, trace: Trace) -> None:
        """Take a trace and return when it is in the database, together with others that wait.

        Raises:
            TrafficError: it could not be written now; it may be later.
        """
        place = self._ended + len(self._waiting) + 1
        accepted = self.put(trace)
        while accepted and self._ended < place:
            accepted = await self.flush()
        if not accepted:
            raise TrafficError("the trace cannot be written now, and this task answers only with one; try again")

    @property
    def waiting(self) -> int:
        """Rows that are not written yet."""
        return len(self._waiting)

    def start(self) -> None:
        """Write in the background until `aclose`."""
        self._task = asyncio.create_task(self._run())

    async def aclose(self) -> None:
        """Write everything that waits."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        while self._waiting and await self.flush():
            pass
        if not self._waiting:
            self._ledger.close()  # else the next worker finds it, and counts

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._window_s)
            if self._waiting:
                await self.flush()

    async def flush(self) -> bool:
        """Write one batch; False where the database refused, and the rows wait on."""
        async with self._writing:
            batch, asked = self._waiting[:BATCH], self._reviews[:]
            if not batch:
                return True
            try:
                refused = await self._write(batch, asked)
            except (DatabaseError, SQLAlchemyError) as error:
                _log.warning("%d traces wait: the database refused (%s)", len(self._waiting), error)
                return False
            del self._waiting[: len(batch)]
            del self._reviews[: len(asked)]
            self._ended += len(batch)
            self._ledger.wrote(len(batch) - refused)
            self.written += len(batch) - refused
            self.lost += refused
            return True

    async def _write(self, batch: Sequence[str], asked: list[dict[str, Any]]) -> int:
        """Write the rows, one by one where one of them is refused; how many were refused."""
        try:
            await self._insert(batch, asked)
        except (IntegrityError, DataError):
            if len(batch) == 1:
                _log.warning("a trace was refused by the database")
                return 1
            return sum([await self._write([row], asked if at == 0 else []) for at, row in enumerate(batch)])
        return 0

    async def _insert(self, batch: Sequence[str], asked: list[dict[str, Any]]) -> None:
        lost = self.lost
        async with self._database.write() as connection:
            await connection.execute(_BULK[self._database.is_sqlite], {"rows": f"[{','.join(batch)}]"})
            if asked:
                await connection.execute(insert(reviews), asked)
            if lost > self._lost_before:
                row = loss(lost - self._lost_before, "too many waited, or refused")
                await connection.execute(insert(losses), [row])
        self._lost_before = lost


def loss(count: int, reason: str) -> dict[str, Any]:
    """A row of `losses`."""
    return {"id": new_id("loss"), "at": time.time(), "traces": count, "reason": reason}


async def lost_traces(database: Database) -> int:
    """How many traces were ever lost, as far as it was noticed."""
    async with database.read() as connection:
        found = (await connection.execute(select(func.coalesce(func.sum(losses.c.traces), 0)))).scalar_one()
    return int(found)


def review_rows(trace: Trace) -> list[dict[str, Any]]:
    """The row of `reviews` that a trace asks for; none where it asks for none."""
    if trace.review is None:
        return []
    identity, reason, value = trace.review
    best = best_guess(trace.prediction)
    row = {
        "id": identity,
        "trace": trace.id,
        "task": trace.task,
        "at": trace.at,
        "reason": reason,
        "input": None if value is None else _json(value),
        "suggestion": None if best is None or best.output is None else kept(best.output),
        "confidence": None if best is None else best.confidence,
        "subject": trace.subject,
    }
    return [row]


def best_guess(prediction: Prediction) -> Prediction | None:
    """The answer itself; of a deferred one, the last stage that said anything."""
    if prediction.output is not None:
        return prediction
    return next((stage for stage in reversed(prediction.children) if stage.output is not None), None)


def _bulk(is_sqlite: bool) -> TextClause:
    """One statement for a whole batch, which comes as one JSON text: with a parameter for each value the driver
    would stop the event loop for every row."""
    names = [column.name for column in traces.columns]
    if is_sqlite:
        values = ", ".join(f"value ->> '$.{name}'" for name in names)
        source = "json_each(:rows)"
    else:
        postgres = {"TEXT": "text", "DOUBLE": "double precision", "INTEGER": "integer", "BOOLEAN": "boolean"}
        kinds = ", ".join(f"{column.name} {postgres[str(column.type)]}" for column in traces.columns)
        values, source = ", ".join(names), f"json_to_recordset(CAST(:rows AS json)) AS given({kinds})"
    return text(f"INSERT INTO traces ({', '.join(names)}) SELECT {values} FROM {source}")  # noqa: S608 - our names


_BULK = {True: _bulk(True), False: _bulk(False)}


def _row(trace: Trace) -> dict[str, Any]:
    said = trace.prediction
    return {
        "id": trace.id,
        "task": trace.task,
        "at": trace.at,
        "release": trace.release,
        "candidate": trace.candidate,
        "arm": trace.arm,
        "overlay": trace.overlay,
        "caller": trace.caller,
        "stage": str(said.notes.get("stage", "")),
        "output": None if said.output is None else kept(said.output),
        "confidence": said.confidence,
        "deferred": said.deferred,
        "error": said.error.kind if said.error else None,
        "latency_s": round(trace.latency_s, 6),
        "cost_usd": trace.cost_usd,
        "pair": trace.pair,
        "input": None if trace.input is None else _json(trace.input),
        "prediction": _json(said.to_json()),
        "subject": trace.subject,
    }


def _json(value: Any) -> str:
    """JSON that every database takes: neither half surrogate pairs nor NUL characters as such."""
    return json.dumps(value, ensure_ascii=True)


async def count_left_behind(database: Database, folder: Path) -> int:
    """Count what workers that were killed had taken and not written; each is counted once.

    Raises:
        DatabaseError: it could not be noted; it is counted next time.
    """
    total = 0
    for path, count in left_behind(folder).items():
        row = loss(count, f"worker {path.stem} was killed") | {"id": f"loss_{path.stem}"}
        with contextlib.suppress(IntegrityError):  # another worker counts at the same moment
            if count:
                async with database.write() as connection:
                    await connection.execute(insert(losses), [row])
            total += count
        path.unlink(missing_ok=True)
    return total
