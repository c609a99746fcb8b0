"""Traces: written in batches, bounded, counted when they are lost, by clean ends, full queues and kills."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from tasklift.errors import TrafficError
from tasklift.operate.ledger import Ledger, left_behind
from tasklift.operate.tables import reviews, traces
from tasklift.operate.traffic import Trace, TraceWriter, best_guess, count_left_behind, is_recent, lost_traces, new_id
from tasklift.prediction import Prediction, Usage
from tasklift_platform.database import Database

SAID = Prediction("red", {"red": 0.9}, 0.9, usage=Usage(1, 20, 5, 3, 0.25), latency_s=0.5, notes={"stage": "core"})


def a_trace(said: Prediction = SAID, **rest: object) -> Trace:
    fields = {"overlay": "", "caller": "me", "input": {"text": "a \ud800 b"}, "latency_s": 0.51, "cost_usd": 1e-5}
    known = {"task": "colours", "at": time.time(), "release": 3, "candidate": "aaaa", "arm": "stable"}
    return Trace(id=new_id("tr"), **{**known, **fields, "prediction": said, **rest})


async def rows_of(database: Database, table: sa.Table = traces) -> list[dict[str, object]]:
    async with database.read() as connection:
        return [dict(row) for row in (await connection.execute(sa.select(table))).mappings()]


async def test_traces_are_written_with_everything_they_hold(database: Database) -> None:
    writer = TraceWriter(database, Ledger(None))
    failed = Prediction.failed("timeout", "too late")
    kept = [a_trace(), a_trace(failed, input=None, pair="tr_1"), a_trace(review=("rv_1", "audit", {"text": "x"}))]
    for trace in kept:
        writer.put(trace)
    assert await writer.flush()
    found = {row["id"]: row for row in await rows_of(database)}
    first, second = found[kept[0].id], found[kept[1].id]
    expected = ("colours", 3, "stable", "core", "red", 0.9, None, 0.51, 1e-5)
    names = ("task", "release", "arm", "stage", "output", "confidence", "error", "latency_s", "cost_usd")
    assert tuple(first[name] for name in names) == expected
    assert first["deferred"] is False
    assert json.loads(first["input"]) == {"text": "a \ud800 b"}
    assert Prediction.from_json(json.loads(first["prediction"])) == SAID
    assert (second["error"], second["input"], second["output"], second["pair"]) == ("timeout", None, None, "tr_1")
    assert [row["id"] for row in await rows_of(database, reviews)] == ["rv_1"]
    await writer.aclose()


async def test_the_background_task_writes_within_its_window_and_closing_writes_the_rest(database: Database) -> None:
    writer = TraceWriter(database, Ledger(None), window_s=0.05)
    writer.start()
    writer.put(a_trace())
    await asyncio.sleep(0.3)
    assert (writer.written, writer.waiting) == (1, 0)
    writer.put(a_trace())
    await writer.aclose()
    assert len(await rows_of(database)) == 2


async def test_what_a_full_queue_loses_is_counted(database: Database) -> None:
    writer = TraceWriter(database, Ledger(None), most_waiting=3)
    assert [writer.put(a_trace()) for _ in range(5)] == [True, True, True, False, False]
    assert (await writer.flush(), writer.lost) == (True, 2)
    assert (len(await rows_of(database)), await lost_traces(database)) == (3, 2)


async def test_a_row_that_the_database_refuses_does_not_hold_the_others(database: Database) -> None:
    writer = TraceWriter(database, Ledger(None))
    twice = a_trace()
    for trace in (twice, a_trace(), twice, a_trace()):
        writer.put(trace)
    assert await writer.flush()
    assert (len(await rows_of(database)), writer.written, writer.lost) == (3, 3, 1)


async def test_a_durable_trace_is_in_the_database_when_it_was_taken(database: Database) -> None:
    writer = TraceWriter(database, Ledger(None))
    await asyncio.gather(*(writer.put_durably(a_trace()) for _ in range(20)))
    assert len(await rows_of(database)) == 20
    full = TraceWriter(database, Ledger(None), most_waiting=0)
    with pytest.raises(TrafficError, match="cannot be written"):
        await full.put_durably(a_trace())


async def test_while_the_database_refuses_traces_wait_and_are_written_later(database: Database) -> None:
    async def rename(before: str, after: str) -> None:
        async with database.write() as connection:
            await connection.execute(sa.text(f"ALTER TABLE {before} RENAME TO {after}"))

    writer = TraceWriter(database, Ledger(None))
    writer.put(a_trace())
    await rename("traces", "away")
    assert (await writer.flush(), writer.waiting) == (False, 1)
    await rename("away", "traces")
    assert (await writer.flush(), writer.waiting) == (True, 0)
    assert len(await rows_of(database)) == 1


KILLED = """
import sys, time
from pathlib import Path
from tasklift.operate.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
for _ in range(100):
    ledger.took()
ledger.wrote(60)
print("ready", flush=True)
time.sleep(60)
"""


def _run_and_kill(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert left_behind(folder) == {}  # it runs
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


async def test_what_a_kill_takes_is_counted_once(database: Database, tmp_path: Path) -> None:
    folder = tmp_path / "workers"
    await asyncio.to_thread(_run_and_kill, folder)
    own = Ledger(folder)
    assert await count_left_behind(database, folder) == 40
    assert (await count_left_behind(database, folder), await lost_traces(database)) == (0, 40)
    own.close()
    assert list(folder.iterdir()) == []


def test_an_id_says_when_it_was_given_out() -> None:
    assert is_recent(new_id("tr"))
    assert new_id("tr") != new_id("tr")
    for old in ("tr_0", "tr_018f00000000aaaa", "nonsense", ""):
        assert not is_recent(old)


def test_the_best_guess_of_a_deferred_answer_is_its_last_stage_that_said_anything() -> None:
    stages = (Prediction("red", confidence=0.4), Prediction("blue", confidence=0.5), Prediction.failed("timeout", "x"))
    assert best_guess(Prediction(deferred=True, children=stages)).output == "blue"
    assert best_guess(Prediction(deferred=True)) is None
    assert best_guess(SAID) is SAID
