"""Serves an inbox until it is told to stop; what is under way is finished."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from tasklift_inbox.app import Inbox
from tasklift_inbox.runtime import Runtime, Settings
from tasklift_platform.logs import configure_logs
from tasklift_platform.web.drain import DrainingServer
from tasklift_platform.web.slow import with_head_timeout

_GRACE_S = 20


def serve(settings: Settings, host: str, port: int, *, works: bool) -> None:
    """The web application, and the background work unless `works` is False."""
    configure_logs(sys.stderr)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    asyncio.run(_open_once(settings))
    inbox = Inbox(settings, works=works)
    config = uvicorn.Config(
        inbox.asgi,
        host=host,
        port=port,
        http=with_head_timeout(H11Protocol, 10.0),
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
        limit_concurrency=2000,
    )
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises it again when it is done: no reason to fail
        signal.signal(number, lambda *_: None)
    print(f"tasklift-inbox: http://{host}:{port}", file=sys.stderr)
    DrainingServer(config, inbox.drain).run()


async def _open_once(settings: Settings) -> None:
    """What is wrong with the settings is said as a user's error, before a server starts."""
    await (await Runtime.open(settings)).aclose()
