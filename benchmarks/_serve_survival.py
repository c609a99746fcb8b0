"""What survives: rollbacks under load, kills, a database that restarts, thousands of slow clients."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from _common import RESULTS, Figure, note
from _processes import free_port, status_of
from _serve_setup import CHAT, chat_body, fitted, prepare, served, write_project

from tasklift.operate.release import Releases
from tasklift.operate.store import open_store, url_of
from tasklift.project import Project
from tasklift_platform.scratch import scratch_postgres


def rollback(_: argparse.Namespace) -> list[Figure]:
    """Two workers on Postgres, under load: failed requests, and how long the old release still answers."""
    with tempfile.TemporaryDirectory() as folder, scratch_postgres() as postgres:
        project, url = write_project(Path(folder)), postgres.new_database()
        key = prepare(project, [fitted(project, "baseline"), fitted(project, "majority")], url)
        with served(project, "--workers", "2", "--database", url) as ours:
            asked = Asking(ours.port, key)
            with asked:
                time.sleep(3)
                asyncio.run(_roll_back(url))
                done = time.monotonic()
                time.sleep(3)
    old = [at for at, _, release in asked.answers if release == "2"]
    failed = sum(status != 200 for _, status, _ in asked.answers)
    said = f"{len(asked.answers)} requests, 8 callers, 2 workers, Postgres"
    return [
        Figure("failed requests while rolling back", failed, at_most=0, note=said, unit=" requests"),
        Figure("last answer of the old release after", max(0.0, max(old) - done), at_most=1.0, unit=" s"),
    ]


class Asking:
    """Threads that keep asking over kept-open connections; with `judging`, each answer gets feedback."""

    def __init__(self, port: int, key: str, threads: int = 8, judging: bool = False) -> None:
        self.answers: list[tuple[float, int, str]] = []  # when, status, release
        self.traces: list[str] = []
        self.acknowledged: list[str] = []  # ids of feedback
        self.reviewed: list[str] = []  # ids of answered reviews
        self.refused: list[int] = []  # statuses of judgements that were not taken
        self._port, self._key, self._stop, self._judging = port, key, threading.Event(), judging
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self) -> Asking:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        while not self._stop.is_set():
            status, found, release = self._send(connection, "POST", CHAT, chat_body("triage"))
            self.answers.append((time.monotonic(), status, release))
            if status != 200:
                time.sleep(0.02)
                continue
            self.traces.append(found["id"])
            if self._judging:
                self._judge(connection, found["id"])

    def _judge(self, connection: http.client.HTTPConnection, trace: str) -> None:
        status, found, _ = self._send(connection, "POST", "/v1/feedback", {"trace": trace, "label": "other"})
        if status == 201:
            self.acknowledged.append(found["id"])
        else:
            self.refused.append(status)
        status, found, _ = self._send(connection, "GET", "/v1/reviews?limit=20", None)
        if status == 200 and found["reviews"]:
            review = random.choice(found["reviews"])["id"]
            status, _, _ = self._send(connection, "POST", f"/v1/reviews/{review}", {"answer": "billing"})
            if status == 200:
                self.reviewed.append(review)

    def _send(self, connection: http.client.HTTPConnection, method: str, path: str, body: Any) -> tuple[int, Any, str]:
        headers = {"authorization": f"Bearer {self._key}", "content-type": "application/json"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            found = json.loads(answer.read())
            return answer.status, found, answer.headers.get("x-tasklift-release", "")
        except (OSError, ValueError, http.client.HTTPException):
            connection.close()
            return 0, {}, ""


async def _roll_back(url: str) -> None:
    database = await open_store(url)
    await Releases(database, lambda _: None).rollback("triage", "bench")
    await database.aclose()


async def _column(url: str, query: str) -> list[Any]:
    database = await open_store(url)
    try:
        async with database.read() as connection:
            return list((await connection.execute(sa.text(query))).scalars())
    finally:
        await database.aclose()


@dataclass
class Killing:
    """What kills have done so far: kept, so that a stopped run goes on.

    Attributes:
        kills: so many.
        acknowledged: feedbacks and answered reviews that were acknowledged; `lost` of these.
        corrupt: kills after which the store was damaged.
        missing: traces lost, of each kill.
        uncounted: of these, traces that the next start did not count.
    """

    kills: int = 0
    acknowledged: int = 0
    lost: int = 0
    corrupt: int = 0
    missing: list[int] = field(default_factory=list)
    uncounted: int = 0


def killed(options: argparse.Namespace) -> list[Figure]:
    """SIGKILL at random moments under load, again and again, on SQLite; `--afresh` forgets earlier kills."""
    kept = RESULTS / "cache" / "serve_killed.json"
    found = Killing(**json.loads(kept.read_text())) if kept.exists() and not options.afresh else Killing()
    kept.parent.mkdir(parents=True, exist_ok=True)
    until = min(options.kills, found.kills + options.at_most)
    with tempfile.TemporaryDirectory() as folder:
        project = write_project(Path(folder), serving="audit_share = 0.2")
        key, counted = prepare(project, [fitted(project, "baseline")]), 0
        while found.kills < until:
            counted = _kill_once(project, key, counted, found)
            kept.write_text(json.dumps(asdict(found)))
    said = f"{found.kills} kills, {found.acknowledged} feedbacks and reviews acknowledged"
    worst = f"{sum(found.missing)} lost in all, at most {max(found.missing)} a kill"
    return [
        Figure("acknowledged feedback or reviews lost in kills", found.lost, at_most=0, note=said, unit=" rows"),
        Figure("stores damaged by kills", found.corrupt, at_most=0, unit=" stores"),
        Figure("traces lost in kills and not counted", found.uncounted, at_most=0, note=worst, unit=" traces"),
    ]


def _kill_once(project: Project, key: str, counted: int, found: Killing) -> int:
    """Serve, load, kill, look; returns how many lost traces are counted by then."""
    url = url_of(project.state)
    with _process(project.folder) as (process, port), Asking(port, key, 4, judging=True) as asked:
        time.sleep(random.uniform(0.5, 1.5))
        process.kill()
        process.wait()
    with _process(project.folder) as (_, port):  # this start counts what was lost
        now = int(_get(port, "/readyz")["traces_lost"])
    stored, feedback, answered = (
        set(asyncio.run(_column(url, query)))
        for query in (
            "SELECT id FROM traces",
            "SELECT id FROM feedback",
            "SELECT id FROM reviews WHERE answer IS NOT NULL",
        )
    )
    missing = len(set(asked.traces) - stored)
    found.kills += 1
    found.acknowledged += len(asked.acknowledged) + len(asked.reviewed)
    found.lost += len(set(asked.acknowledged) - feedback) + len(set(asked.reviewed) - answered)
    found.missing.append(missing)
    found.uncounted += max(0, missing - (now - counted))
    found.corrupt += asyncio.run(_column(url, "PRAGMA quick_check")) != ["ok"]
    note(f"kill {found.kills}: {len(asked.traces)} answers, {missing} traces lost, {now} counted")
    return now


@contextlib.contextmanager
def _process(folder: Path) -> Any:
    """`tasklift serve` as one process that may be killed."""
    port = free_port()
    command = [sys.executable, "-m", "tasklift", "serve", "-p", str(folder), "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 60
        while status_of(port, "/readyz") != 200:
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit("the server did not start")
            time.sleep(0.05)
        yield process, port
        if process.poll() is None:
            process.terminate()
            process.wait(40)


def _get(port: int, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    return json.loads(connection.getresponse().read())


def postgres(_: argparse.Namespace) -> list[Figure]:
    """Postgres restarts under load: answers go on, judgements are refused or kept, nothing acknowledged is lost."""
    with tempfile.TemporaryDirectory() as folder, scratch_postgres() as server:
        project, url = write_project(Path(folder)), server.new_database()
        key = prepare(project, [fitted(project, "baseline")], url)
        with served(project, "--database", url) as ours:
            with Asking(ours.port, key, 4, judging=True) as asked:
                time.sleep(2)
                server.stop()
                server.start()
                time.sleep(4)
            time.sleep(2)
        stored = set(asyncio.run(_column(url, "SELECT id FROM traces")))
        feedback = set(asyncio.run(_column(url, "SELECT id FROM feedback")))
    failed = sum(status != 200 for _, status, _ in asked.answers)
    wrong = sum(status not in (503, 0) for status in asked.refused)
    lost = len(set(asked.acknowledged) - feedback)
    said = f"{len(asked.acknowledged)} acknowledged, {len(asked.refused)} refused with 503"
    return [
        Figure(
            "answers that failed while Postgres restarted", failed, note=f"of {len(asked.answers)}", unit=" requests"
        ),
        Figure("acknowledged feedback lost in the restart", lost, at_most=0, note=said, unit=" rows"),
        Figure("feedback refused in another way than 503", wrong, at_most=0, unit=" requests"),
        Figure("traces lost in the restart", len(set(asked.traces) - stored), at_most=0, unit=" traces"),
    ]


def slow(options: argparse.Namespace) -> list[Figure]:
    """Clients that send half a head and wait, and ordinary ones beside them."""
    with tempfile.TemporaryDirectory() as folder:
        project = write_project(Path(folder))
        key = prepare(project, [fitted(project, "baseline")])
        with served(project) as ours, contextlib.ExitStack() as stack:
            held = []
            for _ in range(options.slow):
                one = stack.enter_context(socket.create_connection(("127.0.0.1", ours.port), timeout=20))
                one.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-")
                held.append(one)
            with Asking(ours.port, key, 4) as asked:
                time.sleep(4)
            took = seconds_each(asked)
            time.sleep(8)
            left = sum(not _is_closed(one) for one in held)
            memory = ours.memory_mb
    failed = sum(status != 200 for _, status, _ in asked.answers)
    said = (
        f"{len(asked.answers)} answered beside {options.slow} slow clients, {took * 1000:.0f} ms each, {memory:.0f} MB"
    )
    return [
        Figure(
            f"requests that failed beside {options.slow} slow clients", failed, at_most=0, note=said, unit=" requests"
        ),
        Figure("slow clients not let go after 10 s", left, at_most=0, unit=" clients"),
    ]


def seconds_each(asked: Asking) -> float:
    """Seconds an answer, of each of the four callers."""
    times = [at for at, _, _ in asked.answers]
    return 4 * (times[-1] - times[0]) / max(1, len(times) - 1)


def _is_closed(one: socket.socket) -> bool:
    one.setblocking(False)
    try:
        return one.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
