"""Runs an ASGI application on a free port of this machine, beside the caller."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import uvicorn
from starlette.types import ASGIApp


@contextlib.asynccontextmanager
async def running(app: ASGIApp, *, lifespan: bool = False) -> AsyncIterator[str]:
    """`async with running(app) as url`."""
    config = uvicorn.Config(
        app,
        "127.0.0.1",
        0,
        log_config=None,
        lifespan="on" if lifespan else "off",
        timeout_graceful_shutdown=2,
        access_log=False,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    if serving.done():
        await serving
        raise RuntimeError("the server did not start")
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
