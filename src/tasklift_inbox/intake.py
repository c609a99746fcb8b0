"""Stores what channels have read: identities, conversations, messages, attachments, changes. Safe to repeat.

Everything of a batch is a handful of statements with one parameter each. What was stored before is left out by the
database's constraints, so a batch may come again, in another order, cut differently.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from tasklift_inbox import changing, people
from tasklift_inbox.channels.base import Arrived, Changed, Item, Noticed, Person, Renamed, Seen
from tasklift_inbox.tables import attachments, channels, conversations, identities, messages, notices, outbox
from tasklift_inbox.texts import clean, compact
from tasklift_inbox.threads import Placed, others_of, place
from tasklift_platform.bulk import given, insert_rows
from tasklift_platform.jobs import JobQueue, NewJob

#: Attempts at an attachment, over some hours.
FETCH_TRIES = 12


@dataclass(frozen=True, slots=True)
class Read:
    """What was in one raw event."""

    raw_event_id: int
    received_at: float
    items: Sequence[Item]


@dataclass(slots=True)
class Stored:
    """What became of a batch.

    Attributes:
        messages: ids of new messages.
        conversations: whose state changed.
        unrouted: raw events with something for an account that is no channel here -> the account.
    """

    messages: list[int] = field(default_factory=list)
    conversations: set[int] = field(default_factory=set)
    unrouted: dict[int, str] = field(default_factory=dict)


class Intake:
    """One batch in one transaction.

    Args:
        connection: the transaction.
        route: account, as the provider calls it ('' too) -> channel.
        media: takes the jobs that fetch attachments, and names.
        nameless: channels whose messages bring no names.
    """

    def __init__(
        self, connection: AsyncConnection, route: Mapping[str, str], media: JobQueue, nameless: Collection[str] = ()
    ) -> None:
        self._connection, self._route, self._media, self._nameless = connection, route, media, nameless
        self._stored = Stored()

    async def store(self, batch: Iterable[Read]) -> Stored:
        """Store all of `batch`."""
        routed = [
            (read, item, channel) for read in batch for item in read.items if (channel := self._channel(read, item))
        ]
        ours = await self._settle(routed)
        arrived = [(read, item, channel) for read, item, channel in routed if isinstance(item, Arrived)]
        await self._messages([entry for entry in arrived if entry[1].outbox_id not in ours])
        changed = [(read, item, channel) for read, item, channel in routed if isinstance(item, Changed)]
        touched = await changing.store_changes(self._connection, changed)
        self._stored.conversations |= touched
        for _, item, channel in routed:
            if isinstance(item, Seen):
                await changing.apply_seen(self._connection, channel, item)
            elif isinstance(item, Renamed):
                await people.rename(self._connection, channel, item.old, item.new)
        await self._notices([(read, item, channel) for read, item, channel in routed if isinstance(item, Noticed)])
        return self._stored

    def _channel(self, read: Read, item: Item) -> str | None:
        found = self._route.get(item.account)
        if found is None:
            self._stored.unrouted[read.raw_event_id] = item.account
        return found

    async def _settle(self, routed: Sequence[tuple[Read, Item, str]]) -> set[str]:
        """Echoes and statuses that hand our outbox id back say which message it was, and that it was sent."""
        named = {
            item.outbox_id: (item.id if isinstance(item, Arrived) else item.target, channel)
            for _, item, channel in routed
            if isinstance(item, (Arrived, Changed)) and item.outbox_id
        }
        if not named:
            return set()
        query = sa.select(outbox.c.id, outbox.c.message_id, outbox.c.channel_id).where(outbox.c.id.in_(sorted(named)))
        rows = (await self._connection.execute(query)).all()
        ours = {row.id for row in rows if named[row.id][1] == row.channel_id}
        for row in rows:
            if row.id in ours:
                await changing.mark_sent(self._connection, row.id, named[row.id][0])
        return ours

    async def _messages(self, arrived: Sequence[tuple[Read, Arrived, str]]) -> None:
        by_key: dict[tuple[str, str], tuple[Read, Arrived, str]] = {}
        for entry in arrived:
            by_key.setdefault((entry[2], entry[1].id), entry)
        for key in await self._present(by_key):
            del by_key[key]
        if not by_key:
            return
        new = list(by_key.values())
        wanted: dict[tuple[str, str], Person] = {}
        for _, item, channel in new:
            for person in (item.person, *others_of(item)):
                wanted.setdefault((channel, person.id), person)
        known = await people.find_or_make(self._connection, wanted)
        await self._ask_names({known[key] for key in wanted if key[0] in self._nameless and not wanted[key].name})
        placed = [
            Placed(
                read.raw_event_id,
                read.received_at,
                channel,
                known[channel, item.person.id],
                item,
                tuple(known[channel, other.id] for other in others_of(item)),
            )
            for read, item, channel in new
        ]
        placed.sort(key=lambda one: (one.item.sent_at, one.item.order_key))
        in_conversation = await place(self._connection, placed)
        placed = [replace(one, conversation_id=number) for one, number in zip(placed, in_conversation, strict=True)]
        await self._insert(placed)

    async def _ask_names(self, identity_ids: set[int]) -> None:
        """Names that do not come with messages are asked for, once for each person."""
        query = sa.select(identities.c.id).where(identities.c.id.in_(sorted(identity_ids)), identities.c.name == "")
        query = query.where(identities.c.last_inbound_at.is_(None))  # the first message of theirs
        rows = (await self._connection.execute(query)).scalars() if identity_ids else ()
        jobs = [NewJob("name", {"identity": number}, max_attempts=3) for number in rows]
        await self._media.put(self._connection, jobs)

    async def _present(self, keys: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        table = messages.c
        rows = [{"channel_id": channel, "external_id": external} for channel, external in keys]
        asked = given(self._connection, [table.channel_id, table.external_id], rows)
        same = sa.and_(table.channel_id == asked.c.channel_id, table.external_id == asked.c.external_id)
        query = sa.select(table.channel_id, table.external_id).select_from(sa.join(messages, asked, same))
        return [(row.channel_id, row.external_id) for row in await self._connection.execute(query)]

    async def _insert(self, placed: Sequence[Placed]) -> None:
        rows = [_message_row(one) for one in placed]
        columns = [messages.c.id, messages.c.channel_id, messages.c.external_id]
        made = await insert_rows(self._connection, messages, rows, unless_there=True, returning=columns)
        numbers = {(row.channel_id, row.external_id): row.id for row in made}
        fresh = [one for one in placed if (one.channel_id, one.item.id) in numbers]
        self._stored.messages += numbers.values()
        await self._attach([(numbers[one.channel_id, one.item.id], one) for one in fresh])
        await self._touch(fresh)
        await changing.apply_changes(self._connection, list(numbers))

    async def _attach(self, made: Sequence[tuple[int, Placed]]) -> None:
        rows = [
            {
                "message_id": number,
                "position": position,
                "kind": part.kind,
                "ref": part.ref,
                "mime": clean(part.mime)[:200],
                "name": clean(part.name)[:300],
                "content_id": clean(part.content_id),
                "size_bytes": part.size_bytes,
            }
            for number, one in made
            for position, part in enumerate(one.item.parts)
        ]
        ids = await insert_rows(self._connection, attachments, rows, unless_there=True, returning=[attachments.c.id])
        await self._media.put(
            self._connection, [NewJob("fetch", {"attachment": row.id}, max_attempts=FETCH_TRIES) for row in ids]
        )

    async def _touch(self, fresh: Sequence[Placed]) -> None:
        """Conversations move up and count a version; what was sent elsewhere pauses the bot."""
        table = conversations.c
        sums: dict[int, dict[str, Any]] = {}
        inbound: dict[int, float] = {}
        for one in fresh:
            row = sums.setdefault(
                one.conversation_id, {"id": one.conversation_id, "version": 0, "last_message_at": 0.0}
            )
            row["version"] += 1
            at = min(one.item.sent_at, one.received_at)  # a clock that is ahead must not keep it on top
            row["last_message_at"] = max(row["last_message_at"], at)
            if one.item.is_echo:
                row["handler"] = "human"
            else:
                inbound[one.identity_id] = max(inbound.get(one.identity_id, 0.0), at)
        if not sums:
            return
        self._stored.conversations |= set(sums)
        asked = given(
            self._connection, [table.id, table.version, table.last_message_at, table.handler], list(sums.values())
        )
        later = sa.case(
            (asked.c.last_message_at > table.last_message_at, asked.c.last_message_at), else_=table.last_message_at
        )
        moved = sa.update(conversations).where(table.id == asked.c.id)
        await self._connection.execute(
            moved.values(
                version=table.version + asked.c.version,
                last_message_at=later,
                handler=sa.func.coalesce(asked.c.handler, table.handler),
            )
        )
        known = identities.c
        seen = [{"id": number, "last_inbound_at": at} for number, at in inbound.items()]
        heard = given(self._connection, [known.id, known.last_inbound_at], seen)
        newer = sa.or_(known.last_inbound_at.is_(None), known.last_inbound_at < heard.c.last_inbound_at)
        updated = sa.update(identities).where(known.id == heard.c.id, newer)
        await self._connection.execute(updated.values(last_inbound_at=heard.c.last_inbound_at))

    async def _notices(self, noticed: Sequence[tuple[Read, Noticed, str]]) -> None:
        rows = [
            {
                "channel_id": channel,
                "kind": clean(item.kind)[:200],
                "dedupe_key": item.key,
                "details": compact(item.details),
                "at": item.at,
                "raw_event_id": read.raw_event_id,
            }
            for read, item, channel in noticed
        ]
        made = await insert_rows(self._connection, notices, rows, unless_there=True, returning=[notices.c.dedupe_key])
        fresh = {row.dedupe_key for row in made}
        for _, item, channel in noticed:
            if item.problem and item.key in fresh:
                sick = sa.update(channels).where(channels.c.id == channel)
                values = {"health": "unhealthy", "problem": item.problem, "health_at": item.at}
                remedy = "see the provider's account pages, then run `tasklift-inbox channel check`"
                await self._connection.execute(sick.values(**values, remedy=remedy))


def _message_row(one: Placed) -> dict[str, Any]:
    item = one.item
    return {
        "channel_id": one.channel_id,
        "conversation_id": one.conversation_id,
        "identity_id": None if item.is_echo else one.identity_id,
        "external_id": item.id,
        "direction": "out" if item.is_echo else "in",
        "kind": item.kind,
        "text": clean(item.text),
        "details": compact(item.details),
        "reply_to": item.reply_to,
        "author": "elsewhere" if item.is_echo else "",
        "status": "sent" if item.is_echo else "",
        "sent_at": item.sent_at,
        "order_key": item.order_key,
        "received_at": one.received_at,
        "raw_event_id": one.raw_event_id,
    }
