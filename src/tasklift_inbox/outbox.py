"""What we send: written down first, sent by a job. The entry, its message and its job are one transaction.

states: queued -> sending -> sent | failed | unknown; cancelled before it was sent.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from tasklift_inbox import policy
from tasklift_inbox.channels.base import Channel
from tasklift_inbox.channels.outgoing import Abilities, Outgoing, Reaction, Upload, check_able, takes_caption
from tasklift_inbox.errors import RefusedError, UnknownItemError
from tasklift_inbox.mail.tokens import message_id
from tasklift_inbox.mail.writing import reply_headers
from tasklift_inbox.media import MediaStore
from tasklift_inbox.runtime import Runtime
from tasklift_inbox.tables import attachments, conversations, identities, messages, outbox
from tasklift_inbox.texts import clean, compact
from tasklift_platform import audit
from tasklift_platform.database import now_s
from tasklift_platform.jobs import NewJob

#: Attempts that count; waiting for a limit or for a channel to be mended does not.
SEND_TRIES = 8


@dataclass(frozen=True, slots=True)
class Reply:
    """What somebody wants to send into a conversation.

    Attributes:
        by: who: a person, or "bot".
        reply_to: the provider's id of the message that is answered.
        uploads: sent as as many messages as the provider needs, in order.
        template: `name`, `language`, `parameters`, in place of a text.
        location: `latitude`, `longitude`, maybe `name` and `address`, in place of a text.
        reaction: in place of a message.
        key: of the one who asks, so that asking twice sends once; '' for none.
        is_automatic: no person has seen it; then `expected_version` says what the conversation was when it was written.
        delay_s: it may be taken back for so long.
    """

    text: str = ""
    by: str = ""
    uploads: Sequence[Upload] = ()
    reply_to: str | None = None
    template: Mapping[str, Any] | None = None
    is_automatic: bool = False
    expected_version: int | None = None
    delay_s: float = 0.0
    location: Mapping[str, Any] | None = None
    reaction: Reaction | None = None
    key: str = ""


@dataclass(frozen=True, slots=True)
class Queued:
    """An entry of the outbox and its message; `rest`: further messages of the same answer, in order."""

    outbox_id: str
    message_id: int
    rest: tuple[Queued, ...] = ()


async def enqueue(runtime: Runtime, conversation_id: int, reply: Reply) -> Queued:
    """Write `reply` into the outbox, if it may be sent.

    Raises:
        UnknownItemError: there is no such conversation.
        UnknownChannelError: its channel is disabled.
        RefusedError: it may not be sent, and why.
    """
    if not (reply.text.strip() or reply.uploads or reply.template or reply.location or reply.reaction):
        raise RefusedError("there is nothing to send: give a text, an attachment, a template or a location")
    if reply.template is not None and (reply.text.strip() or reply.uploads or reply.location):
        raise RefusedError("a template goes alone: leave out text, attachments and location")
    store = MediaStore(runtime.settings.media)
    files = [(upload, store.put_bytes(upload.content)) for upload in reply.uploads]
    try:
        async with runtime.database.write() as connection:
            row = await _target(connection, conversation_id)
            channel = runtime.channel(row.channel_id)
            done = await _asked_before(connection, row, reply) if reply.key else []
            if not done:
                parts = list(enumerate(in_parts(channel.abilities, reply, files)))
                done = [await _enqueue(connection, runtime, row, *part, _entry_id(row, reply, n)) for n, part in parts]
    except sa.exc.IntegrityError:
        if not reply.key:
            raise
        async with runtime.database.read() as connection:  # the same was asked for at the same moment
            done = await _asked_before(connection, await _target(connection, conversation_id), reply)
    return replace(done[0], rest=tuple(done[1:]))


def in_parts(
    can: Abilities, reply: Reply, files: Sequence[tuple[Upload, str]]
) -> list[tuple[Reply, Sequence[tuple[Upload, str]]]]:
    """As many messages as the provider needs, in order: text, attachments, location.

    The text goes with the first attachment where it may, else before it.
    """
    most, bare = can.attachments_per_message, replace(reply, text="", location=None)
    parts = [(bare, files[first : first + most]) for first in range(0, len(files), most)]
    if parts and takes_caption(can, files[0][0], reply.text):
        parts[0] = (replace(bare, text=reply.text), parts[0][1])
    elif reply.text.strip() or reply.template is not None or reply.reaction is not None:
        parts.insert(0, (replace(reply, location=None), ()))
    if reply.location is not None:
        parts.append((replace(bare, location=reply.location), ()))
    return [parts[0], *((replace(part, reply_to=None), some) for part, some in parts[1:])]


def _entry_id(row: sa.Row[Any], reply: Reply, part: int) -> str:
    """Made up, or of the key, so that the database refuses a second one."""
    if not reply.key:
        return secrets.token_hex(12)
    return hashlib.sha256(f"{row.id}\0{reply.by}\0{part}\0{reply.key}".encode()).hexdigest()[:24]


async def _asked_before(connection: AsyncConnection, row: sa.Row[Any], reply: Reply) -> list[Queued]:
    """What the same key brought before; nothing where it is new."""
    wanted = [_entry_id(row, reply, part) for part in range(len(reply.uploads) + 2)]
    query = sa.select(outbox.c.id, outbox.c.message_id).where(outbox.c.id.in_(wanted)).order_by(outbox.c.message_id)
    return [Queued(found.id, found.message_id) for found in await connection.execute(query)]


async def _enqueue(
    connection: AsyncConnection,
    runtime: Runtime,
    row: sa.Row[Any],
    reply: Reply,
    files: Sequence[tuple[Upload, str]],
    outbox_id: str,
) -> Queued:
    channel = runtime.channel(row.channel_id)
    outgoing = Outgoing(
        outbox_id,
        row.external_id,
        reply.text,
        tuple(upload for upload, _ in files),
        template=reply.template,
        location=reply.location,
        reaction=reply.reaction,
    )
    check_able(channel.abilities, outgoing)
    standing = policy.Standing(row.last_inbound_at, row.blocked, row.now)
    wish = policy.Wish(reply.template is not None, reply.is_automatic)
    policy.check_window(channel.abilities, standing, wish)
    if reply.is_automatic:
        await policy.check_automatic(connection, row.id, reply.expected_version)
    mail = await _mail(connection, runtime, row, outbox_id) if channel.abilities.is_mail else {}
    request = {"reply_to": reply.reply_to, "template": reply.template, "mail": mail, "location": reply.location}
    request["reaction"] = None if reply.reaction is None else asdict(reply.reaction)
    number = await _message(connection, row, reply, files, mail)
    for position, (upload, sha256) in enumerate(files):
        await connection.execute(sa.insert(attachments).values(_attachment(number, position, upload, sha256)))
    version = await _bump(connection, row, reply)
    entry = {
        "id": outbox_id,
        "channel_id": row.channel_id,
        "conversation_id": row.id,
        "message_id": number,
        "request": compact(request),
        "is_automatic": reply.is_automatic,
        "expected_version": version if reply.is_automatic else None,
        "by": reply.by,
        "created_at": now_s(),
        "changed_at": now_s(),
    }
    await connection.execute(sa.insert(outbox).values(entry))
    await _put_job(connection, runtime, outbox_id, row.id, reply.delay_s)
    return Queued(outbox_id, number)


async def _target(connection: AsyncConnection, conversation_id: int) -> sa.Row[Any]:
    query = (
        sa.select(
            conversations.c.id,
            conversations.c.channel_id,
            conversations.c.subject,
            conversations.c.thread,
            conversations.c.version,
            identities.c.external_id,
            identities.c.last_inbound_at,
            identities.c.blocked,
            now_s().label("now"),
        )
        .join(identities, identities.c.id == conversations.c.identity_id)
        .where(conversations.c.id == conversation_id)
    )
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise UnknownItemError(f"no conversation has the id {conversation_id}")
    return row


async def _mail(connection: AsyncConnection, runtime: Runtime, row: sa.Row[Any], outbox_id: str) -> dict[str, Any]:
    """The headers of an answer. Its Message-ID is made now, and stays the same at every attempt."""
    key, domain = runtime.tools.signing_key, runtime.channel(row.channel_id).config.external_id.rpartition("@")[2]
    identity = message_id(key, row.channel_id, row.id, outbox_id, domain)
    return {**await reply_headers(connection, row.id), "message_id": identity, "conversation_id": row.id}


async def _message(
    connection: AsyncConnection,
    row: sa.Row[Any],
    reply: Reply,
    files: Sequence[tuple[Upload, str]],
    mail: Mapping[str, Any],
) -> int:
    kind, text, details = files[0][0].kind if files else "text", reply.text, dict[str, Any]()
    if reply.template is not None:
        kind, details = "template", {"template": dict(reply.template)}
    elif reply.location is not None:
        kind, text, details = "location", str(reply.location.get("name") or text), dict(reply.location)
    elif reply.reaction is not None:
        kind, text = "reaction", reply.reaction.emoji
    if mail:
        details = {"subject": mail["subject"], "to": [mail.get("to") or row.external_id]}
    values = {
        "channel_id": row.channel_id,
        "conversation_id": row.id,
        "external_id": mail.get("message_id"),
        "direction": "out",
        "kind": kind,
        "text": clean(text),
        "details": compact(details),
        "reply_to": reply.reply_to if reply.reaction is None else reply.reaction.target,
        "author": reply.by,
        "status": "queued",
        "sent_at": now_s(),
        "received_at": now_s(),
    }
    made = sa.insert(messages).values(values).returning(messages.c.id)
    return int((await connection.execute(made)).scalar_one())


async def _bump(connection: AsyncConnection, row: sa.Row[Any], reply: Reply) -> int:
    """A person who writes has taken over, and counts a version; automation does not stop its own next message."""
    table = conversations.c
    if reply.reaction is not None:
        return int(row.version)
    values: dict[str, Any] = {"last_message_at": now_s()}
    if not reply.is_automatic:
        values |= {"handler": "human", "version": table.version + 1}
    moved = sa.update(conversations).where(table.id == row.id).values(values).returning(table.version)
    return int((await connection.execute(moved)).scalar_one())


def _attachment(message_id: int, position: int, upload: Upload, sha256: str) -> dict[str, Any]:
    return {
        "message_id": message_id,
        "position": position,
        "kind": upload.kind,
        "mime": upload.mime,
        "name": clean(upload.name)[:300],
        "size_bytes": len(upload.content),
        "sha256": sha256,
        "state": "stored",
    }


async def _put_job(
    connection: AsyncConnection, runtime: Runtime, outbox_id: str, conversation_id: int, delay_s: float = 0.0
) -> None:
    job = NewJob("send", {"outbox": outbox_id}, str(conversation_id), delay_s, SEND_TRIES)
    await runtime.send_queue.put(connection, [job])


async def cancel(runtime: Runtime, outbox_id: str, by: str) -> bool:
    """Take a message back that has not been sent yet; False where it is too late."""
    async with runtime.database.write() as connection:
        row = await _change(connection, outbox_id, ("queued",), "cancelled")
        if row is not None:
            await _set_status(connection, row.message_id, "cancelled", "")
            await audit.append(connection, by, "message.cancel", outbox_id)
    return row is not None


async def retry(runtime: Runtime, outbox_id: str, by: str) -> None:
    """Send a failed message again, or one whose outcome a person knows to be "not sent".

    Raises:
        UnknownItemError: there is none that failed or is unknown.
    """
    async with runtime.database.write() as connection:
        row = await _change(connection, outbox_id, ("failed", "unknown"), "queued")
        if row is None:
            raise UnknownItemError(f"no failed or unknown message has the outbox id {outbox_id}")
        await _set_status(connection, row.message_id, "queued", "")
        await _put_job(connection, runtime, outbox_id, row.conversation_id)
        await audit.append(connection, by, "message.retry", outbox_id)


async def declare_sent(runtime: Runtime, outbox_id: str, by: str) -> None:
    """A person has looked: a message whose outcome was unknown did arrive.

    Raises:
        UnknownItemError: there is none.
    """
    async with runtime.database.write() as connection:
        row = await _change(connection, outbox_id, ("unknown",), "sent")
        if row is None:
            raise UnknownItemError(f"no message of unknown outcome has the outbox id {outbox_id}")
        await _set_status(connection, row.message_id, "sent", "")
        await audit.append(connection, by, "message.declare_sent", outbox_id)


async def _change(
    connection: AsyncConnection, outbox_id: str, before: Sequence[str], after: str
) -> sa.Row[tuple[int, int]] | None:
    changed = sa.update(outbox).where(outbox.c.id == outbox_id, outbox.c.state.in_(before))
    changed = changed.values(state=after, error="", code="", changed_at=now_s())
    done = await connection.execute(changed.returning(outbox.c.message_id, outbox.c.conversation_id))
    return done.one_or_none()


async def _set_status(connection: AsyncConnection, message_id: int, status: str, error: str) -> None:
    await connection.execute(sa.update(messages).where(messages.c.id == message_id).values(status=status, error=error))


def outgoing_of(
    channel: Channel, entry: sa.Row[Any], request: Mapping[str, Any], uploads: Sequence[Upload]
) -> Outgoing:
    """What is handed to the channel for an entry (with its message's text and its identity's id)."""
    standing = policy.Standing(entry.last_inbound_at, entry.blocked, entry.now)
    wish = policy.Wish(request.get("template") is not None, entry.is_automatic)
    return Outgoing(
        entry.id,
        entry.external_id,
        entry.text,
        tuple(uploads),
        request.get("reply_to"),
        request.get("template"),
        entry.is_automatic,
        policy.needs_human_tag(channel.abilities, standing, wish),
        request.get("mail") or {},
        request.get("location"),
        Reaction(**request["reaction"]) if request.get("reaction") else None,
    )
