"""The web application: webhooks of providers, and the REST API for programs of one's own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp

from tasklift_inbox import deletion
from tasklift_inbox.api import Access, attachment_response, router
from tasklift_inbox.media import opened_file
from tasklift_inbox.receive import Receiver
from tasklift_inbox.runtime import Runtime, Settings
from tasklift_inbox.worker import Worker
from tasklift_platform.errors import DatabaseError
from tasklift_platform.keys import KeyRing
from tasklift_platform.metrics import HttpMetrics, Metrics
from tasklift_platform.web.drain import Drain
from tasklift_platform.web.limits import RequestLimits
from tasklift_platform.web.problems import RequestError, exception_handlers
from tasklift_platform.web.shell import Shell, ShellOptions

#: Meta's batches stay below 3 MB; an answer to the API may bring an attachment.
LONGEST_HOOK_BYTES = 4 * 2**20
LONGEST_BODY_BYTES = 64 * 2**20


class Inbox:
    """One process of an inbox: web application and, unless `works` is False, its background work."""

    def __init__(self, settings: Settings, *, works: bool = True) -> None:
        self._settings, self._works = settings, works
        self.drain, self.metrics = Drain(), Metrics()
        limits = RequestLimits(body_bytes=LONGEST_BODY_BYTES, body_timeout_s=30)
        app = FastAPI(
            title="Tasklift Inbox", lifespan=self._lifespan, exception_handlers=exception_handlers(), redoc_url=None
        )
        app.add_route("/hooks/{name}", self._hook, methods=["GET", "POST"])
        app.add_route("/meta/data-deletion/{name}", self._forget, methods=["POST"])
        app.add_route("/meta/deletions/{code}", self._deletion, methods=["GET"])
        app.add_route("/files/{token}", self._file, methods=["GET"])
        app.add_route("/healthz", self._alive, methods=["GET"])
        app.add_route("/readyz", self._ready, methods=["GET"])
        app.add_route("/metrics", self._figures, methods=["GET"])
        app.include_router(router)
        self._app = app
        self.asgi: ASGIApp = Shell(app, self.drain, ShellOptions(limits=limits, observe=HttpMetrics(self.metrics)))
        self.runtime: Runtime
        self.receiver: Receiver
        self._working: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        self.runtime = await Runtime.open(self._settings)
        self.receiver = Receiver(self.runtime.database)
        app.state.runtime = self.runtime
        app.state.access = Access(KeyRing(self.runtime.database, self.runtime.watch))
        stop = asyncio.Event()
        worker = Worker(self.runtime, self.receiver.arrived)
        working = self._working = asyncio.create_task(worker.run(stop)) if self._works else None
        try:
            yield
        finally:
            await self.receiver.aclose()
            stop.set()
            if working is not None:
                await working
            await self.runtime.aclose()

    async def _hook(self, request: Request) -> Response:
        """A provider calls: verified on the raw bytes, stored, then answered."""
        await self.runtime.refresh()
        channel = self.runtime.channel(request.path_params["name"])
        if request.method == "GET":
            challenge = channel.handshake(request.query_params)
            if challenge is None:
                raise RequestError(403, "bad_token", "the verify token does not match")
            return PlainTextResponse(challenge)
        body = await _body(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        channel.verify(headers, body)
        await self.receiver.accept(channel.config.id, channel.dedupe_key(body), headers, body)
        return PlainTextResponse("ok")

    async def _forget(self, request: Request) -> Response:
        """Meta says that a person asks to be forgotten."""
        await self.runtime.refresh()
        channel = self.runtime.channel(request.path_params["name"])
        return JSONResponse(await deletion.forget(self.runtime, channel, await _body(request)))

    async def _deletion(self, request: Request) -> Response:
        """The person looks whether it is done."""
        found = await deletion.progress(self.runtime, request.path_params["code"])
        if found is None:
            raise RequestError(404, "not_found", "there is no such confirmation code")
        return JSONResponse(found)

    async def _file(self, request: Request) -> Response:
        """A provider fetches what we send: by a signed address that is good for an hour."""
        number = opened_file(self.runtime.tools.signing_key, request.path_params["token"])
        return await attachment_response(self.runtime, number)

    async def _alive(self, _: Request) -> Response:
        if self._working is not None and self._working.done():  # a mistake of ours: somebody has to start it again
            return JSONResponse({"status": "the background work has stopped; the log says why"}, 503)
        return JSONResponse({"status": "ok"})

    async def _ready(self, _: Request) -> Response:
        if self.drain.begun:
            return JSONResponse({"status": "going down"}, 503)
        try:
            await self.runtime.database.now_s()
        except DatabaseError as error:
            return JSONResponse({"status": error.public}, 503)
        return JSONResponse({"status": "ok"})

    async def _figures(self, _: Request) -> Response:
        body, kind = self.metrics.render()
        return Response(body, media_type=kind)


async def _body(request: Request) -> bytes:
    """No more than a webhook may have, whatever length was announced.

    Raises:
        RequestError: 413.
    """
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > LONGEST_HOOK_BYTES:
            text = f"the event is longer than {LONGEST_HOOK_BYTES} bytes"
            raise RequestError(413, "request_too_large", text, {"Connection": "close"})
        chunks.append(chunk)
    return b"".join(chunks)
