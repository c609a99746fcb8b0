"""What people do with a conversation besides answering: close, assign, label, note, take over."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from tasklift.errors import ConfigError
from tasklift_inbox.errors import UnknownItemError
from tasklift_inbox.mail.reading import base_subject
from tasklift_inbox.tables import conversations, labels, messages, notes
from tasklift_inbox.texts import clean
from tasklift_platform import audit
from tasklift_platform.bulk import insert_rows
from tasklift_platform.database import Database, now_s


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be different; None: as it is. `assignee` '': nobody."""

    status: str | None = None
    handler: str | None = None
    assignee: str | None = None
    labels: list[str] | None = None


async def change(database: Database, conversation_id: int, wish: Change, by: str) -> None:
    """Apply `wish`; each change is in the audit log, and counts a version where it changes hands.

    Raises:
        UnknownItemError: there is no such conversation.
        ConfigError: opening it would make a second open one of its identity and thread.
    """
    table = conversations.c
    values: dict[str, Any] = {}
    if wish.status is not None:
        values["status"] = wish.status
    if wish.handler is not None:
        values |= {"handler": wish.handler, "version": table.version + 1}
    if wish.assignee is not None:
        values["assignee"] = wish.assignee or None
    try:
        async with database.write() as connection:
            await _exists(connection, conversation_id)
            if values:
                await connection.execute(sa.update(conversations).where(table.id == conversation_id).values(values))
            if wish.labels is not None:
                await _label(connection, conversation_id, wish.labels)
            done = {
                name: value
                for name in ("status", "handler", "assignee", "labels")
                if (value := getattr(wish, name)) is not None
            }
            await audit.append(connection, by, "conversation.change", str(conversation_id), done)
    except sa.exc.IntegrityError:
        raise ConfigError(f"conversation {conversation_id} stays closed: a newer one of this person is open") from None


async def split(database: Database, message_id: int, by: str) -> int:
    """A message, and all that came after it, become a conversation of their own.

    Returns:
        the new conversation.

    Raises:
        UnknownItemError: there is no such message.
        ConfigError: it is the first one, or not a mail: another channel has one conversation with a person.
    """
    async with database.write() as connection:
        query = sa.select(messages).where(messages.c.id == message_id)
        first = (await connection.execute(query)).one_or_none()
        if first is None:
            raise UnknownItemError(f"no message has the id {message_id}")
        kept = (
            await connection.execute(sa.select(conversations).where(conversations.c.id == first.conversation_id))
        ).one()
        later = sa.tuple_(messages.c.sent_at, messages.c.order_key, messages.c.id) >= (
            first.sent_at,
            first.order_key,
            first.id,
        )
        mine = messages.c.conversation_id == kept.id
        before = sa.select(sa.func.count()).where(mine, sa.not_(later))
        if not kept.thread or not (await connection.execute(before)).scalar_one():
            raise ConfigError(f"message {message_id} is no mail within a conversation: there is nothing to split")
        values = {name: getattr(kept, name) for name in ("channel_id", "identity_id", "handler", "last_message_at")}
        values |= {"thread": first.external_id, "subject": base_subject(json.loads(first.details).get("subject") or "")}
        made = sa.insert(conversations).values(**values, created_at=now_s()).returning(conversations.c.id)
        new_id = int((await connection.execute(made)).scalar_one())
        await connection.execute(sa.update(messages).where(mine, later).values(conversation_id=new_id))
        settled = sa.update(conversations).where(conversations.c.id == kept.id)
        await connection.execute(settled.values(suggestion=None, version=conversations.c.version + 1))
        await audit.append(connection, by, "conversation.split", str(kept.id), {"into": new_id, "message": message_id})
    return new_id


async def add_note(database: Database, conversation_id: int, text: str, by: str) -> int:
    """A note for colleagues.

    Raises:
        UnknownItemError: there is no such conversation.
    """
    async with database.write() as connection:
        await _exists(connection, conversation_id)
        made = sa.insert(notes).values(conversation_id=conversation_id, by=by, text=clean(text), at=now_s())
        return int((await connection.execute(made.returning(notes.c.id))).scalar_one())


async def _label(connection: AsyncConnection, conversation_id: int, wanted: list[str]) -> None:
    await connection.execute(sa.delete(labels).where(labels.c.conversation_id == conversation_id))
    rows = [{"conversation_id": conversation_id, "label": clean(label)[:100]} for label in sorted(set(wanted))]
    await insert_rows(connection, labels, rows)


async def _exists(connection: AsyncConnection, conversation_id: int) -> None:
    query = sa.select(conversations.c.id).where(conversations.c.id == conversation_id)
    if (await connection.execute(query)).scalar_one_or_none() is None:
        raise UnknownItemError(f"no conversation has the id {conversation_id}")
