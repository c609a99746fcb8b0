"""A person's data: exported as JSON, erased everywhere, with a certificate.

The subject is `contact/<id>`, or `identity/<channel>/<id of the provider>`. Two stores: files first, then rows, so
that a file is never left behind unnamed. Raw events that held something of the person lose their bytes; their key
stays, so a repeated delivery brings nothing back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from tasklift_inbox import views
from tasklift_inbox.errors import UnknownItemError
from tasklift_inbox.media import MediaStore
from tasklift_inbox.runtime import Runtime
from tasklift_inbox.tables import (
    attachments,
    changes,
    contact_merges,
    contacts,
    conversations,
    identities,
    labels,
    messages,
    notes,
    notices,
    outbox,
    participants,
    raw_events,
)
from tasklift_platform.database import Database
from tasklift_platform.erasure import ErasureRegistry


def subject_of(contact_id: int) -> str:
    """How erasure calls a contact."""
    return f"contact/{contact_id}"


def identity_subject(channel_id: str, external_id: str) -> str:
    """How erasure calls the contact of an identity, which may be unknown here."""
    return f"identity/{channel_id}/{external_id}"


def registry_of(runtime: Runtime) -> ErasureRegistry:
    """Every store of customers' text of this inbox; others may register theirs as well."""
    registry = ErasureRegistry(runtime.database)
    registry.register(AttachmentStore(runtime.database, MediaStore(runtime.settings.media)))
    registry.register(ConversationStore(runtime.database))
    return registry


async def require_contact(database: Database, contact_id: int) -> None:
    """Raise unless there is such a contact.

    Raises:
        UnknownItemError: there is none.
    """
    await views.contact(database, contact_id)


class AttachmentStore:
    """The files of a person's messages."""

    name = "inbox.attachments"

    def __init__(self, database: Database, files: MediaStore) -> None:
        self._database, self._files = database, files

    async def erase(self, subject: str) -> int:
        """Delete every file that no message of somebody else has as well."""
        async with self._database.write() as connection:
            ids = await _message_ids(connection, await _contact_ids(connection, subject))
            theirs = sa.select(attachments.c.sha256).where(
                attachments.c.message_id.in_(ids), attachments.c.sha256.is_not(None)
            )
            shared = sa.select(attachments.c.sha256).where(
                attachments.c.message_id.not_in(ids), attachments.c.sha256.is_not(None)
            )
            gone = set((await connection.execute(theirs)).scalars()) - set((await connection.execute(shared)).scalars())
            for sha256 in sorted(gone):
                self._files.delete(sha256)
            deleted = await connection.execute(sa.delete(attachments).where(attachments.c.message_id.in_(ids)))
        return int(deleted.rowcount)

    async def export(self, subject: str) -> Sequence[Mapping[str, Any]]:
        """What files there are; their content is in the folder of attachments under the SHA-256."""
        async with self._database.read() as connection:
            ids = await _message_ids(connection, await _contact_ids(connection, subject))
            rows = await connection.execute(sa.select(attachments).where(attachments.c.message_id.in_(ids)))
            return [dict(row._mapping) for row in rows]


class ConversationStore:
    """Contact, identities, conversations, messages, notes, and the raw events they came with."""

    name = "inbox.conversations"

    def __init__(self, database: Database) -> None:
        self._database = database

    async def erase(self, subject: str) -> int:
        """Delete everything; returns how many rows were."""
        async with self._database.write() as connection:
            contact_ids = await _contact_ids(connection, subject)
            if not contact_ids:
                return 0
            return await _erase(connection, contact_ids)

    async def export(self, subject: str) -> Sequence[Mapping[str, Any]]:
        """The contact and its conversations with all messages."""
        async with self._database.read() as connection:
            contact_ids = await _contact_ids(connection, subject)
            mine = sa.select(conversations.c.id).where(conversations.c.identity_id.in_(_identity_ids(contact_ids)))
            numbers = list((await connection.execute(mine)).scalars())
        if not contact_ids:
            raise UnknownItemError(f"there is no {subject}")
        found: list[dict[str, Any]] = [await views.contact(self._database, number) for number in contact_ids]
        for number in numbers:
            one = await views.conversation(self._database, number)
            found.append(one | {"messages": await views.list_messages(self._database, number, limit=1_000_000)})
        return found


