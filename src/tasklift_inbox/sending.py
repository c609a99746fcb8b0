"""The job that sends one entry of the outbox, and says what became of it.

What a crash at any line leaves behind: before "sending" is committed nothing was sent, and the job runs again. After
it the provider may have the message; the job finds the entry in "sending" and asks the channel, or leaves the answer
to callback data and echoes, or to a person. It is never sent a second time on a guess.
"""

from __future__ import annotations

import json
import logging
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from tasklift_inbox import changing, policy
from tasklift_inbox.channels.base import Channel
from tasklift_inbox.channels.outgoing import NotSent, Outgoing, Upload, check_able
from tasklift_inbox.errors import Outcome, RefusedError, SendError
from tasklift_inbox.media import MediaStore, sign_file
from tasklift_inbox.outbox import outgoing_of
from tasklift_inbox.pacing import hold, reserve
from tasklift_inbox.runtime import Runtime
from tasklift_inbox.tables import attachments, channels, conversations, identities, messages, outbox
from tasklift_platform.database import now_s
from tasklift_platform.job_worker import GiveUpError, PutOffError
from tasklift_platform.jobs import Job

_LOG = logging.getLogger("tasklift.inbox.send")
_CHANNEL_PAUSE_S = 30.0  # before a message looks whether its channel was mended
_LOOKUP_PAUSE_S = 20.0  # before a provider is asked what became of a message
_LONGEST_RETRY_AFTER_S = 3600.0


