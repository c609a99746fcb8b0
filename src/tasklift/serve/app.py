"""The application of one worker: what it holds while it runs, and which handler gets a request."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from tasklift.errors import TaskliftError
from tasklift.jobs.erase import Erasing
from tasklift.operate.guard import Guard
from tasklift.operate.ledger import Ledger
from tasklift.operate.load import load_for_production, promised_risk
from tasklift.operate.release import Releases
from tasklift.operate.route import Load, Router
from tasklift.operate.service import Served, Service
from tasklift.operate.store import open_store
from tasklift.operate.traffic import WINDOW_S, TraceWriter, count_left_behind
from tasklift.project import Project
from tasklift.serve import native, pages, people
from tasklift.serve.access import Access
from tasklift.serve.http import BODY_TIMEOUT_S, MAX_BODY, ApiError, Receive, Scope, Send, send_error, to_api_error
from tasklift.serve.metrics import ServeMetrics
from tasklift.serve.openai import Chat
from tasklift.serve.openapi import document
from tasklift.serve.prices import price_of
from tasklift.serve.settings import ServeSettings
from tasklift.strategies.artifact import read_card
from tasklift.strategy import Candidate
from tasklift_platform.keys import KeyRing
from tasklift_platform.rates import Rates
from tasklift_platform.watch import Watch
from tasklift_platform.web.drain import Drain
from tasklift_platform.web.limits import RequestLimits
from tasklift_platform.web.problems import Problem
from tasklift_platform.web.shell import Shell, ShellOptions

CHAT = "/v1/chat/completions"
_log = logging.getLogger(__name__)


class Worker:
    """The whole ASGI application. The hot route goes straight to its handler, everything else through the
    platform's shell to FastAPI."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._chat: Chat | None = None
        self._metrics = ServeMetrics.of_this_process()
        self.api = FastAPI(title="Tasklift", version="1", lifespan=self._lifespan, docs_url=None, redoc_url=None)
        self.api.include_router(native.router)
        self.api.include_router(pages.router)
        self.api.include_router(people.router)
        self.api.openapi = lambda: document(self.api)  # type: ignore[method-assign]
        for kind in (ApiError, TaskliftError, HTTPException, RequestValidationError):
            self.api.add_exception_handler(kind, _answer_error)
        limits = RequestLimits(MAX_BODY, BODY_TIMEOUT_S)
        shell = ShellOptions(limits, render=_render, observe=self._metrics.http)
        self._drain = Drain()
        self._rest = Shell(self.api, self._drain, shell)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] != CHAT or self._chat is None:
            await self._rest(scope, receive, send)
        elif scope["method"] == "POST":
            await self._hot(self._chat, scope, receive, send)
        else:
            await send_error(send, ApiError(405, "send a POST", "method_not_allowed", more={"allow": "POST"}))

    async def _hot(self, chat: Chat, scope: Scope, receive: Receive, send: Send) -> None:
        """One chat completion; an unforeseen failure is logged, and told without its trace."""
        begin, status = time.perf_counter(), 0

        async def noting(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if not status:
                status = message["status"]
            await send(message)

        try:
            await chat(scope, receive, noting)
        except Exception:  # the boundary: the service stays up whatever a request does
            _log.exception("a chat completion failed")
            if status:
                raise
            await send_error(noting, ApiError(500, "the service failed; its log says more", "internal_error"))
        finally:
            self._metrics.chat(status or 499, time.perf_counter() - begin)

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
        api.state.erasing = Erasing(project, database, _settled(writer, settings.workers))
        await router.refresh()
        router.follow(watch)
        writer.start()
        tasks = {name: one.task for name, one in served.items()}
        guard = Guard(database, releases, lambda name: promised_risk(settings.state, name), tasks)
        guard.start()
        api.state.metrics = self._metrics
        watching = asyncio.create_task(self._metrics.keep_up(service))
        finishing = asyncio.create_task(api.state.erasing.keep_finishing())
        self._chat = Chat(service, api.state.access)
        try:
            yield
        finally:
            self._drain.begin()
            watching.cancel()
            finishing.cancel()
            await guard.aclose()
            await service.aclose()
            await watch.aclose()
            await database.aclose()


def _loader(settings: ServeSettings, project: Project) -> Load:
    def load(task: str, fingerprint: str) -> Candidate:
        found = project.tasks.get(task)
        limits = {str(stage): s for stage, s in found.serving.stage_timeouts_s.items()} if found else {}
        return load_for_production(settings.state, fingerprint, limits)

    return load


def _settled(writer: TraceWriter, workers: int) -> Callable[[], Awaitable[None]]:
    """Returns when the traces of earlier answers are written: by this worker now, by others within their window."""

    async def settle() -> None:
        await writer.flush()
        if workers > 1:
            await asyncio.sleep(2 * WINDOW_S)

    return settle


def create() -> Worker:
    """For uvicorn's `factory=True`: a worker with the settings of its environment."""
    return Worker(ServeSettings.from_environment())


async def _answer_error(request: Request, error: Exception) -> Response:
    found = _response(to_api_error(error))
    if found.status_code == 405:  # the framework names the methods of the first route that has this path
        routes = [route for route in request.app.routes if route.matches(request.scope)[0] != Match.NONE]
        allowed = {method for route in routes for method in getattr(route, "methods", None) or ()}
        found.headers["allow"] = ", ".join(sorted(allowed))
    return found


def _render(_: Scope, problem: Problem) -> Response:
    """What the shell has to say, in the form of every other error here."""
    found = _response(ApiError(problem.status, problem.message, problem.code))
    found.headers.update(problem.headers)
    return found


def _response(error: ApiError) -> Response:
    return JSONResponse(error.body(), error.status, error.headers())
