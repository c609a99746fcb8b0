"""The server as operators run it, in processes of its own: rollback under load, a clean end, a kill."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tasklift.operate.release import Releases
from tasklift.operate.store import open_store
from tasklift.serve.protocol import HEAD_TIMEOUT_S
from tasklift_platform.scratch import postgres_programs, scratch_postgres


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def serving(folder: Path, port: int, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """`tasklift serve`, until the block ends."""
    command = [sys.executable, "-m", "tasklift", "serve", "-p", str(folder), "--port", str(port), "--open", *more]
    with subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
        try:
            end = time.monotonic() + 60
            while send(port, "GET", "/readyz")[0] != 200:
                assert process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.1)
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(30)


def send(port: int, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Status and JSON; (0, None) where the connection failed."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        raw = None if body is None else json.dumps(body)
        connection.request(method, path, raw, {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    except (OSError, http.client.HTTPException):
        return 0, None
    finally:
        connection.close()


class Load:
    """Threads that ask, and give feedback for each answer; what came back, and when."""

    def __init__(self, port: int, threads: int = 4) -> None:
        self.answers: list[tuple[float, int, int, str]] = []  # when, status, release, trace
        self.acknowledged: list[str] = []
        self._port, self._stop = port, threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(threads)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, n: int) -> None:
        while not self._stop.is_set():
            body = {"input": {"text": "a frog"}, "caller": str(n)}
            status, found = send(self._port, "POST", "/v1/tasks/colours/predict", body)
            release, trace = (found["release"], found["trace"]) if status == 200 else (0, "")
            self.answers.append((time.monotonic(), status, release, trace))
            if len(self.answers) % 5 == 0 and trace:
                status, found = send(self._port, "POST", "/v1/feedback", {"trace": trace, "label": "green"})
                if status == 201:
                    self.acknowledged.append(found["id"])


def column(url: str, table: str) -> set[str]:
    """Every id in a table."""

    async def run() -> set[str]:
        database = await open_store(url)
        try:
            async with database.read() as connection:
                return set((await connection.execute(sa.text(f"SELECT id FROM {table}"))).scalars())
        finally:
            await database.aclose()

    return asyncio.run(run())


async def roll_back(url: str) -> None:
    database = await open_store(url)
    try:
        await Releases(database, lambda _: None).rollback("colours", "me")
    finally:
        await database.aclose()


@pytest.mark.slow
def test_a_rollback_under_load_loses_no_request_and_is_followed_by_every_worker(new_project: Any) -> None:
    if postgres_programs() is None:
        pytest.skip("no postgres is installed")
    with scratch_postgres() as postgres:
        project, port, url = new_project(), free_port(), postgres.new_database()
        arms = [project.fit("baseline"), project.fit("majority")]
        for arm in arms:
            project.release(arm, database=url)
        with serving(project.folder, port, "--workers", "2", "--database", url) as process:
            with Load(port) as load:
                time.sleep(1.0)
                asyncio.run(roll_back(url))
                done = time.monotonic()
                time.sleep(1.5)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        assert {status for _, status, _, _ in load.answers} == {200}
        assert {release for _, _, release, _ in load.answers} == {1, 2}
        assert max(at for at, _, release, _ in load.answers if release == 2) <= done + 1.0
        assert {trace for *_, trace in load.answers} == column(url, "traces")
        assert set(load.acknowledged) <= column(url, "feedback")


@pytest.mark.slow
def test_a_kill_loses_no_acknowledged_feedback_and_counts_the_traces_it_took(new_project: Any) -> None:
    project, port = new_project(), free_port()
    project.release(project.fit("baseline"))
    with serving(project.folder, port) as process, Load(port) as load:
        time.sleep(1.0)
        process.kill()
        process.wait()
    answered = {trace for _, status, _, trace in load.answers if status == 200}
    with serving(project.folder, port):
        lost = send(port, "GET", "/readyz")[1]["traces_lost"]
    missing = answered - column(project.settings.url, "traces")
    assert set(load.acknowledged) <= column(project.settings.url, "feedback")
    assert len(load.acknowledged) > 0
    assert len(missing) <= lost <= len(missing) + 4  # of each thread, one answer may have been under way


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="prlimit is missing: Linux only")
def test_a_full_disk_and_slow_clients_stop_no_answer_and_what_is_acknowledged_is_stored(new_project: Any) -> None:
    project, port = new_project(), free_port()
    project.release(project.fit("baseline"))
    asked = {"input": {"text": "a frog"}}
    with serving(project.folder, port) as process, contextlib.ExitStack() as stack:
        begun = time.monotonic()
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(300)]
        for one in slow:
            one.sendall(b"POST /v1/feedback HTTP/1.1\r\nhost: x\r\ncont")  # and no more
        _, first = send(port, "POST", "/v1/tasks/colours/predict", asked)
        given = {"trace": first["trace"], "label": "green"}
        assert send(port, "POST", "/v1/feedback", given)[0] == 201

        longest = max(path.stat().st_size for path in project.settings.state.glob("traffic.db*"))
        before = resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (longest, resource.RLIM_INFINITY))
        until(lambda: send(port, "POST", "/v1/feedback", given)[0] != 201)
        status, refused = send(port, "POST", "/v1/feedback", given)
        assert (status, set(refused["error"])) == (503, {"message", "type", "param", "code"})
        assert "Traceback" not in str(refused)
        answers = [send(port, "POST", "/v1/tasks/colours/predict", asked) for _ in range(20)]
        assert {status for status, _ in answers} == {200}
        assert send(port, "GET", "/healthz")[0] == 200

        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, before)
        assert send(port, "POST", "/v1/feedback", given)[0] == 201
        traces = {answer["trace"] for _, answer in answers}
        until(lambda: traces <= column(project.settings.url, "traces"))
        time.sleep(max(0.0, HEAD_TIMEOUT_S + 1 - (time.monotonic() - begun)))
        assert all(one.recv(1) == b"" for one in slow)  # hung up on


def until(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
