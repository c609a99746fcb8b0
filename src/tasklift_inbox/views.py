"""What is shown: conversations, messages in order, the outbox, what is stuck."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tasklift_inbox import policy
from tasklift_inbox.channels.base import Channel
from tasklift_inbox.errors import RefusedError, UnknownItemError
from tasklift_inbox.mail.html import SafeHtml, safe_html
from tasklift_inbox.mail.reading import read_mail
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
    raw_events,
)
from tasklift_platform.database import Database, now_s

_JSON = ("details", "reactions", "suggestion")
_ORDER = (messages.c.sent_at, messages.c.order_key, messages.c.id)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which conversations: all that is None does not matter. `before`: those that moved before that time."""

    status: str | None = None
    channel_id: str | None = None
    label: str | None = None
    assignee: str | None = None
    before: float | None = None
    limit: int = 50


async def list_conversations(database: Database, wanted: Filter) -> list[dict[str, Any]]:
    """Conversations, the latest first."""
    query = (
        sa.select(conversations, identities.c.name, identities.c.address, identities.c.contact_id)
        .join(identities, identities.c.id == conversations.c.identity_id)
        .order_by(conversations.c.last_message_at.desc(), conversations.c.id.desc())
        .limit(wanted.limit)
    )
    for column, value in (
        (conversations.c.status, wanted.status),
        (conversations.c.channel_id, wanted.channel_id),
        (conversations.c.assignee, wanted.assignee),
    ):
        if value is not None:
            query = query.where(column == value)
    if wanted.label is not None:
        query = query.where(
            conversations.c.id.in_(sa.select(labels.c.conversation_id).where(labels.c.label == wanted.label))
        )
    if wanted.before is not None:
        query = query.where(conversations.c.last_message_at < wanted.before)
    async with database.read() as connection:
        return [_plain(row) for row in await connection.execute(query)]


async def conversation(
    database: Database, conversation_id: int, channels: Mapping[str, Channel] | None = None
) -> dict[str, Any]:
    """One conversation with its labels and notes; with its channel in `channels`, also whether it may be answered.

    Raises:
        UnknownItemError: there is none.
    """
    query = (
        sa.select(conversations, identities.c.name, identities.c.address, identities.c.contact_id)
        .add_columns(identities.c.last_inbound_at, identities.c.blocked, now_s().label("now"))
        .join(identities, identities.c.id == conversations.c.identity_id)
        .where(conversations.c.id == conversation_id)
    )
    async with database.read() as connection:
        row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise UnknownItemError(f"no conversation has the id {conversation_id}")
        named = sa.select(labels.c.label).where(labels.c.conversation_id == conversation_id).order_by(labels.c.label)
        found = _plain(row) | {"labels": list((await connection.execute(named)).scalars())}
        noted = sa.select(notes).where(notes.c.conversation_id == conversation_id).order_by(notes.c.id)
        found["notes"] = [_plain(note) for note in await connection.execute(noted)]
    now = found.pop("now")
    channel = (channels or {}).get(row.channel_id)
    if channel is not None:
        found["composer"] = _composer(channel, policy.Standing(row.last_inbound_at, row.blocked, now))
    return found


def _composer(channel: Channel, standing: policy.Standing) -> dict[str, Any]:
    """May a person write now, and if not, why; and what this channel takes."""
    can = channel.abilities
    found = {
        "is_open": True,
        "reason": "",
        "has_templates": can.has_templates,
        "text_chars": can.text_chars,
        "attachment_bytes": dict(can.attachment_bytes),
        "reactions": list(can.reactions),
        "sends_locations": can.sends_locations,
    }
    try:
        policy.check_window(channel.abilities, standing, policy.Wish(is_template=False, is_automatic=False))
    except RefusedError as error:
        return found | {"is_open": False, "reason": str(error)}
    return found


async def list_messages(database: Database, conversation_id: int, limit: int = 500) -> list[dict[str, Any]]:
    """The last `limit` messages of a conversation, in order, with attachments and outbox state.

    Reactions of ours are shown at their message once they are sent, and until then by themselves.
    """
    is_shown = sa.or_(messages.c.kind != "reaction", messages.c.status.not_in(("sent", "delivered", "read")))
    newest = sa.select(messages).where(messages.c.conversation_id == conversation_id, is_shown)
    newest = newest.order_by(*(column.desc() for column in _ORDER)).limit(limit)
    async with database.read() as connection:
        rows = [_plain(row) for row in await connection.execute(newest)][::-1]
        ids = [row["id"] for row in rows]
        files = sa.select(attachments).where(attachments.c.message_id.in_(ids)).order_by(attachments.c.position)
        by_message: dict[int, list[dict[str, Any]]] = {}
        for part in await connection.execute(files):
            by_message.setdefault(part.message_id, []).append(_plain(part))
        entries = sa.select(outbox.c.message_id, outbox.c.id).where(outbox.c.message_id.in_(ids))
        sent = {row.message_id: row.id for row in await connection.execute(entries)}
    for row in rows:
        row["attachments"] = by_message.get(row["id"], [])
        row["outbox_id"] = sent.get(row["id"])
    return rows


