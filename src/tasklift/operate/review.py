"""What people are asked to look at, what callers say of answers, and the rows that come of it.

Every write here is in the database before it returns: an answer of a person is not lost.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import func, insert, select, update

from tasklift.dataset import Example
from tasklift.errors import DataError, TrafficError, UnknownIdError
from tasklift.operate.answers import are_right, known, taken
from tasklift.operate.people import objection_digest, objections_of
from tasklift.operate.tables import feedback, reviews, traces
from tasklift.operate.traffic import Trace, new_id, review_rows
from tasklift.task import Task
from tasklift_platform.database import Database


@dataclass(frozen=True, slots=True)
class Review:
    """A row that a person is to answer, or has answered.

    Attributes:
        id, trace, task: what it is about.
        at: Unix seconds when it was asked.
        reason: deferred, audit or uncertain.
        input: the fields.
        suggestion: what the candidate would have said, or said.
        confidence: of that.
        answer, by, answered_at: None until somebody answered.
        subject: the person it is about; '' where nobody was named.
    """

    id: str
    trace: str
    task: str
    at: float
    reason: str
    input: Mapping[str, Any] | None
    suggestion: str | None
    confidence: float | None
    answer: str | None = None
    by: str | None = None
    answered_at: float | None = None
    subject: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a caller says about one answer: at least one of label, score, comment.

    Attributes:
        label: the right answer, as `answers.taken` takes it.
        score: 0 to 1, however the caller judges.
        comment: free text.
    """

    trace: str
    label: str | None = None
    score: float | None = None
    comment: str | None = None


async def add_review(database: Database, trace: Trace) -> None:
    """Ask a person about a trace, durably.

    Raises:
        DatabaseError: it could not be stored.
    """
    async with database.write() as connection:
        await connection.execute(insert(reviews), review_rows(trace))


async def open_reviews(database: Database, task: str | None, limit: int = 50) -> list[Review]:
    """Unanswered reviews: deferred ones first, then the oldest."""
    query = select(reviews).where(reviews.c.answered_at.is_(None))
    if task is not None:
        query = query.where(reviews.c.task == task)
    query = query.order_by(reviews.c.reason != "deferred", reviews.c.at).limit(limit)
    async with database.read() as connection:
        return [_review(row) for row in (await connection.execute(query)).mappings().all()]


async def review_of(database: Database, identity: str) -> Review:
    """One review.

    Raises:
        UnknownIdError: there is none of this id.
    """
    async with database.read() as connection:
        row = (await connection.execute(select(reviews).where(reviews.c.id == identity))).mappings().one_or_none()
    if row is None:
        raise UnknownIdError(f"no review is called {identity!r}")
    return _review(row)


async def reviews_of(database: Database, trace: str) -> list[Review]:
    """What people were asked about one trace."""
    async with database.read() as connection:
        rows = (await connection.execute(select(reviews).where(reviews.c.trace == trace))).mappings().all()
    return [_review(row) for row in rows]


async def answer_review(database: Database, task: Task, identity: str, answer: str, by: str) -> Review:
    """Take a person's answer.

    Args:
        answer: as `answers.taken` takes it.

    Raises:
        UnknownIdError: no such review.
        TrafficError: somebody else has given it another answer.
        DataError: the task does not allow the answer.
        DatabaseError: it could not be stored.
    """
    answer = taken(task, answer)
    change = (
        update(reviews)
        .where(reviews.c.id == identity, reviews.c.answered_at.is_(None))
        .values(answer=answer, by=by, answered_at=time.time())
    )
    async with database.write() as connection:
        changed = (await connection.execute(change)).rowcount
    found = await review_of(database, identity)
    if not changed and found.answer != answer:
        raise TrafficError(f"review {identity} was answered with {found.answer!r} by {found.by} already")
    return found


async def task_of_trace(database: Database, trace: str) -> str | None:
    """Which task a trace is of; None where there is no such trace (yet)."""
    async with database.read() as connection:
        found = (await connection.execute(select(traces.c.task).where(traces.c.id == trace))).scalar_one_or_none()
        if found is None:  # a deferred row is in the queue before its trace is written
            query = select(reviews.c.task).where(reviews.c.trace == trace)
            found = (await connection.execute(query.limit(1))).scalar_one_or_none()
    return found


