"""What production found hard: answers that people corrected, that were left to people, or that were little sure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select

from tasklift.dataset import Example
from tasklift.operate.answers import are_right, known
from tasklift.operate.people import objection_digest, objections_of
from tasklift.operate.tables import feedback, reviews, traces
from tasklift.task import Task
from tasklift_platform.database import Database

#: So many traces, labels of callers and reviews are looked at, the newest of each: a table may hold millions.
MOST = 2000
#: Why a row is hard, the gravest first.
GRAVE = ("corrected", "deferred", "unsure")
#: Why a review was asked for -> why its row is hard where nobody corrected it. A confirmed audit says nothing.
_REASONS = {"deferred": "deferred", "uncertain": "unsure"}


@dataclass(frozen=True, slots=True)
class HardRow:
    """A row of production.

    Attributes:
        row: its id is that of the trace; its output what a person said, None where nobody did.
        why: `corrected`, `deferred` or `unsure`.
    """

    row: Example
    why: str


async def hard_rows(database: Database, task: Task, unsure: float) -> tuple[list[HardRow], int]:
    """Hard rows of a task, and how many more there are whose text was not kept.

    Where what was said counts as right beside a person's answer, that is no correction. A review counts more than a
    caller's label. Rows of people who object to training are left out: what is found here goes into data.

    Args:
        unsure: answers with less confidence are hard.
    """
    hard = or_(traces.c.deferred, traces.c.confidence < unsure)
    seen = _Seen(await objections_of(database))
    for trace in await _traces(database, task.name, hard):
        seen.add(trace["id"], trace, "deferred" if trace["deferred"] else "unsure")
    for said in await _labels(database, task.name, hard):
        seen.add(said["trace"], said, "corrected" if said["is_correction"] else "", known(task, said["label"]))
    for asked in await _reviews(database, task.name, hard):
        label = known(task, asked["answer"])
        is_corrected = label is not None and not _is_right(task, asked["suggestion"], asked["answer"])
        seen.add(asked["trace"], asked, "corrected" if is_corrected else _REASONS.get(asked["reason"], ""), label)
    return [seen.row(trace) for trace in seen.texts], len(set(seen.why) - set(seen.texts))


@dataclass(frozen=True)
class _Seen:
    """What is known of each trace so far.

    Attributes:
        objectors: digests of people whose rows are left out.
        why: trace -> why it is hard, the gravest reason that was given.
        texts: trace -> its input as JSON, of hard ones whose text was kept.
        labels: trace -> what a person said last.
    """

    objectors: frozenset[str]
    why: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    labels: dict[str, Any] = field(default_factory=dict)

    def add(self, trace: str, kept: Mapping[Any, Any], why: str, label: Any = None) -> None:
        """Take in what one table says of a trace; `why` is '' where that does not make it hard."""
        if kept["subject"] and objection_digest(kept["subject"]) in self.objectors:
            return
        if label is not None:
            self.labels[trace] = label
        if not why and trace not in self.why:
            return
        self.why[trace] = min(why or self.why[trace], self.why.get(trace, why), key=GRAVE.index)
        if kept["input"]:
            self.texts[trace] = kept["input"]

    def row(self, trace: str) -> HardRow:
        """A hard row."""
        value = json.loads(self.texts[trace])
        return HardRow(Example(trace, value, self.labels.get(trace), source="production"), self.why[trace])


def _is_right(task: Task, suggestion: str | None, answer: str) -> bool:
    return suggestion is not None and are_right(task, [suggestion], [answer])[0]


async def _traces(database: Database, task: str, hard: ColumnElement[bool]) -> Sequence[Mapping[Any, Any]]:
    wanted = (traces.c.id, traces.c.deferred, traces.c.input, traces.c.subject)
    query = select(*wanted).where(traces.c.task == task, traces.c.error.is_(None), traces.c.pair.is_(None), hard)
    return await _newest(database, query, traces.c.at)


async def _labels(database: Database, task: str, hard: ColumnElement[bool]) -> Sequence[Mapping[Any, Any]]:
    """Of callers: corrections, and what they said of hard answers."""
    query = (
        select(feedback.c.trace, feedback.c.label, feedback.c.is_correction, feedback.c.subject, traces.c.input)
        .outerjoin(traces, traces.c.id == feedback.c.trace)
        .where(feedback.c.task == task, feedback.c.label.is_not(None), or_(feedback.c.is_correction, hard))
    )
    return await _newest(database, query, feedback.c.at)


async def _reviews(database: Database, task: str, hard: ColumnElement[bool]) -> Sequence[Mapping[Any, Any]]:
    """Of hard answers, and those whose answer may be a correction."""
    wanted = ("trace", "reason", "suggestion", "answer", "input", "subject")
    said_otherwise = reviews.c.answer != func.coalesce(reviews.c.suggestion, "")
    query = (
        select(*(reviews.c[name] for name in wanted))
        .outerjoin(traces, traces.c.id == reviews.c.trace)
        .where(reviews.c.task == task, or_(reviews.c.reason.in_(_REASONS), said_otherwise, hard))
    )
    return await _newest(database, query, reviews.c.at)


async def _newest(database: Database, query: Select[Any], at: ColumnElement[float]) -> Sequence[Mapping[Any, Any]]:
    """The newest rows, the oldest of them first."""
    async with database.read() as connection:
        found = (await connection.execute(query.order_by(at.desc()).limit(MOST))).mappings().all()
    return list(reversed(found))