async def place_of(database: Database, message_id: int) -> tuple[int, str]:
    """Conversation and the provider's id of a message, so that one can react to it.

    Raises:
        UnknownItemError: there is none, or the provider gave it no id yet.
    """
    query = sa.select(messages.c.conversation_id, messages.c.external_id).where(messages.c.id == message_id)
    async with database.read() as connection:
        row = (await connection.execute(query)).one_or_none()
    if row is None or not row.external_id:
        raise UnknownItemError(f"no message that the provider knows has the id {message_id}")
    return row.conversation_id, row.external_id


async def revisions(database: Database, message_id: int) -> list[dict[str, Any]]:
    """Everything that became of a message later, oldest first."""
    query = (
        sa.select(changes)
        .join(
            messages, sa.and_(messages.c.channel_id == changes.c.channel_id, messages.c.external_id == changes.c.target)
        )
        .where(messages.c.id == message_id)
        .order_by(changes.c.at, changes.c.id)
    )
    async with database.read() as connection:
        return [_plain(row) for row in await connection.execute(query)]


async def html_of(database: Database, message_id: int, *, with_remote_images: bool) -> SafeHtml:
    """The page of a mail as it is safe to show, its own pictures by address of the API; '' where it has none.

    Raises:
        UnknownItemError: there is no such message.
    """
    query = sa.select(raw_events.c.body, messages.c.details).select_from(messages)
    query = query.outerjoin(raw_events, raw_events.c.id == messages.c.raw_event_id).where(messages.c.id == message_id)
    files = sa.select(attachments.c.id, attachments.c.content_id).where(attachments.c.message_id == message_id)
    async with database.read() as connection:
        row = (await connection.execute(query)).one_or_none()
        inline = {one.content_id: f"/v1/attachments/{one.id}/content" for one in await connection.execute(files)}
    if row is None:
        raise UnknownItemError(f"no message has the id {message_id}")
    has_html = bool(row.body) and bool(json.loads(row.details).get("has_html"))
    page = read_mail(bytes(row.body)).html if has_html else ""
    return safe_html(page, inline, with_remote_images=with_remote_images)


async def list_outbox(database: Database, states: Sequence[str], limit: int = 100) -> list[dict[str, Any]]:
    """Entries in one of `states`, newest first: `failed` are the dead letters, `unknown` wait for a person."""
    query = sa.select(outbox).where(outbox.c.state.in_(states)).order_by(outbox.c.changed_at.desc()).limit(limit)
    async with database.read() as connection:
        return [{k: v for k, v in row._mapping.items() if k != "request"} for row in await connection.execute(query)]


async def contact(database: Database, contact_id: int) -> dict[str, Any]:
    """A contact with its identities.

    Raises:
        UnknownItemError: there is none.
    """
    async with database.read() as connection:
        row = (await connection.execute(sa.select(contacts).where(contacts.c.id == contact_id))).one_or_none()
        if row is None:
            raise UnknownItemError(f"no contact has the id {contact_id}")
        whose = sa.select(identities).where(identities.c.contact_id == contact_id).order_by(identities.c.id)
        found = _plain(row) | {"identities": [_plain(one) for one in await connection.execute(whose)]}
        names = [contact_merges.c[name] for name in ("id", "merged_id", "by", "at")]
        in_force = sa.and_(contact_merges.c.kept_id == contact_id, contact_merges.c.undone_at.is_(None))
        merged = sa.select(*names).where(in_force).order_by(contact_merges.c.id)
        return found | {"merges": [_plain(one) for one in await connection.execute(merged)]}


async def find_contacts(database: Database, text: str, limit: int = 50) -> list[dict[str, Any]]:
    """Identities with `text` in name, address or id on the channel, each with its contact; the latest first."""
    table = identities.c
    fields = (table.name, table.address, table.external_id)
    match = sa.or_(*(field.icontains(text, autoescape=True) for field in fields))
    columns = [table[name] for name in ("contact_id", "id", "channel_id", "external_id", "name", "address")]
    query = sa.select(*columns).where(match).order_by(table.id.desc()).limit(limit)
    async with database.read() as connection:
        return [_plain(row) for row in await connection.execute(query)]


async def list_notices(database: Database, channel_id: str, limit: int = 100) -> list[dict[str, Any]]:
    """What the provider said about an account, the latest first."""
    query = sa.select(notices).where(notices.c.channel_id == channel_id)
    query = query.order_by(notices.c.at.desc(), notices.c.id.desc()).limit(limit)
    async with database.read() as connection:
        return [_plain(row) for row in await connection.execute(query)]


def _plain(row: sa.Row[Any]) -> dict[str, Any]:
    """A row as JSON takes it."""
    found = dict(row._mapping)
    for name in _JSON:
        if isinstance(found.get(name), str):
            found[name] = json.loads(found[name])
    return found
