"""People: erase one everywhere, show what is held about one, note that one's rows must not be trained on."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from tasklift.jobs.erase import Erasing
from tasklift.operate.people import person_key, set_objection
from tasklift.serve.http import ApiError
from tasklift.serve.native import Key, TaskName, TheDatabase, error_responses
from tasklift_platform.erasure import Certificate

SCOPE = "people"
router = APIRouter()
_ERRORS = error_responses(400, 401, 403, 408, 413, 429, 503)


class PersonBody(BaseModel):
    """Who."""

    model_config = ConfigDict(extra="forbid")
    subject: Annotated[str, Field(min_length=1, max_length=5000)]


class ObjectionBody(PersonBody):
    """Whether their rows must not be trained on."""

    do_not_train: StrictBool = True


def erasing_of(request: Request) -> Erasing:
    """The stores of this worker's project."""
    found: Erasing = request.app.state.erasing
    return found


TheErasing = Annotated[Erasing, Depends(erasing_of)]


@router.post("/v1/people/erase", responses={202: {"description": "Some stores are still open"}, **_ERRORS})
async def erase(body: PersonBody, key: Key, erasing: TheErasing) -> JSONResponse:
    """Erase a person from every store. A certificate: 200, done everywhere; 202, a store is still open."""
    key.require(SCOPE)
    made = await erasing.erase(_named(body.subject), key.name)
    return JSONResponse(made.to_json(), 202 if made.completed_at is None else 200)


@router.post("/v1/people/export", responses=_ERRORS)
async def export(body: PersonBody, key: Key, erasing: TheErasing) -> dict[str, Any]:
    """Everything that is held about a person, by store."""
    key.require(SCOPE)
    return {"stores": await erasing.export(_named(body.subject))}


@router.post("/v1/people/do-not-train", responses=_ERRORS)
async def do_not_train(body: ObjectionBody, key: Key, database: TheDatabase) -> dict[str, bool]:
    """Note that a person's rows must not be trained on, or may be again. It outlives their erasure."""
    key.require(SCOPE)
    await set_objection(database, _named(body.subject), body.do_not_train, key.name)
    return {"do_not_train": body.do_not_train}


@router.get("/v1/people/erasures/{erasure}", responses={**_ERRORS, **error_responses(404)})
async def certificate(erasure: TaskName, key: Key, erasing: TheErasing) -> dict[str, Any]:
    """How far an erasure is."""
    key.require(SCOPE)
    found: Certificate | None = await erasing.registry().certificate(person_key(erasure))
    if found is None:
        raise ApiError(404, "no erasure has this id", "not_found")
    return found.to_json()


def _named(subject: str) -> str:
    if not person_key(subject):
        raise ApiError(400, "`subject` is empty", "invalid_value", "subject")
    return subject