async def add_feedback(database: Database, task: Task, given: Feedback, by: str) -> str:
    """Keep what a caller says; returns its id.

    Raises:
        DataError: there is nothing to keep, or the task does not allow the label.
        DatabaseError: it could not be stored.
    """
    if given.label is None and given.score is None and given.comment is None:
        raise DataError("feedback needs one of label, score, comment")
    if given.label is not None:
        given = replace(given, label=taken(task, given.label))
    identity = new_id("fb")
    async with database.write() as connection:
        said = select(traces.c.output, traces.c.subject).where(traces.c.id == given.trace)
        asked = select(reviews.c.subject).where(reviews.c.trace == given.trace).limit(1)
        output, subject = (await connection.execute(said)).one_or_none() or (None, None)
        if subject is None:  # a deferred row is in the queue before its trace is written
            subject = (await connection.execute(asked)).scalar_one_or_none() or ""
        row = {**asdict(given), "id": identity, "task": task.name, "at": time.time(), "by": by, "subject": subject}
        is_wrong = given.label is not None and output is not None and not are_right(task, [output], [given.label])[0]
        row["is_correction"] = is_wrong
        await connection.execute(insert(feedback), [row])
    return identity


async def counts(database: Database, task: str) -> dict[str, int]:
    """How many reviews are open and answered, and how many labels callers gave."""
    async with database.read() as connection:

        async def count(query: Any) -> int:
            return int((await connection.execute(query)).scalar_one())

        of_task = select(func.count()).select_from(reviews).where(reviews.c.task == task)
        labelled = (
            select(func.count()).select_from(feedback).where(feedback.c.task == task, feedback.c.label.is_not(None))
        )
        return {
            "open": await count(of_task.where(reviews.c.answered_at.is_(None))),
            "answered": await count(of_task.where(reviews.c.answered_at.is_not(None))),
            "labels": await count(labelled),
        }


#: Why a label made no row.
NO_TEXT, OBJECTED = "their text was not kept", "their person objects to training"
NOT_ALLOWED = "the task does not allow them any more"


async def corrected_rows(database: Database, task: Task) -> tuple[list[Example], dict[str, int]]:
    """Labelled rows that people gave in production, and why other labels made none: reason -> how many.

    A person's review counts more than a caller's label, the latest label more than an earlier one. `source`
    says where a row comes from, `time` when it was labelled. Rows of people who object to training are left out.
    """
    objectors = await objections_of(database)
    async with database.read() as connection:
        asked = select(reviews).where(reviews.c.task == task.name, reviews.c.answered_at.is_not(None))
        answered = (await connection.execute(asked)).mappings().all()
        said = (
            select(feedback, traces.c.input)
            .outerjoin(traces, traces.c.id == feedback.c.trace)
            .where(feedback.c.task == task.name, feedback.c.label.is_not(None))
            .order_by(feedback.c.at)
        )
        labelled = (await connection.execute(said)).mappings().all()
    rows: dict[str, Example] = {}
    left_out = {NO_TEXT: 0, OBJECTED: 0, NOT_ALLOWED: 0}
    for source, found in [("feedback", labelled), ("review", answered)]:
        for row in found:
            value = json.loads(row["input"]) if row["input"] else None
            label = known(task, row["label"] if source == "feedback" else row["answer"])
            at = row["at"] if source == "feedback" else row["answered_at"]
            if row["subject"] and objection_digest(row["subject"]) in objectors:
                left_out[OBJECTED] += 1
                continue
            if value is None or label is None:
                left_out[NO_TEXT if value is None else NOT_ALLOWED] += 1
                continue
            rows[row["trace"]] = Example(row["trace"], value, label, source=f"{source}:{row['id']}", time=_iso(at))
    return list(rows.values()), left_out


def _iso(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def _review(row: Mapping[Any, Any]) -> Review:
    return Review(**{**row, "input": json.loads(row["input"]) if row["input"] else None})


def listed(found: Sequence[Review]) -> list[dict[str, Any]]:
    """Reviews as plain fields."""
    return [review.to_json() for review in found]