async def _contact_ids(connection: AsyncConnection, subject: str) -> list[int]:
    """The contact and those that were merged into it."""
    kind, _, name = subject.partition("/")
    waiting = [int(name)] if kind == "contact" and name.isdigit() else []
    if kind == "identity":
        channel, _, external = name.partition("/")
        whose = sa.select(identities.c.contact_id)
        whose = whose.where(identities.c.channel_id == channel, identities.c.external_id == external)
        waiting = list((await connection.execute(whose)).scalars())
    found: list[int] = []
    while waiting:
        rows = sa.select(contacts.c.id).where(sa.or_(contacts.c.id.in_(waiting), contacts.c.merged_into.in_(waiting)))
        new = [one for one in (await connection.execute(rows)).scalars() if one not in found]
        found += new
        waiting = new
    return sorted(found)


def _identity_ids(contact_ids: Sequence[int]) -> sa.ScalarSelect[int]:
    return sa.select(identities.c.id).where(identities.c.contact_id.in_(contact_ids)).scalar_subquery()


async def _message_ids(connection: AsyncConnection, contact_ids: Sequence[int]) -> list[int]:
    """All of their conversations, and what they wrote into those of others."""
    theirs = _identity_ids(contact_ids)
    mine = sa.select(conversations.c.id).where(conversations.c.identity_id.in_(theirs))
    query = sa.select(messages.c.id).where(
        sa.or_(messages.c.conversation_id.in_(mine), messages.c.identity_id.in_(theirs))
    )
    return list((await connection.execute(query)).scalars())


async def _erase(connection: AsyncConnection, contact_ids: Sequence[int]) -> int:
    columns = [identities.c.id, identities.c.external_id, identities.c.address]
    people = (await connection.execute(sa.select(*columns).where(identities.c.contact_id.in_(contact_ids)))).all()
    who = [row.id for row in people]
    talks = list(
        (await connection.execute(sa.select(conversations.c.id).where(conversations.c.identity_id.in_(who)))).scalars()
    )
    ids = await _message_ids(connection, contact_ids)
    names = sorted({name for row in people for name in (row.external_id, row.address) if len(name) > 2})
    await _blank_events(connection, ids, names)
    keys = sa.select(messages.c.channel_id, messages.c.external_id).where(messages.c.id.in_(ids))
    total = 0
    for name in names:  # what they did with messages of others
        touched = sa.update(messages).where(messages.c.reactions.contains(name, autoescape=True))
        await connection.execute(touched.values(reactions="{}"))
    for table, condition in (
        (changes, changes.c.actor.in_(names)),
        (changes, sa.tuple_(changes.c.channel_id, changes.c.target).in_(keys)),
        (attachments, attachments.c.message_id.in_(ids)),
        (outbox, outbox.c.message_id.in_(ids)),
        (participants, sa.or_(participants.c.conversation_id.in_(talks), participants.c.identity_id.in_(who))),
        (labels, labels.c.conversation_id.in_(talks)),
        (notes, notes.c.conversation_id.in_(talks)),
        (messages, messages.c.id.in_(ids)),
        (conversations, conversations.c.id.in_(talks)),
        (identities, identities.c.id.in_(who)),
        (
            contact_merges,
            sa.or_(contact_merges.c.kept_id.in_(contact_ids), contact_merges.c.merged_id.in_(contact_ids)),
        ),
    ):
        total += (await connection.execute(sa.delete(table).where(condition))).rowcount
    free = sa.update(contacts).where(contacts.c.id.in_(contact_ids)).values(merged_into=None)
    await connection.execute(free)
    return total + int((await connection.execute(sa.delete(contacts).where(contacts.c.id.in_(contact_ids)))).rowcount)


async def _blank_events(connection: AsyncConnection, message_ids: Sequence[int], names: Sequence[str]) -> None:
    """Raw events of the messages and of what changed them; of what was put aside, those that name the person."""
    theirs = sa.select(messages.c.raw_event_id).where(messages.c.id.in_(message_ids))
    keys = sa.select(messages.c.channel_id, messages.c.external_id).where(messages.c.id.in_(message_ids))
    of_changes = sa.select(changes.c.raw_event_id).where(sa.tuple_(changes.c.channel_id, changes.c.target).in_(keys))
    wanted = sa.or_(raw_events.c.id.in_(theirs), raw_events.c.id.in_(of_changes))
    await connection.execute(sa.update(raw_events).where(wanted).values(body=b"", headers="{}", state="erased"))
    aside = sa.select(raw_events.c.id, raw_events.c.body).where(raw_events.c.state.in_(("poison", "new")))
    named = [
        row.id
        for row in (await connection.execute(aside)).all()
        if any(name.encode() in bytes(row.body) for name in names)
    ]
    if named:
        emptied = sa.update(raw_events).where(raw_events.c.id.in_(named))
        await connection.execute(emptied.values(body=b"", headers="{}", state="erased"))
    for name in names:
        await connection.execute(sa.delete(notices).where(notices.c.details.contains(name, autoescape=True)))
