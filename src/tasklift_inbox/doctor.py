"""Finds what is stuck, old or dead, and says what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from tasklift_inbox.runtime import Runtime
from tasklift_inbox.tables import attachments, channels, outbox, raw_events
from tasklift_platform import audit
from tasklift_platform.database import now_s
from tasklift_platform.errors import AuditError
from tasklift_platform.tables import erasures


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not well.

    Attributes:
        what: what, how many, how old.
        remedy: what to do.
    """

    what: str
    remedy: str


#: Of what, in which state, older than so many seconds; what to do.
_WAITING = (
    ("raw events", "new", 60.0, "is a worker running? `tasklift-inbox worker`; is their channel active?"),
    ("raw events", "poison", -1.0, "once the reason is gone, `tasklift-inbox replay` reads them again"),
    ("messages", "queued", 600.0, "is a worker running, and the channel healthy? The error is beside each message"),
    ("messages", "sending", 120.0, "a worker was killed: another one settles it when the lease is over"),
    ("messages", "unknown", -1.0, "look whether it arrived, then `tasklift-inbox outbox sent ID` or `outbox retry ID`"),
    ("messages", "failed", -1.0, "`tasklift-inbox outbox list` has each error; `outbox retry ID` sends it again"),
)


async def examine(runtime: Runtime) -> list[Finding]:
    """Everything that somebody should look at; nothing where all is well."""
    async with runtime.database.read() as connection:
        found = [*await _waiting(connection), *await _rest(connection)]
    for name, problem in runtime.broken.items():
        found.append(Finding(f"channel {name} cannot be opened: {problem}", "add it again with --replace"))
    for queue in (runtime.send_queue, runtime.media_queue):
        dead = await queue.dead()
        if dead:
            found.append(Finding(f"{len(dead)} jobs of {queue.name} are dead, the last: {dead[0][1]}", "see the log"))
    try:
        await audit.verify(runtime.database)
    except AuditError as error:
        found.append(Finding(f"the audit log: {error}", "somebody has changed it: compare with a backup"))
    return found


async def _waiting(connection: AsyncConnection) -> list[Finding]:
    """Events and messages that are in a state for too long."""
    found = []
    for what, state, limit_s, remedy in _WAITING:
        table, since = (raw_events, raw_events.c.received_at) if what == "raw events" else (outbox, outbox.c.changed_at)
        query = sa.select(sa.func.count(), now_s() - sa.func.min(since)).where(table.c.state == state)
        number, age_s = (await connection.execute(query)).one()
        if number and age_s > limit_s:
            words = f"{number} {what} are {state}, the oldest for {age_s:.0f} s"
            if state in ("poison", "failed", "unknown"):
                newest = sa.select(table.c.id, table.c.error).where(table.c.state == state).order_by(since.desc())
                last = (await connection.execute(newest.limit(1))).one()
                words += f"; the last, {last.id}: {last.error}"
            found.append(Finding(words, remedy))
    return found


async def _rest(connection: AsyncConnection) -> list[Finding]:
    """Attachments, erasures, channels."""
    found = []
    lost = sa.select(sa.func.count()).select_from(attachments).where(attachments.c.state == "failed")
    number = (await connection.execute(lost)).scalar_one()
    if number:
        found.append(
            Finding(
                f"{number} attachments could not be fetched",
                "the error is beside each; `tasklift-inbox replay --attachments` fetches them again",
            )
        )
    waiting = sa.select(sa.func.count()).select_from(erasures).where(erasures.c.completed_at.is_(None))
    number = (await connection.execute(waiting)).scalar_one()
    if number:
        found.append(Finding(f"{number} erasures are open", "the worker tries them again; its log says what fails"))
    sick = sa.select(channels).where(channels.c.is_active, channels.c.health == "unhealthy")
    for row in await connection.execute(sick):
        found.append(Finding(f"channel {row.id}: {row.problem}", row.remedy))
    return found
