"""Which conversation a message belongs to: the open one of its identity, or, for a mail, that of its thread.

One open conversation for each identity and thread is said by an index of the database, not by a lock.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from tasklift_inbox.channels.base import Arrived, Person, Thread
from tasklift_inbox.tables import conversations, messages, participants
from tasklift_inbox.texts import clean
from tasklift_platform.bulk import given, insert_rows

_Row = sa.Row[int, int, str, str]
#: A mail that names no other, from the same person with the same subject, is suggested for this long.
SUGGESTED_WITHIN_S = 30 * 86400


@dataclass(frozen=True, slots=True)
class Placed:
    """A new message with its channel and identity; `conversation_id` is filled in here."""

    raw_event_id: int
    received_at: float
    channel_id: str
    identity_id: int
    item: Arrived
    others: tuple[int, ...] = ()
    conversation_id: int = field(default=0)


async def place(connection: AsyncConnection, new: Sequence[Placed]) -> list[int]:
    """The conversations of `new`, one for each, opened where there is none."""
    found: dict[int, int] = {}
    chats = [n for n, placed in enumerate(new) if placed.item.thread is None]
    wanted = {(new[n].identity_id, "") for n in chats}
    known = await _open_or_make(connection, wanted, {new[n].identity_id: new[n] for n in chats})
    for n in chats:
        found[n] = known[new[n].identity_id, ""]
    earlier: dict[tuple[str, str], int] = {}  # mails of this batch that later ones may refer to
    for n, placed in enumerate(new):
        if placed.item.thread is not None:
            found[n] = await _place_mail(connection, placed, placed.item.thread, earlier)
            earlier[placed.channel_id, placed.item.id] = found[n]
    return [found[n] for n in range(len(new))]


async def _open_or_make(
    connection: AsyncConnection, wanted: Iterable[tuple[int, str]], first: Mapping[int, Placed]
) -> dict[tuple[int, str], int]:
    keys = sorted(wanted)
    if not keys:
        return {}
    found = await _open(connection, keys)
    missing = [key for key in keys if key not in found]
    if missing:
        rows = [
            {
                "channel_id": first[identity].channel_id,
                "identity_id": identity,
                "thread": thread,
                "subject": clean(_subject(first[identity].item)),
                "last_message_at": min(first[identity].item.sent_at, first[identity].received_at),
                "created_at": first[identity].received_at,
            }
            for identity, thread in missing
        ]
        await insert_rows(connection, conversations, rows, unless_there=True)
        found |= await _open(connection, missing)
    return found


async def _open(connection: AsyncConnection, keys: Sequence[tuple[int, str]]) -> dict[tuple[int, str], int]:
    table = conversations.c
    rows = [{"identity_id": identity, "thread": thread} for identity, thread in keys]
    asked = given(connection, [table.identity_id, table.thread], rows)
    same = sa.and_(
        table.identity_id == asked.c.identity_id,
        table.thread == asked.c.thread,
        sa.text("conversations.status = 'open'"),
    )
    query = sa.select(table.identity_id, table.thread, table.id).select_from(sa.join(conversations, asked, same))
    return {(row.identity_id, row.thread): row.id for row in await connection.execute(query)}


async def _place_mail(
    connection: AsyncConnection, placed: Placed, thread: Thread, earlier: Mapping[tuple[str, str], int]
) -> int:
    """By token, then by references, nearest first; only where the sender belongs to that conversation."""
    candidates: list[tuple[int, bool]] = []
    if thread.conversation_id is not None:
        candidates.append((thread.conversation_id, True))
    for reference in thread.references:
        conversation_id = earlier.get((placed.channel_id, reference)) or await _of_message(
            connection, placed.channel_id, reference
        )
        if conversation_id is not None:
            candidates.append((conversation_id, False))
    stranger_to = None
    for conversation_id, has_token in candidates:
        row = await _conversation(connection, placed.channel_id, conversation_id)
        if row is None:
            continue
        if has_token or placed.item.is_echo or await _belongs(connection, row, placed):
            return await _reopened(connection, row, placed)
        stranger_to = stranger_to or conversation_id
    return await _new_mail(connection, placed, thread, stranger_to)


async def _of_message(connection: AsyncConnection, channel_id: str, external_id: str) -> int | None:
    query = sa.select(messages.c.conversation_id).where(
        messages.c.channel_id == channel_id, messages.c.external_id == external_id
    )
    return (await connection.execute(query)).scalar_one_or_none()


async def _conversation(connection: AsyncConnection, channel_id: str, conversation_id: int) -> _Row | None:
    table = conversations.c
    query = sa.select(table.id, table.identity_id, table.thread, table.status)
    query = query.where(table.id == conversation_id, table.channel_id == channel_id)
    return (await connection.execute(query)).one_or_none()


async def _belongs(connection: AsyncConnection, row: _Row, placed: Placed) -> bool:
    """Whoever guesses a message id must not get into somebody else's conversation."""
    if row.identity_id == placed.identity_id:
        return True
    query = sa.select(participants.c.identity_id).where(
        participants.c.conversation_id == row.id, participants.c.identity_id == placed.identity_id
    )
    return (await connection.execute(query)).scalar_one_or_none() is not None


