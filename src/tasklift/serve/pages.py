"""Models, health, metrics: what machines ask beside the work itself."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from tasklift.operate.traffic import lost_traces
from tasklift.serve.native import Key, TaskName, TheDatabase, TheService, error_responses
from tasklift.serve.openai import unknown_model

router = APIRouter()


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "tasklift"}


@router.get("/v1/models", responses=error_responses(401, 429, 503))
async def models(key: Key, service: TheService) -> dict[str, Any]:
    """The tasks that this key may ask."""
    return {"object": "list", "data": [_model(name) for name in service.served if key.allows(f"predict:{name}")]}


@router.get("/v1/models/{model}", responses=error_responses(400, 401, 404, 429, 503))
async def model(model: TaskName, key: Key, service: TheService) -> dict[str, Any]:
    """One task."""
    if model not in service.served or not key.allows(f"predict:{model}"):
        raise unknown_model(model, service)
    return _model(model)


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process runs."""
    return {"status": "ok"}


@router.get("/readyz", responses=error_responses(503))
async def readyz(service: TheService, database: TheDatabase) -> JSONResponse:
    """The database answers; which release each task follows, and why a newer one is refused."""
    lost = await lost_traces(database)
    tasks = {
        name: {
            "release": live.version if (live := service.router.live.get(name)) else None,
            "refused": live.refused if live else "",
        }
        for name in service.served
    }
    return JSONResponse(
        {"status": "ready", "tasks": tasks, "traces_waiting": service.writer.waiting, "traces_lost": lost}
    )


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}, **error_responses(401, 403, 429, 503)},
)
async def metrics(request: Request, key: Key, service: TheService) -> Response:
    """Figures of all workers for Prometheus."""
    key.require("operate")
    request.app.state.metrics.note(service)
    page, kind = request.app.state.metrics.render()
    return Response(page, media_type=kind)
