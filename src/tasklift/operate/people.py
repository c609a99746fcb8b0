"""People behind requests: how they are named, who objects to training, which rows are about them.

A person is known by what callers pass as `user` (or `metadata.subject`); nothing is guessed from texts.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping

from sqlalchemy import delete, insert, select

from tasklift.errors import ConfigError
from tasklift.operate.tables import erasing, feedback, objections, reviews, traces
from tasklift_platform import audit
from tasklift_platform.database import Database
from tasklift_platform.tables import erasures

#: Longer identifiers are kept as their beginning and a hash.
LONGEST = 200
_HASH = 64

#: Task -> ids of rows.
Rows = Mapping[str, frozenset[str]]


def person_key(given: str) -> str:
    """An identifier as it is stored: no NUL, no half surrogate pair, at most 200 characters, and never two people
    under one key."""
    text = given.replace("\x00", "").encode(errors="replace").decode().strip()
    if len(text) <= LONGEST:
        return text
    return text[: LONGEST - _HASH] + hashlib.sha256(text.encode()).hexdigest()


def objection_digest(subject: str) -> str:
    """What stands in the list of objections in place of the identifier, so that the list may outlive an erasure."""
    return hashlib.sha256(f"tasklift objection\x1f{person_key(subject)}".encode()).hexdigest()


async def set_objection(database: Database, subject: str, objects: bool, by: str) -> None:
    """Note that a person's rows must not be trained on, or that they may be again.

    Raises:
        ConfigError: the identifier is empty.
        DatabaseError: it could not be stored.
    """
    if not person_key(subject):
        raise ConfigError("whose rows must not be trained on: the identifier is empty")
    digest = objection_digest(subject)
    async with database.write() as connection:
        await connection.execute(delete(objections).where(objections.c.digest == digest))
        if objects:
            await connection.execute(insert(objections), [{"digest": digest, "at": time.time(), "by": by}])
        await audit.append(connection, by, "person.do_not_train" if objects else "person.may_train", digest[:16])


async def objections_of(database: Database) -> frozenset[str]:
    """Digests of all who object."""
    async with database.read() as connection:
        return frozenset((await connection.execute(select(objections.c.digest))).scalars())


async def traffic_rows(database: Database, subject: str) -> Rows:
    """Ids of the traces that are about a person: rows made of them are called by these."""
    found: dict[str, set[str]] = {}
    async with database.read() as connection:
        for table, column in ((traces, traces.c.id), (reviews, reviews.c.trace), (feedback, feedback.c.trace)):
            query = select(table.c.task, column).where(table.c.subject == subject)
            for task, trace in (await connection.execute(query)).all():
                found.setdefault(task, set()).add(trace)
    return {task: frozenset(rows) for task, rows in found.items()}


async def note_rows(database: Database, subject: str, rows: Rows) -> None:
    """Remember, until the person is erased everywhere, which rows are about them: a store that fails is asked
    again when the others have forgotten."""
    known = await noted_rows(database, subject)
    fresh = [
        {"subject": subject, "task": task, "row": row}
        for task, ids in rows.items()
        for row in ids - known.get(task, frozenset())
    ]
    if fresh:
        async with database.write() as connection:
            await connection.execute(insert(erasing), fresh)


async def noted_rows(database: Database, subject: str) -> Rows:
    """What `note_rows` has noted."""
    query = select(erasing.c.task, erasing.c.row).where(erasing.c.subject == subject)
    found: dict[str, set[str]] = {}
    async with database.read() as connection:
        for task, row in (await connection.execute(query)).all():
            found.setdefault(task, set()).add(row)
    return {task: frozenset(ids) for task, ids in found.items()}


async def forget_noted(database: Database) -> None:
    """Forget the rows of people whose erasure is complete."""
    under_way = select(erasures.c.subject).where(erasures.c.subject.is_not(None))
    async with database.write() as connection:
        await connection.execute(delete(erasing).where(erasing.c.subject.not_in(under_way)))


def merged(parts: Iterable[Rows]) -> Rows:
    """All rows of all parts."""
    found: dict[str, frozenset[str]] = {}
    for part in parts:
        for task, ids in part.items():
            found[task] = found.get(task, frozenset()) | ids
    return found
