"""Which conversation a message belongs to: the open one of its identity, or, for a mail, that of its thread.

One open conversation for each identity and thread is said by an index of the database, not by a lock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

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
    """A new message with its channel and identity.

    Attributes:
        others: identities of whom a mail is also addressed to.
        conversation_id: 0 until it is known.
        refused: a conversation that it refers to, and whose stranger its sender is.
    """

    raw_event_id: int
    received_at: float
    channel_id: str
    identity_id: int
    item: Arrived
    others: tuple[int, ...] = ()
    conversation_id: int = 0
    refused: int | None = None


async def place(connection: AsyncConnection, new: Sequence[Placed]) -> list[int]:
    """The conversations of `new`, one for each, opened where there is none."""
    keys: dict[int, tuple[int, str]] = {}
    found: dict[int, int] = {}
    mails = [n for n, placed in enumerate(new) if placed.item.thread is not None]
    if mails:
        placing = _Mails(connection)
        found, keys = await placing.place({n: new[n] for n in mails})
        new = [replace(one, refused=placing.stranger_to(one)) if n in keys else one for n, one in enumerate(new)]
    keys |= {n: (placed.identity_id, "") for n, placed in enumerate(new) if placed.item.thread is None}
    first: dict[tuple[int, str], Placed] = {}
    for n, key in sorted(keys.items()):
        first.setdefault(key, new[n])
    known = await _open_or_make(connection, first)
    found |= {n: known[key] for n, key in keys.items()}
    members = [(found[n], other) for n in mails for other in new[n].others]
    rows = [{"conversation_id": number, "identity_id": other} for number, other in sorted(set(members))]
    await insert_rows(connection, participants, rows, unless_there=True)
    await _offer_splits(connection, [(found[n], new[n].item) for n in mails])
    return [found[n] for n in range(len(new))]


async def _offer_splits(connection: AsyncConnection, placed: Sequence[tuple[int, Arrived]]) -> None:
    """Another subject may be another matter: a person decides."""
    table = conversations.c
    query = sa.select(table.id, table.subject).where(table.id.in_({number for number, _ in placed}))
    subjects = {row.id: row.subject for row in await connection.execute(query)} if placed else {}
    offered: set[int] = set()
    for number, item in placed:
        known, subject = subjects[number], _subject(item)
        if number in offered or not known or not subject or known.lower() == subject.lower():
            continue
        offered.add(number)
        offer = {"split_at": item.id, "reason": f"the subject has changed to {clean(subject)[:200]}"}
        noted = sa.update(conversations).where(table.id == number, table.suggestion.is_(None))
        await connection.execute(noted.values(suggestion=json.dumps(offer)))


async def _open_or_make(
    connection: AsyncConnection, first: Mapping[tuple[int, str], Placed]
) -> dict[tuple[int, str], int]:
    """(identity, thread) -> its open conversation; `first` is what opens it where there is none."""
    if not first:
        return {}
    found = await _open(connection, list(first))
    missing = {key: placed for key, placed in first.items() if key not in found}
    if missing:
        similar = await _similar(connection, list(missing.values()))
        rows = [
            {
                "channel_id": placed.channel_id,
                "identity_id": identity,
                "thread": thread,
                "subject": clean(_subject(placed.item)),
                "suggestion": _suggestion(placed, similar),
                "last_message_at": min(placed.item.sent_at, placed.received_at),
                "created_at": placed.received_at,
            }
            for (identity, thread), placed in missing.items()
        ]
        await insert_rows(connection, conversations, rows, unless_there=True)
        found |= await _open(connection, list(missing))
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


class _Mails:
    """Places mails: by token, then by references, nearest first; only where the sender belongs to that conversation."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._of_message: dict[tuple[str, str], int] = {}
        self._begun: dict[tuple[str, str], Placed] = {}  # mails of this batch that begin a thread

    async def place(self, mails: Mapping[int, Placed]) -> tuple[dict[int, int], dict[int, tuple[int, str]]]:
        """Number -> conversation that is there, and number -> (identity, thread) of those that have none yet."""
        self._of_message = await self._referred(list(mails.values()))
        found: dict[int, int] = {}
        keys: dict[int, tuple[int, str]] = {}
        for n, placed in mails.items():
            thread = placed.item.thread
            if thread is None:
                continue
            known = await self._known(placed, thread)
            if known is not None:
                found[n] = known
                self._of_message[placed.channel_id, placed.item.id] = known
            else:
                keys[n] = self._key(placed, thread)
                self._begun[placed.channel_id, placed.item.id] = placed
        return found, keys

    async def _referred(self, mails: Sequence[Placed]) -> dict[tuple[str, str], int]:
        """Message id -> its conversation, for all that these mails refer to."""
        table = messages.c
        named = {(one.channel_id, ref) for one in mails if one.item.thread for ref in one.item.thread.references}
        rows = [{"channel_id": channel, "external_id": ref} for channel, ref in sorted(named)]
        if not rows:
            return {}
        asked = given(self._connection, [table.channel_id, table.external_id], rows)
        same = sa.and_(table.channel_id == asked.c.channel_id, table.external_id == asked.c.external_id)
        query = sa.select(table.channel_id, table.external_id, table.conversation_id)
        found = await self._connection.execute(query.select_from(sa.join(messages, asked, same)))
        return {(row.channel_id, row.external_id): row.conversation_id for row in found}

    async def _known(self, placed: Placed, thread: Thread) -> int | None:
        candidates: list[tuple[int, bool]] = []
        if thread.conversation_id is not None:
            candidates.append((thread.conversation_id, True))
        numbers = [self._of_message.get((placed.channel_id, reference)) for reference in thread.references]
        candidates += [(number, False) for number in dict.fromkeys(numbers) if number is not None]
        for conversation_id, has_token in candidates:
            row = await _conversation(self._connection, placed.channel_id, conversation_id)
            if row is None:
                continue
            if has_token or placed.item.is_echo or await _belongs(self._connection, row, placed):
                return await _reopened(self._connection, row)
        return None

    def _key(self, placed: Placed, thread: Thread) -> tuple[int, str]:
        """Of its own, or that of a mail of this batch that it answers, where its sender belongs to it."""
        for reference in thread.references:
            begun = self._begun.get((placed.channel_id, reference))
            if begun is not None and placed.identity_id in (begun.identity_id, *begun.others):
                return self._key(begun, begun.item.thread or thread)
        return placed.identity_id, thread.key

    def stranger_to(self, placed: Placed) -> int | None:
        """A conversation that a mail refers to and was not let into."""
        references = placed.item.thread.references if placed.item.thread is not None else ()
        numbers = (self._of_message.get((placed.channel_id, reference)) for reference in references)
        return next((number for number in numbers if number is not None), None)


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


