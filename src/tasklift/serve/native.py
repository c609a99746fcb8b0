"""The native API: predict (one or many), feedback, reviews."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from tasklift.operate import review as reviewing
from tasklift.operate.answers import storable
from tasklift.operate.people import person_key
from tasklift.operate.service import Answered, Asked, Service
from tasklift.operate.traffic import WINDOW_S, is_recent
from tasklift.serve.http import ApiError, failure_error
from tasklift.serve.openai import answer_headers, clean
from tasklift_platform.database import Database
from tasklift_platform.keys import ApiKey

#: Rows in one request.
MOST_ROWS = 1000
Name = Annotated[str, Field(max_length=200)]
#: What a person writes: an answer of any kind, a comment.
Words = Annotated[str, Field(max_length=5000)]
_ERRORS: dict[int | str, dict[str, Any]] = {}


class ErrorDetail(BaseModel):
    """What went wrong, in the form that OpenAI's clients know."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(BaseModel):
    """Every error has this body."""

    error: ErrorDetail


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PredictBody(_Strict):
    """One input, or many."""

    input: dict[str, str] | None = None
    inputs: Annotated[list[dict[str, str]], Field(min_length=1, max_length=MOST_ROWS)] | None = None
    caller: Name | None = None
    subject: Name | None = None
    overlay: Name = ""


class FeedbackBody(_Strict):
    """What is known about one answer."""

    trace: Annotated[str, Field(min_length=1, max_length=100)]
    label: Words | None = None
    score: Annotated[float, Field(ge=0, le=1)] | None = None
    comment: Words | None = None


class AnswerBody(_Strict):
    """A person's answer."""

    answer: Words


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI page: these statuses have the usual body."""
    return {status: {"model": ErrorBody} for status in statuses}


async def key_of(request: Request) -> ApiKey:
    """The caller's key."""
    header = request.headers.get("authorization", "")
    presented = header[7:].strip() if header[:7].lower() == "bearer " else None
    key: ApiKey = await request.app.state.access.check(presented)
    return key


def service_of(request: Request) -> Service:
    """The service of this worker."""
    found: Service = request.app.state.service
    return found


def database_of(request: Request) -> Database:
    """The database of this worker."""
    return service_of(request).database


Key = Annotated[ApiKey, Depends(key_of)]
TheService = Annotated[Service, Depends(service_of)]
TheDatabase = Annotated[Database, Depends(database_of)]
TaskName = Annotated[str, Path(max_length=200)]

router = APIRouter()


@router.post(
    "/v1/tasks/{task}/predict",
    responses={
        202: {"description": "A person will answer"},
        **error_responses(400, 401, 403, 404, 408, 413, 429, 502, 503, 504),
    },
)
async def predict(task: TaskName, body: PredictBody, key: Key, service: TheService) -> JSONResponse:
    """Answer one input (`input`) or many (`inputs`). 202: a person has to answer; `review` says where to look."""
    begin = time.perf_counter()
    key.require(f"predict:{task}")
    if task not in service.served:
        raise ApiError(
            404, f"no task is called {clean(task)[:80]!r}; there are: {', '.join(service.served)}", "not_found"
        )
    if (body.input is None) == (body.inputs is None):
        raise ApiError(400, "give `input` or `inputs`, one of them", "invalid_value", "input")
    values = [body.input] if body.input is not None else body.inputs or []
    caller = person_key(body.caller or "")
    subject = person_key(body.subject or "") or caller
    asked = Asked(caller or key.name, caller, clean(body.overlay), begin, subject)
    answers = await service.answer_all(task, values, asked)
    if body.inputs is not None:
        return JSONResponse({"task": task, "results": [_result(answered) for answered in answers]})
    (answered,) = answers
    if answered.prediction.error is not None:
        raise failure_error(answered.prediction.error)
    headers = {name.decode(): value.decode() for name, value in answer_headers(answered)}
    return JSONResponse({"task": task, **_result(answered)}, 202 if answered.prediction.deferred else 200, headers)


@router.post("/v1/feedback", status_code=201, responses=error_responses(400, 401, 403, 404, 408, 409, 413, 429, 503))
async def feedback(body: FeedbackBody, key: Key, service: TheService, database: TheDatabase) -> dict[str, str]:
    """Say what is known about an answer: the right `label`, a `score`, a `comment`. Stored when this returns."""
    key.require("feedback")
    trace = clean(body.trace)
    task = await _task_of(database, trace)
    if task is None or task not in service.served:
        raise ApiError(404, f"no trace is called {trace!r}", "not_found", "trace")
    comment = None if body.comment is None else storable(body.comment)
    given = reviewing.Feedback(trace, body.label, body.score, comment)
    identity = await reviewing.add_feedback(database, service.served[task].task, given, key.name)
    return {"id": identity, "trace": trace}


@router.get("/v1/reviews", responses=error_responses(400, 401, 403, 429, 503))
async def list_reviews(
    key: Key,
    database: TheDatabase,
    task: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> dict[str, Any]:
    """What people are asked to look at: deferred rows first."""
    key.require("review")
    found = await reviewing.open_reviews(database, None if task is None else clean(task), limit)
    return {"reviews": reviewing.listed(found)}


@router.get("/v1/reviews/{review}", responses=error_responses(400, 401, 403, 404, 429, 503))
async def get_review(review: TaskName, key: Key, database: TheDatabase) -> dict[str, Any]:
    """One review: answered where `answer` is not null."""
    key.require("review")
    return (await reviewing.review_of(database, clean(review))).to_json()


@router.post("/v1/reviews/{review}", responses=error_responses(400, 401, 403, 404, 408, 409, 413, 429, 503))
async def answer_review(
    review: TaskName, body: AnswerBody, key: Key, service: TheService, database: TheDatabase
) -> dict[str, Any]:
    """Answer a review. Stored when this returns."""
    key.require("review")
    found = await reviewing.review_of(database, clean(review))
    if found.task not in service.served:
        raise ApiError(404, f"the task of this review, {found.task!r}, is not served here", "not_found")
    task = service.served[found.task].task
    return (await reviewing.answer_review(database, task, found.id, body.answer, key.name)).to_json()


async def _task_of(database: Database, trace: str) -> str | None:
    """The task of a trace; one that was given out a moment ago may not be written yet."""
    found = await reviewing.task_of_trace(database, trace)
    for _ in range(4):
        if found is not None or not is_recent(trace):
            break
        await asyncio.sleep(WINDOW_S / 2)
        found = await reviewing.task_of_trace(database, trace)
    return found


def _result(answered: Answered) -> dict[str, Any]:
    said = answered.prediction
    return {
        "trace": answered.trace,
        "output": said.output,
        "confidence": said.confidence,
        "scores": dict(said.scores) if said.scores else None,
        "deferred": said.deferred,
        "review": answered.review,
        "error": None if said.error is None else failure_error(said.error).body()["error"],
        "release": answered.arm.arm.version,
        "stage": answered.stage or answered.arm.arm.name,
        "cost_usd": answered.cost_usd,
    }
