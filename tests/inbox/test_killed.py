"""A server that is killed at any moment loses nothing that it has acknowledged, and doubles nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from inbox.conftest import KEY
from inbox.support import add, says, texts

from tasklift_inbox.normalise import Normaliser
from tasklift_inbox.runtime import Runtime, Settings
from tasklift_inbox.testing import Delivery
from tasklift_platform.database import DatabaseOptions

EVENTS = 150


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.asynccontextmanager
async def served(folder: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    command = [sys.executable, "-m", "tasklift_inbox", "serve", "--state", str(folder), "--port", str(port)]
    env = {**os.environ, "TASKLIFT_SECRET_KEY": KEY}
    process = await asyncio.create_subprocess_exec(*command, env=env, stderr=asyncio.subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def ready(port: int) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(300):
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"http://127.0.0.1:{port}/readyz") as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.1)
    raise AssertionError("the server did not start")


async def test_sigkill_while_events_come_in(tmp_path: Path) -> None:
    settings, port = Settings(tmp_path, "", KEY, options=DatabaseOptions(synchronous="normal")), free_port()
    runtime = await Runtime.open(settings)
    await add(runtime, "simulated")
    await runtime.aclose()
    events = [says((f"p{n % 5}", str(n), f"text {n}", float(n))) for n in range(EVENTS)]
    hook = Delivery(f"http://127.0.0.1:{port}/hooks/simulated", "s", repeats=2, within=20, tries=400)
    async with served(tmp_path, port) as first:
        await ready(port)
        delivering = asyncio.create_task(hook.deliver(events, at_once=4))
        await asyncio.sleep(0.3)
        first.send_signal(signal.SIGKILL)
        await first.wait()
    async with served(tmp_path, port) as second:
        await ready(port)
        statuses = await delivering
        assert set(statuses) == {200}
        second.send_signal(signal.SIGTERM)
        assert await second.wait() == 0  # what is under way is finished first
    runtime = await Runtime.open(settings)
    await Normaliser(runtime).drain()  # the killed one's lease runs out first
    found = await texts(runtime)
    assert found == {f"p{k}": [f"text {n}" for n in range(k, EVENTS, 5)] for k in range(5)}
    await runtime.aclose()