async def _reopened(connection: AsyncConnection, row: _Row) -> int:
    """A closed conversation opens again, unless a newer one of the thread is open: then that one goes on."""
    if row.status != "open":
        newer = await _open(connection, [(row.identity_id, row.thread)])
        if newer:
            return newer[row.identity_id, row.thread]
        await connection.execute(sa.update(conversations).where(conversations.c.id == row.id).values(status="open"))
    return int(row.id)


async def _similar(connection: AsyncConnection, new: Sequence[Placed]) -> dict[tuple[int, str], int]:
    """(identity, subject in small letters) -> a conversation of the last weeks that has both."""
    table = conversations.c
    rows = [
        {"identity_id": one.identity_id, "subject": _subject(one.item).lower(), "last_message_at": one.item.sent_at}
        for one in new
        if _subject(one.item)
    ]
    if not rows:
        return {}
    asked = given(connection, [table.identity_id, table.subject, table.last_message_at], rows)
    same = sa.and_(
        table.identity_id == asked.c.identity_id,
        sa.func.lower(table.subject) == asked.c.subject,
        sa.func.abs(table.last_message_at - asked.c.last_message_at) < SUGGESTED_WITHIN_S,
    )
    query = sa.select(table.identity_id, asked.c.subject, sa.func.max(table.id).label("id"))
    query = query.select_from(sa.join(conversations, asked, same)).group_by(table.identity_id, asked.c.subject)
    return {(row.identity_id, row.subject): row.id for row in await connection.execute(query)}


def _suggestion(placed: Placed, similar: Mapping[tuple[int, str], int]) -> str | None:
    """Where a new conversation may belong, for a person to decide."""
    if placed.refused is not None:
        reason = "it refers to a mail there, but the sender is not part of it"
        return json.dumps({"conversation": placed.refused, "reason": reason})
    number = similar.get((placed.identity_id, _subject(placed.item).lower()))
    return None if number is None else json.dumps({"conversation": number, "reason": "same sender and subject"})


def _subject(item: Arrived) -> str:
    return item.thread.subject if item.thread is not None else ""


def others_of(item: Arrived) -> tuple[Person, ...]:
    """Who else is addressed."""
    return item.thread.others if item.thread is not None else ()
