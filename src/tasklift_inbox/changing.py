"""What becomes of a message later: edits, deletion, reactions, statuses. They may be here before it.

Every change is kept; the message holds their sum, which is computed again from all of them whenever one is added,
so their order of arrival does not matter.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from tasklift_inbox.channels.base import Changed, Seen
from tasklift_inbox.channels.reading import mapping
from tasklift_inbox.tables import changes, channels, conversations, identities, messages, outbox
from tasklift_inbox.texts import clean, compact
from tasklift_platform.bulk import given, insert_rows
from tasklift_platform.database import now_s

#: A status only ever grows; `failed` stands apart and does not undo `read`.
RANK = {"": 0, "queued": 1, "sending": 2, "unknown": 3, "failed": 4, "sent": 5, "delivered": 6, "read": 7}


class _Event(Protocol):
    @property
    def raw_event_id(self) -> int: ...


async def store_changes(connection: AsyncConnection, changed: Sequence[tuple[_Event, Changed, str]]) -> set[int]:
    """Keep new changes and apply them where their message is here.

    Returns:
        the conversations that changed.
    """
    unique = {(channel, item.key): (read, item, channel) for read, item, channel in changed}
    rows = [
        {
            "channel_id": channel,
            "target": item.target,
            "kind": item.kind,
            "dedupe_key": item.key,
            "actor": item.actor,
            "value": clean(item.value),
            "details": compact(item.details),
            "at": item.at,
            "raw_event_id": read.raw_event_id,
        }
        for read, item, channel in unique.values()
    ]
    columns = [changes.c.channel_id, changes.c.target, changes.c.dedupe_key]
    made = await insert_rows(connection, changes, rows, unless_there=True, returning=columns)
    for row in made:
        item = unique[row.channel_id, row.dedupe_key][1]
        if item.blocks:
            await _block(connection, row.channel_id, item)
    return await apply_changes(connection, {(row.channel_id, row.target) for row in made})


async def apply_changes(connection: AsyncConnection, targets: Iterable[tuple[str, str]]) -> set[int]:
    """Compute the sum of all changes of the messages `targets` (channel, external id), as far as they are here."""
    rows = [{"channel_id": channel, "target": target} for channel, target in sorted(targets)]
    if not rows:
        return set()
    asked = given(connection, [changes.c.channel_id, changes.c.target], rows)
    same = sa.and_(changes.c.channel_id == asked.c.channel_id, changes.c.target == asked.c.target)
    its = sa.and_(messages.c.channel_id == changes.c.channel_id, messages.c.external_id == changes.c.target)
    query = (
        sa.select(messages, changes.c.kind.label("change"), changes.c.value, changes.c.actor, changes.c.at)
        .add_columns(changes.c.details.label("change_details"), changes.c.id.label("change_id"))
        .select_from(sa.join(sa.join(changes, asked, same), messages, its))
        .order_by(changes.c.at, changes.c.id)
    )
    sums: dict[int, dict[str, Any]] = {}
    touched: set[int] = set()
    for row in await connection.execute(query):
        touched.add(row.conversation_id)
        one = sums.setdefault(
            row.id,
            {"id": row.id, "text": row.text, "status": row.status, "error": row.error, "deleted_at": row.deleted_at}
            | {"reactions": {}, "revision": 0, "details": json.loads(row.details)},
        )
        _add(one, row)
    await _write(connection, list(sums.values()))
    return touched


def _add(one: dict[str, Any], row: sa.Row[Any]) -> None:
    if row.change == "edit":
        one["details"].setdefault("original", row.text)
        one["text"] = row.value  # in order of time: the last one stays
        one["revision"] += 1
    elif row.change == "delete":
        one["deleted_at"] = row.at
    elif row.change == "reaction":
        one["reactions"].pop(row.actor, None)
        if row.value:
            one["reactions"][row.actor] = row.value
    elif row.change == "status" and RANK.get(row.value, 0) > RANK.get(one["status"], 0):
        one["status"] = row.value
    if row.change == "status" and row.value == "failed":
        one["error"] = _error(json.loads(row.change_details))


async def _write(connection: AsyncConnection, sums: Sequence[dict[str, Any]]) -> None:
    if not sums:
        return
    names = ("id", "text", "status", "error", "deleted_at", "reactions", "revision", "details")
    rows = [{**one, "reactions": compact(one["reactions"]), "details": compact(one["details"])} for one in sums]
    asked = given(connection, [messages.c[name] for name in names], rows)
    changed = sa.update(messages).where(messages.c.id == asked.c.id)
    await connection.execute(changed.values({name: asked.c[name] for name in names if name != "id"}))


async def apply_seen(connection: AsyncConnection, channel_id: str, seen: Seen) -> None:
    """Everything that we sent to the person up to a time is delivered, or read."""
    lower = [name for name, rank in RANK.items() if 0 < rank < RANK[seen.status]]
    whose = sa.select(conversations.c.id).join(identities, identities.c.id == conversations.c.identity_id)
    whose = whose.where(identities.c.channel_id == channel_id, identities.c.external_id == seen.person_id)
    reached = sa.update(messages).where(
        messages.c.conversation_id.in_(whose),
        messages.c.direction == "out",
        messages.c.external_id.is_not(None),
        messages.c.sent_at <= seen.up_to,
        messages.c.status.in_(lower),
        messages.c.status != "failed",
    )
    await connection.execute(reached.values(status=seen.status))


async def mark_sent(connection: AsyncConnection, outbox_id: str, external_id: str) -> None:
    """The provider has it under `external_id`; whatever came about it before is applied now."""
    done = sa.update(outbox).where(
        outbox.c.id == outbox_id, outbox.c.state.in_(("sending", "unknown", "queued", "failed"))
    )
    await connection.execute(done.values(state="sent", error="", code="", changed_at=now_s()))
    columns = [messages.c[name] for name in ("id", "channel_id", "status", "external_id", "kind")]
    query: sa.Select[Any] = sa.select(*columns, messages.c.text, messages.c.reply_to, messages.c.sent_at)
    query = query.join(outbox, outbox.c.message_id == messages.c.id).where(outbox.c.id == outbox_id)
    row = (await connection.execute(query)).one()
    if row.external_id != external_id:
        twin = sa.select(messages.c.id).where(  # its echo was here first, without our id
            messages.c.channel_id == row.channel_id, messages.c.external_id == external_id, messages.c.id != row.id
        )
        await _forget(connection, list((await connection.execute(twin)).scalars()))
    values: dict[str, Any] = {"external_id": external_id or row.external_id, "error": ""}
    if RANK.get(row.status, 0) < RANK["sent"]:
        values["status"] = "sent"
    await connection.execute(sa.update(messages).where(messages.c.id == row.id).values(values))
    await apply_changes(connection, [(row.channel_id, external_id)])
    if row.kind == "reaction":
        await _react(connection, outbox_id, row)


async def _react(connection: AsyncConnection, outbox_id: str, row: sa.Row[Any]) -> None:
    """Our reaction is shown at its message; under the account's id, as a provider that echoes it has it."""
    ours = sa.select(channels.c.external_id).where(channels.c.id == row.channel_id)
    change = {
        "channel_id": row.channel_id,
        "target": row.reply_to,
        "kind": "reaction",
        "dedupe_key": f"outbox:{outbox_id}",
        "actor": (await connection.execute(ours)).scalar_one(),
        "value": row.text,
        "details": "{}",
        "at": row.sent_at,
    }
    await insert_rows(connection, changes, [change], unless_there=True)
    await apply_changes(connection, [(row.channel_id, row.reply_to)])


