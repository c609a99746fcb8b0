from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI

from tasklift.errors import ConfigError
from tasklift_platform.metrics import HttpMetrics, Metrics
from tasklift_platform.web.drain import Drain
from tasklift_platform.web.shell import Shell, ShellOptions


async def test_requests_are_counted_by_route_and_status_and_never_by_path() -> None:
    metrics, app = Metrics(), FastAPI(openapi_url=None)

    @app.get("/tasks/{task}")
    async def show(task: str) -> str:
        return task

    shell = Shell(app, Drain(), ShellOptions(observe=HttpMetrics(metrics)))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(shell), base_url="http://x") as client:
        for path in ("/tasks/a", "/tasks/b", "/guessed/1", "/guessed/2"):
            await client.get(path)
        await client.request("EVIL123", "/tasks/a")
    page, kind = metrics.render()
    text = page.decode()
    assert kind.startswith("text/plain")
    assert 'tasklift_http_requests_total{method="GET",route="/tasks/{task}",status="200"} 2.0' in text
    assert 'tasklift_http_requests_total{method="GET",route="unmatched",status="404"} 2.0' in text
    assert "guessed" not in text
    assert "EVIL" not in text


def test_two_registries_of_one_process_do_not_meet() -> None:
    first, second = Metrics(), Metrics()
    first.counter("things_total", "Things.").inc()
    second.counter("things_total", "Things.").inc(5)
    assert b"things_total 1.0" in first.render()[0]
    assert b"things_total 5.0" in second.render()[0]


def test_workers_are_added_up_and_those_that_are_gone_stay_counted(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import os, pathlib, sys
        from tasklift_platform.metrics import Metrics
        metrics = Metrics(pathlib.Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
        metrics.counter("things_total", "Things.", ["kind"]).labels("a").inc(int(sys.argv[1]))
        metrics.histogram("took_seconds", "Took.").observe(0.02)
        metrics.gauge("open_things", "Open.").set(int(sys.argv[1]))
        if sys.argv[2]:
            metrics.worker_gone(int(sys.argv[2]))
        print(os.getpid(), metrics.render()[0].decode())
    """)
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}

    def worker(count: int, gone: str = "") -> tuple[str, str]:
        command = [sys.executable, "-c", script, str(count), gone]
        pid, _, page = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.partition(
            " "
        )
        return pid, page

    pid, _ = worker(3)
    _, page = worker(4, gone=pid)
    assert 'things_total{kind="a"} 7.0' in page
    assert "took_seconds_count 2.0" in page
    assert "open_things 4.0" in page


def test_a_folder_that_the_library_does_not_know_of_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="PROMETHEUS_MULTIPROC_DIR"):
        Metrics(tmp_path)
