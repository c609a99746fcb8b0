"""What may be sent to whom, and when; said before anything is sent, with the reason.

Windows and sizes come from the channel's abilities. Automation is bound further: it never writes where a person has
taken over or something new has come, nor to automatic senders, and a breaker stops two machines that answer each other.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from tasklift_inbox.channels.outgoing import Abilities
from tasklift_inbox.errors import RefusedError
from tasklift_inbox.tables import conversations, messages, outbox
from tasklift_platform.database import now_s

#: At most so many automatic messages to one person within so long (RFC 3834 asks for a limit; OTRS has this one).
BREAKER_COUNT = 10
BREAKER_S = 180 * 60


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a person and a channel stand.

    Attributes:
        last_inbound_at: Unix seconds; None: the person has never written.
        blocked: why the person cannot be reached; '' where they can.
        now: by the database's clock.
    """

    last_inbound_at: float | None
    blocked: str
    now: float


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to send.

    Attributes:
        is_template: a template, which needs no window.
        is_automatic: no person has seen it.
    """

    is_template: bool
    is_automatic: bool


def needs_human_tag(abilities: Abilities, standing: Standing, wish: Wish) -> bool:
    """Is it only allowed because a person answers by hand?"""
    if abilities.window_s is None or wish.is_template or wish.is_automatic:
        return False
    return _age_s(standing) > abilities.window_s


def check_window(abilities: Abilities, standing: Standing, wish: Wish) -> None:
    """Raise where the person may not be written to now.

    Raises:
        RefusedError: blocked, or outside the window; says since when, and what goes instead.
    """
    if standing.blocked:
        raise RefusedError(f"this person cannot be written to: {standing.blocked}")
    if wish.is_template and not abilities.has_templates:
        raise RefusedError("this channel has no templates: send a text")
    if abilities.window_s is None or wish.is_template:
        return
    longest = abilities.window_s
    if not wish.is_automatic and abilities.human_window_s is not None:
        longest = abilities.human_window_s
    if _age_s(standing) > longest:
        raise RefusedError(closed_reason(abilities, standing, wish))


def closed_reason(abilities: Abilities, standing: Standing, wish: Wish) -> str:
    """Why the composer is locked."""
    hours = (abilities.window_s or 0) / 3600
    instead = "send a template" if abilities.has_templates else "wait until the person writes again"
    if standing.last_inbound_at is None:
        return f"this person has not written yet, and this channel only lets one answer: {instead}"
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(standing.last_inbound_at))
    by_hand = ""
    if abilities.human_window_s is not None:
        days = f"{abilities.human_window_s / 86400:g} days by hand"
        by_hand = f" ({'a person may answer within ' + days if wish.is_automatic else 'or ' + days})"
    return f"the person last wrote at {when}, more than {hours:g} hours ago{by_hand}: {instead}"


async def check_automatic(connection: AsyncConnection, conversation_id: int, expected_version: int | None) -> None:
    """Raise unless automation may still write into this conversation.

    Raises:
        RefusedError: a person has taken over, something new has come, or the breaker is open.
    """
    table = conversations.c
    query = sa.select(table.version, table.handler, table.identity_id).where(table.id == conversation_id)
    row = (await connection.execute(query)).one()
    if row.handler != "bot":
        raise RefusedError("a person has taken over this conversation: nothing is sent automatically")
    if expected_version is not None and row.version != expected_version:
        raise RefusedError("something new has come into this conversation since this was written")
    last = sa.select(messages.c.details).where(
        messages.c.conversation_id == conversation_id, messages.c.direction == "in"
    )
    latest = last.order_by(messages.c.sent_at.desc(), messages.c.order_key.desc(), messages.c.id.desc()).limit(1)
    details = json.loads((await connection.execute(latest)).scalar_one_or_none() or "{}")
    if details.get("automatic"):
        raise RefusedError(f"the last message is no person's ({details['automatic']}): no machine answers it")
    await check_breaker(connection, row.identity_id)


async def check_breaker(connection: AsyncConnection, identity_id: int) -> None:
    """Raise where this person got too many automatic messages lately.

    Raises:
        RefusedError: the breaker is open.
    """
    whose = sa.select(conversations.c.id).where(conversations.c.identity_id == identity_id)
    sent = sa.select(sa.func.count()).where(
        outbox.c.conversation_id.in_(whose),
        outbox.c.is_automatic,
        outbox.c.created_at > now_s() - BREAKER_S,
        outbox.c.state.in_(("sending", "sent", "unknown")),
    )
    count = (await connection.execute(sent)).scalar_one()
    if count >= BREAKER_COUNT:
        minutes = BREAKER_S // 60
        raise RefusedError(
            f"{count} automatic messages went to this person within {minutes} minutes, the limit is {BREAKER_COUNT}: "
            "it may be a machine; a person has to answer"
        )


def _age_s(standing: Standing) -> float:
    return float("inf") if standing.last_inbound_at is None else standing.now - standing.last_inbound_at