class Sender:
    """Does the jobs of the kind `send`."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime, self._database = runtime, runtime.database
        self._files = MediaStore(runtime.settings.media)

    async def send(self, job: Job) -> None:
        """One entry.

        Raises:
            PutOffError: it has to wait, for a limit or for its channel.
            SendError: it is tried again after a pause.
            GiveUpError: that was the last attempt.
        """
        await self._runtime.refresh()
        entry = await self._entry(job.payload["outbox"])
        if entry is None or entry.state in ("sent", "failed", "cancelled"):
            return
        channel = self._runtime.channels.get(entry.channel_id)
        if channel is None:
            raise PutOffError(f"channel {entry.channel_id} is disabled", _CHANNEL_PAUSE_S)
        outgoing = outgoing_of(channel, entry, json.loads(entry.request), await self._uploads(entry.message_id))
        if entry.state in ("sending", "unknown") and await self._is_settled(entry, channel, outgoing):
            return
        try:
            await self._begin(entry, channel, outgoing)
        except RefusedError as error:
            await self._end(entry, "failed", str(error), "refused")
            return
        try:
            sent = await channel.send(outgoing)
        except SendError as error:
            if error.outcome is Outcome.UNKNOWN and outgoing.reaction is not None:
                error = SendError(str(error), Outcome.RETRY, provider_code=error.provider_code)
            await self._failed(job, entry, channel, error)
            return
        async with self._database.write() as connection:
            await changing.mark_sent(connection, entry.id, sent.external_id)

    async def _entry(self, outbox_id: str) -> sa.Row[Any] | None:
        columns = [messages.c.text, identities.c.external_id, identities.c.last_inbound_at, identities.c.blocked]
        query = (
            sa.select(outbox, *columns, conversations.c.identity_id, now_s().label("now"))
            .join(messages, messages.c.id == outbox.c.message_id)
            .join(conversations, conversations.c.id == outbox.c.conversation_id)
            .join(identities, identities.c.id == conversations.c.identity_id)
            .where(outbox.c.id == outbox_id)
        )
        async with self._database.read() as connection:
            return (await connection.execute(query)).one_or_none()

    async def _uploads(self, message_id: int) -> list[Upload]:
        query = sa.select(attachments).where(attachments.c.message_id == message_id).order_by(attachments.c.position)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        key, base = self._runtime.tools.signing_key, self._runtime.settings.public_url.rstrip("/")
        return [
            Upload(row.kind, row.mime, row.name, self._files.read(row.sha256), f"{base}/files/{sign_file(key, row.id)}")
            for row in rows
            if row.sha256
        ]

    async def _is_settled(self, entry: sa.Row[Any], channel: Channel, outgoing: Outgoing) -> bool:
        """What became of an attempt that was cut off; False where it may be sent (again)."""
        is_repeatable = outgoing.reaction is not None  # the same reaction twice is one
        found = NotSent() if is_repeatable else await channel.lookup(outgoing)
        if isinstance(found, NotSent):
            await self._end(entry, "queued", "")
            return False
        if found is None:
            words = (
                "the provider may have it: its status will tell"
                if channel.abilities.takes_callback
                else ("the provider may have it and cannot be asked: look, then say `sent` or `retry`")
            )
            await self._end(entry, "unknown", words, "unknown")
            return True
        async with self._database.write() as connection:
            await changing.mark_sent(connection, entry.id, found.external_id)
        return True

    async def _begin(self, entry: sa.Row[Any], channel: Channel, outgoing: Outgoing) -> None:
        """Everything is asked once more, then the entry is "sending"; all in one transaction.

        Raises:
            RefusedError: it may not be sent any more.
            PutOffError: the channel is unhealthy, or a limit is reached.
        """
        check_able(channel.abilities, outgoing)
        async with self._database.write() as connection:
            sick = sa.select(channels.c.health, channels.c.problem).where(channels.c.id == entry.channel_id)
            health = (await connection.execute(sick)).one()
            if health.health == "unhealthy":
                raise PutOffError(f"channel {entry.channel_id} is unhealthy: {health.problem}", _CHANNEL_PAUSE_S)
            standing = policy.Standing(entry.last_inbound_at, entry.blocked, entry.now)
            policy.check_window(
                channel.abilities, standing, policy.Wish(outgoing.template is not None, entry.is_automatic)
            )
            if entry.is_automatic:
                await policy.check_automatic(connection, entry.conversation_id, entry.expected_version)
            await self._reserve(connection, entry, channel)
            begun = sa.update(outbox).where(outbox.c.id == entry.id, outbox.c.state == "queued")
            done = await connection.execute(begun.values(state="sending", error="", code="", changed_at=now_s()))
            if not done.rowcount:
                raise PutOffError("somebody else is at this message", 1.0)
            await connection.execute(
                sa.update(messages).where(messages.c.id == entry.message_id).values(status="sending", error="")
            )

    async def _reserve(self, connection: AsyncConnection, entry: sa.Row[Any], channel: Channel) -> None:
        can = channel.abilities
        wait_s = await reserve(connection, _limit(entry, "chat"), can.per_chat_s, can.burst)
        wait_s = wait_s or await reserve(connection, _limit(entry, "account"), can.per_account_s, can.burst)
        if wait_s:
            raise PutOffError("the channel's rate limit is reached", wait_s)

    async def _failed(self, job: Job, entry: sa.Row[Any], channel: Channel, error: SendError) -> None:
        words = f"{error.outcome} {error.provider_code}".strip()  # the provider's own may name the person
        if error.outcome is Outcome.UNKNOWN:
            await self._end(entry, "unknown", str(error), error.provider_code or "unknown")
            if channel.abilities.is_asked:
                raise PutOffError("the provider will be asked what became of it", _LOOKUP_PAUSE_S)
            return
        if error.outcome is Outcome.STOP:
            await self._end(entry, "failed", str(error), error.provider_code, blocks=error.blocks)
            return
        if error.outcome is Outcome.CHANNEL:
            await self._end(entry, "queued", str(error), error.provider_code)
            await note_health(self._runtime, entry.channel_id, str(error), error.remedy)
            raise PutOffError(f"the channel has to be mended: {words}", _CHANNEL_PAUSE_S)
        if error.retry_after_s is not None:
            await self._hold(entry, channel, error)
        elif job.attempt >= job.max_attempts:
            await self._end(entry, "failed", f"given up after {job.attempt} attempts: {error}", error.provider_code)
            raise GiveUpError(f"outbox entry {entry.id}: {words}")
        await self._end(entry, "queued", str(error), error.provider_code)
        raise SendError(f"outbox entry {entry.id}: {words}", error.outcome)

    async def _hold(self, entry: sa.Row[Any], channel: Channel, error: SendError) -> None:
        """The provider said how long to wait; that is no failed attempt.

        Raises:
            PutOffError: always.
        """
        pause_s = min(error.retry_after_s or 0.0, _LONGEST_RETRY_AFTER_S)
        can = channel.abilities
        rate = can.per_chat_s if error.scope == "chat" else can.per_account_s
        await self._end(entry, "queued", str(error), error.provider_code)
        async with self._database.write() as connection:
            await hold(connection, _limit(entry, error.scope), pause_s, rate, can.burst)
        raise PutOffError(f"the provider asks for {pause_s:g} s", pause_s)

    async def _end(self, entry: sa.Row[Any], state: str, error: str, code: str = "", *, blocks: bool = False) -> None:
        """Note a state, unless an echo or status has settled it meanwhile."""
        open_ones = ("queued", "sending", "unknown")
        async with self._database.write() as connection:
            changed = sa.update(outbox).where(outbox.c.id == entry.id, outbox.c.state.in_(open_ones))
            done = await connection.execute(changed.values(state=state, error=error, code=code, changed_at=now_s()))
            if not done.rowcount:
                return
            values = {"status": state, "error": error}
            await connection.execute(sa.update(messages).where(messages.c.id == entry.message_id).values(values))
            if blocks:
                who = sa.update(identities).where(identities.c.id == entry.identity_id)
                await connection.execute(who.values(blocked=error))


async def note_health(runtime: Runtime, channel_id: str, problem: str, remedy: str = "") -> None:
    """The channel has a problem, or none ('')."""
    values = {"health": "unhealthy" if problem else "ok", "problem": problem, "remedy": remedy, "health_at": now_s()}
    async with runtime.database.write() as connection:
        await connection.execute(sa.update(channels).where(channels.c.id == channel_id).values(values))
    if problem:
        _LOG.error("channel is unhealthy", extra={"channel": channel_id, "problem": problem, "remedy": remedy})


def _limit(entry: sa.Row[Any], scope: str) -> str:
    return f"{entry.channel_id}/{entry.identity_id}" if scope == "chat" else str(entry.channel_id)
