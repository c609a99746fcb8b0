"""The least that a gateway can be: FastAPI in front of an endpoint, aiohttp behind it, traces in a thread.

python _bare_gateway.py PORT UPSTREAM_URL
"""

from __future__ import annotations

import queue
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import Response

_TRACES: queue.SimpleQueue[tuple[float, str, str]] = queue.SimpleQueue()


def write_traces(path: str) -> None:
    """Everything that waits, five times a second."""
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE traces (at REAL, asked TEXT, answered TEXT)")
    while True:
        time.sleep(0.2)
        rows = [_TRACES.get() for _ in range(_TRACES.qsize())]
        with database:
            database.executemany("INSERT INTO traces VALUES (?, ?, ?)", rows)


def application(upstream: str) -> FastAPI:
    """The gateway."""
    state: dict[str, Any] = {}

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        state["session"] = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        yield
        await state["session"].close()

    app = FastAPI(lifespan=lifespan)

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        body = await request.json()
        async with state["session"].post(f"{upstream}/chat/completions", json=body) as answer:
            raw = await answer.read()
        _TRACES.put((time.time(), str(body), raw.decode()))
        return Response(raw, media_type="application/json")

    return app


if __name__ == "__main__":
    threading.Thread(target=write_traces, args=(f"{tempfile.mkdtemp()}/traces.db",), daemon=True).start()
    uvicorn.run(application(sys.argv[2]), port=int(sys.argv[1]), access_log=False, log_level="warning")