async def _reopened(connection: AsyncConnection, row: _Row, placed: Placed) -> int:
    """A closed conversation opens again, unless a newer one of the thread is open: then that one goes on."""
    if row.status != "open":
        newer = await _open(connection, [(row.identity_id, row.thread)])
        if newer:
            return newer[row.identity_id, row.thread]
        await connection.execute(sa.update(conversations).where(conversations.c.id == row.id).values(status="open"))
    await add_participants(connection, row.id, placed.others)
    return int(row.id)


async def _new_mail(connection: AsyncConnection, placed: Placed, thread: Thread, stranger_to: int | None) -> int:
    """Its own conversation, with a suggestion where another one is likely."""
    suggestion = None
    if stranger_to is not None:
        suggestion = {
            "conversation": stranger_to,
            "reason": "it refers to a mail there, but the sender is not part of it",
        }
    else:
        similar = await _similar(connection, placed, thread.subject)
        if similar is not None:
            suggestion = {"conversation": similar, "reason": "same sender and subject"}
    known = await _open_or_make(connection, {(placed.identity_id, thread.key)}, {placed.identity_id: placed})
    made = known[placed.identity_id, thread.key]
    if suggestion is not None and suggestion["conversation"] != made:
        noted = sa.update(conversations).where(conversations.c.id == made, conversations.c.suggestion.is_(None))
        await connection.execute(noted.values(suggestion=json.dumps(suggestion)))
    await add_participants(connection, made, placed.others)
    return made


async def _similar(connection: AsyncConnection, placed: Placed, subject: str) -> int | None:
    table = conversations.c
    if not subject:
        return None
    query = sa.select(table.id).where(
        table.identity_id == placed.identity_id,
        sa.func.lower(table.subject) == subject.lower(),
        table.last_message_at > placed.item.sent_at - SUGGESTED_WITHIN_S,
        table.last_message_at < placed.item.sent_at + SUGGESTED_WITHIN_S,
    )
    return (await connection.execute(query.order_by(table.last_message_at.desc()).limit(1))).scalar_one_or_none()


async def add_participants(connection: AsyncConnection, conversation_id: int, identity_ids: Iterable[int]) -> None:
    """Whom a mail is also addressed to belongs to its conversation."""
    rows = [{"conversation_id": conversation_id, "identity_id": number} for number in sorted(set(identity_ids))]
    await insert_rows(connection, participants, rows, unless_there=True)


def _subject(item: Arrived) -> str:
    return item.thread.subject if item.thread is not None else ""


def others_of(item: Arrived) -> tuple[Person, ...]:
    """Who else is addressed."""
    return item.thread.others if item.thread is not None else ()
