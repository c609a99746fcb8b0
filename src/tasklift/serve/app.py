"""The application of one worker: what it holds while it runs, and which handler gets a request."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from tasklift.errors import TaskliftError
from tasklift.operate.guard import Guard
from tasklift.operate.ledger import Ledger
from tasklift.operate.load import load_for_production, promised_risk
from tasklift.operate.release import Releases
from tasklift.operate.route import Load, Router
from tasklift.operate.service import Served, Service
from tasklift.operate.store import open_store
from tasklift.operate.traffic import TraceWriter, count_left_behind
from tasklift.project import Project
from tasklift.serve import native, pages
from tasklift.serve.access import Access
from tasklift.serve.http import ApiError, Receive, Scope, Send, api_error, read_body, send_error
from tasklift.serve.openai import Chat
from tasklift.serve.openapi import document
from tasklift.serve.prices import price_of
from tasklift.serve.settings import ServeSettings
from tasklift.strategies.artifact import read_card
from tasklift.strategy import Candidate
from tasklift_platform.keys import KeyRing
from tasklift_platform.rates import Rates
from tasklift_platform.watch import Watch

CHAT = "/v1/chat/completions"
_log = logging.getLogger(__name__)


class Worker:
    """The whole ASGI application. The hot route goes straight to its handler, everything else to FastAPI."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._chat: Chat | None = None
        self.api = FastAPI(
            title="Tasklift",
            version="1",
            lifespan=self._lifespan,
            docs_url=None,
            redoc_url=None,
            openapi_url="/openapi.json",
        )
        self.api.include_router(native.router)
        self.api.include_router(pages.router)
        self.api.openapi = lambda: document(self.api)  # type: ignore[method-assign]
        for kind, handler in (
            (ApiError, _api),
            (TaskliftError, _ours),
            (HTTPException, _http),
            (RequestValidationError, _invalid),
        ):
            self.api.add_exception_handler(kind, handler)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; an unforeseen failure is logged, and told without its trace."""
        if scope["type"] != "http":
            return await self.api(scope, receive, send)
        begun = False

        async def noting(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            if scope["path"] == CHAT and scope["method"] == "POST" and self._chat is not None:
                await self._chat(scope, receive, noting)
            else:
                await self._other(scope, receive, noting)
        except ApiError as error:
            await send_error(send, error)
        except Exception:  # the outermost place: the service stays up whatever a request does
            _log.exception("a request to %s failed", scope["path"])
            if begun:
                raise
            await send_error(send, ApiError(500, "the service failed; its log says more", "internal_error"))

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        body: bytes | None = (
            await read_body(scope["headers"], receive) if scope["method"] in ("POST", "PUT", "PATCH") else b""
        )

        async def replay() -> MutableMapping[str, Any]:
            nonlocal body
            if body is None:
                return await receive()
            message = {"type": "http.request", "body": body, "more_body": False}
            body = None
            return message

        await self.api(scope, replay, send)

    @asynccontextmanager
    async def _lifespan(self, api: FastAPI) -> AsyncIterator[None]:
        settings = self._settings
        project = Project.open(Path(settings.project))
        served = {name: Served(task.task, task.serving) for name, task in project.tasks.items()}
        database = await open_store(settings.url)
        watch = Watch(database)
        ledgers = settings.state / "workers"
        await count_left_behind(database, ledgers)
        writer = TraceWriter(database, Ledger(ledgers))
        releases = Releases(database, lambda name: read_card(settings.state / "artifacts" / name))
        router = Router(releases, _loader(settings, project))
        service = Service(served, router, writer, database, lambda name, candidate: price_of(project, name, candidate))
        keys = None if settings.is_open else KeyRing(database, watch, Rates(settings.workers))
        api.state.access, api.state.service = Access(keys), service
        await router.refresh()
        router.follow(watch)
        writer.start()
        guard = Guard(database, releases, lambda name: promised_risk(settings.state, name), tuple(served))
        guard.start()
        self._chat = Chat(service, api.state.access)
        try:
            yield
        finally:
            await guard.aclose()
            await service.aclose()
            await watch.aclose()
            await database.aclose()


def _loader(settings: ServeSettings, project: Project) -> Load:
    def load(task: str, fingerprint: str) -> Candidate:
        found = project.tasks.get(task)
        limits = dict(found.serving.stage_timeouts_s) if found else {}
        return load_for_production(settings.state, fingerprint, limits)

    return load


def create() -> Worker:
    """For uvicorn's `factory=True`: a worker with the settings of its environment."""
    return Worker(ServeSettings.from_environment())


def _response(error: ApiError) -> Response:
    return JSONResponse(error.body(), error.status, error.headers())


async def _api(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return _response(error)


async def _ours(_: Request, error: Exception) -> Response:
    assert isinstance(error, TaskliftError)
    return _response(api_error(error))


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code)
    found = _response(ApiError(error.status_code, str(error.detail), code))
    found.headers.update(error.headers or {})
    return found


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    said = "the body of the request is not valid JSON" if first["type"] == "json_invalid" else first["msg"]
    return _response(ApiError(400, f"{where}: {said}" if where else said, "invalid_value", where or None))
