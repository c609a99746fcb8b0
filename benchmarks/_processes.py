"""Processes of a benchmark of servers: started, waited for, measured, ended."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass(frozen=True)
class Running:
    """A server in its own process."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def cpu_s(self) -> float:
        """CPU seconds so far, of the process and all below it."""
        ticks = 0
        for pid in self._pids():
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / _TICKS

    @property
    def memory_mb(self) -> float:
        """Memory of the process and all below it, each shared page counted once (proportional set size)."""
        kib = 0
        for pid in self._pids():
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
            kib += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return kib / 1024

    def _pids(self) -> list[int]:
        found = [self.process.pid]
        for pid in found:  # grows while it is walked
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                found += [int(child) for child in task.read_text(encoding="utf-8").split()]
        return found


@contextlib.contextmanager
def running(command: Sequence[str], port: int, path: str = "/", **env: str) -> Iterator[Running]:
    """The server, until the block ends; waits until it answers at `path` with anything but 503."""
    quiet, environment = subprocess.DEVNULL, {**os.environ, **env}
    with subprocess.Popen(list(command), env=environment, stdout=quiet, start_new_session=True) as process:
        try:
            end = time.monotonic() + 120
            while status_of(port, path) in (0, 503):
                if process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"{' '.join(command)} did not start")
                time.sleep(0.1)
            yield Running(port, process)
        finally:
            with contextlib.suppress(ProcessLookupError):  # a launcher's children too
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(40)


def status_of(port: int, path: str) -> int:
    """Status of a GET; 0 where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


@contextlib.contextmanager
def mock_endpoint(delay_ms: float, label: str) -> Iterator[Running]:
    """The endpoint that costs next to nothing."""
    port = free_port()
    command = [sys.executable, str(HERE / "_mock_endpoint.py"), str(port), str(delay_ms), label]
    with running(command, port) as found:
        yield found


def load(port: int, path: str, body: dict[str, Any], headers: dict[str, str], **rest: float) -> dict[str, Any]:
    """Run the load generator in its own process."""
    job = {"port": port, "path": path, "body": json.dumps(body), "headers": headers, **rest}
    done = subprocess.run(
        [sys.executable, str(HERE / "_load.py"), json.dumps(job)], check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found
