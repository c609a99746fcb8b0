"""Finds what is stuck, old or dead, and says what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tasklift_inbox.runtime import Runtime
from tasklift_inbox.tables import attachments, channels, outbox, raw_events
from tasklift_platform import audit
from tasklift_platform.database import now_s
from tasklift_platform.errors import AuditError
from tasklift_platform.tables import erasures

_OLD_EVENT_S = 60.0
_OLD_QUEUED_S = 600.0
_OLD_SENDING_S = 120.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not well.

    Attributes:
        what: what, how many, how old.
        remedy: what to do.
    """

    what: str
    remedy: str


async def examine(runtime: Runtime) -> list[Finding]:
    """Everything that somebody should look at; nothing where all is well."""
    found: list[Finding] = []
    async with runtime.database.read() as connection:
        now = float((await connection.execute(sa.select(now_s()))).scalar_one())

        async def count(query: sa.Select[*tuple[Any, ...]]) -> tuple[int, float]:
            row = (await connection.execute(query)).one()
            return int(row[0]), now - float(row[1] or now)

        oldest = sa.func.min(raw_events.c.received_at)
        for state, limit_s, remedy in (
            ("new", _OLD_EVENT_S, "is a worker running? `tasklift-inbox worker`; is their channel active?"),
            ("poison", -1.0, "read `error` of raw_events, then `tasklift-inbox replay`"),
        ):
            number, age_s = await count(sa.select(sa.func.count(), oldest).where(raw_events.c.state == state))
            if number and age_s > limit_s:
                found.append(Finding(f"{number} raw events are {state}, the oldest for {age_s:.0f} s", remedy))
        for state, limit_s, remedy in (
            ("queued", _OLD_QUEUED_S, "is a worker running, and the channel healthy? The error is beside each message"),
            ("sending", _OLD_SENDING_S, "a worker was killed: another one settles it when the lease is over"),
            ("unknown", -1.0, "look whether it arrived, then POST /v1/outbox/ID/sent or /retry"),
            ("failed", -1.0, "see its error; POST /v1/outbox/ID/retry sends it again"),
        ):
            query = sa.select(sa.func.count(), sa.func.min(outbox.c.changed_at)).where(outbox.c.state == state)
            number, age_s = await count(query)
            if number and age_s > limit_s:
                found.append(Finding(f"{number} messages are {state}, the oldest for {age_s:.0f} s", remedy))
        lost = sa.select(sa.func.count(), sa.func.min(attachments.c.id)).where(attachments.c.state == "failed")
        number, _ = await count(lost)
        if number:
            found.append(Finding(f"{number} attachments could not be fetched", "see `error` of attachments"))
        open_ones = sa.select(sa.func.count(), sa.func.min(erasures.c.requested_at)).where(
            erasures.c.completed_at.is_(None)
        )
        number, age_s = await count(open_ones)
        if number:
            found.append(
                Finding(f"{number} erasures are open, the oldest for {age_s:.0f} s", "the worker tries them again")
            )
        sick = sa.select(channels).where(channels.c.is_active, channels.c.health == "unhealthy")
        for row in await connection.execute(sick):
            found.append(Finding(f"channel {row.id}: {row.problem}", row.remedy))
    for queue in (runtime.send_queue, runtime.media_queue):
        dead = await queue.dead()
        if dead:
            found.append(Finding(f"{len(dead)} jobs of {queue.name} are dead, the last: {dead[0][1]}", "see the log"))
    try:
        await audit.verify(runtime.database)
    except AuditError as error:
        found.append(Finding(f"the audit log: {error}", "somebody has changed it: compare with a backup"))
    return found