async def _forget(connection: AsyncConnection, message_ids: Sequence[int]) -> None:
    if message_ids:
        await connection.execute(sa.delete(messages).where(messages.c.id.in_(message_ids)))


async def _block(connection: AsyncConnection, channel_id: str, item: Changed) -> None:
    """Whom our message could not reach for good: by the message, or by the address that a bounce names."""
    whose = (
        sa.select(conversations.c.identity_id)
        .join(messages, messages.c.conversation_id == conversations.c.id)
        .where(messages.c.channel_id == channel_id, messages.c.external_id == item.target)
    )
    match: sa.ColumnElement[bool] = identities.c.id.in_(whose)
    if item.actor:
        ours = sa.exists().where(messages.c.channel_id == channel_id, messages.c.external_id == item.target)
        ours = ours.where(messages.c.direction == "out")  # anybody can write a bounce of a mail that never was
        match = sa.and_(identities.c.channel_id == channel_id, identities.c.external_id == item.actor, ours)
    await connection.execute(sa.update(identities).where(match).values(blocked=item.blocks))


def _error(details: dict[str, Any]) -> str:
    errors = details.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        first = errors[0]
        inner = mapping(first.get("error_data"))
        words = inner.get("details") or first.get("message") or first.get("title") or ""
        return clean(f"{words} (code {first.get('code')})")
    return clean(str(details.get("reason", "the provider says that it failed")))
