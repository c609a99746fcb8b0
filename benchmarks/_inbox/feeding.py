"""Rows that feed raw events without HTTP: five channels shuffled, memory over replays, machines that answer each other."""

from __future__ import annotations

import argparse
import base64
import contextlib
import email.utils
import json
import os
import random
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from _common import Figure, note

from tasklift_inbox import admin, changing
from tasklift_inbox.errors import RefusedError
from tasklift_inbox.normalise import Normaliser, replay
from tasklift_inbox.outbox import Reply, enqueue
from tasklift_inbox.receive import store_raw
from tasklift_inbox.runtime import Runtime, Settings
from tasklift_inbox.tables import conversations, identities, messages
from tasklift_inbox.testing.meta import messaging_event, whatsapp_event

SEED = 20261124
FIRST = 1_763_000_000
PEOPLE = 400
ROUND = 800  # deliveries of each channel that are stored, then read
CHANNELS = ("whatsapp", "messenger", "instagram", "telegram", "email")
#: The same in every run: one goes on with the inbox of another.
SECRET_KEY = base64.urlsafe_b64encode(b"0" * 32).decode()
VALUES: dict[str, dict[str, str]] = {
    "whatsapp": {"external_id": "555", "access_token": "t", "app_secret": "s", "verify_token": "v"},
    "messenger": {"external_id": "500", "access_token": "t", "app_secret": "s", "verify_token": "v"},
    "instagram": {"external_id": "600", "access_token": "t", "app_secret": "s", "verify_token": "v"},
    "telegram": {"bot_token": "7:t"},
    "email": {"external_id": "us@example.test", "imap_host": "x", "smtp_host": "x", "password": "p"},
}


@contextlib.asynccontextmanager
async def opened(*kinds: str, folder: Path | None = None) -> AsyncIterator[Runtime]:
    """An inbox in `folder`, or in a temporary one, with new channels of these kinds, named like them."""
    with tempfile.TemporaryDirectory() as temporary:
        runtime = await Runtime.open(Settings(folder or Path(temporary), "", SECRET_KEY))
        for kind in kinds:
            settings = {"mode": "webhook"} if kind == "telegram" else {}
            await admin.add(runtime, admin.NewChannel(kind, kind, VALUES[kind], settings), "bench")
        yield runtime
        await runtime.aclose()


def event_of(channel: str, numbers: Sequence[int]) -> bytes:
    """A raw event with the messages `numbers` of one channel; message n is of person n modulo 400, at second n."""
    if channel == "whatsapp":
        made = [
            {"from": f"27{n % PEOPLE:06d}", "id": f"wamid.{n}", "timestamp": str(FIRST + n), "type": "text", "text": {"body": f"{n}"}}
            for n in numbers
        ]  # fmt: skip
        return json.dumps(whatsapp_event("555", made)).encode()
    if channel in ("messenger", "instagram"):
        account = VALUES[channel]["external_id"]
        events = [
            {"sender": {"id": f"{n % PEOPLE}"}, "recipient": {"id": account}, "timestamp": (FIRST + n) * 1000,
             "message": {"mid": f"m_{n}", "text": f"{n}"}}
            for n in numbers
        ]  # fmt: skip
        return json.dumps(messaging_event("page", account, events, 0)).encode()
    [n] = numbers
    person = n % PEOPLE
    if channel == "telegram":
        user = {"id": person, "first_name": "A", "type": "private"}
        message = {"message_id": n, "date": FIRST + n - n % 7, "chat": user, "from": user, "text": f"{n}"}
        return json.dumps({"update_id": n, "message": message}).encode()
    head = {
        "From": f"p{person}@example.test",
        "To": "us@example.test",
        "Subject": "Parcel",
        "Message-ID": f"<m{n}@example.test>",
    }
    head["Date"] = email.utils.formatdate(FIRST + n)
    if n >= PEOPLE:
        head["References"] = f"<m{person}@example.test>"
        head["In-Reply-To"] = f"<m{n - PEOPLE}@example.test>"
    return ("".join(f"{name}: {value}\r\n" for name, value in head.items()) + f"\r\n{n}\r\n").encode()


def deliveries(channel: str, count: int, chance: random.Random) -> list[bytes]:
    """Each message 1 to 4 times, moved by up to five minutes; where the channel has batches, a fifth of them."""
    order = [(n + chance.uniform(-300, 300), n) for n in range(count) for _ in range(chance.randint(1, 4))]
    waiting, made = [n for _, n in sorted(order)], []
    while waiting:
        size = chance.randint(2, 10) if channel in CHANNELS[:3] and chance.random() < 0.2 else 1
        made.append(event_of(channel, waiting[:size]))
        waiting = waiting[size:]
    return made


async def shuffled(asked: argparse.Namespace) -> list[Figure]:
    """Is the stored set the sent set, each once, in order? Stops after --cpu-s and goes on in the next run."""
    count, chance, started = asked.messages // len(CHANNELS), random.Random(SEED), time.process_time()
    events = {channel: deliveries(channel, count, chance) for channel in CHANNELS}
    longest = max(map(len, events.values()))
    folder = Path(tempfile.gettempdir()) / f"tasklift-bench-shuffled-{asked.messages}"
    progress = folder / "progress.json"
    folder.mkdir(exist_ok=True)
    done: dict[str, Any] = json.loads(progress.read_text()) if progress.exists() else {"first": 0, "cpu_s": 0.0}
    async with opened(*(CHANNELS if not done["first"] else ()), folder=folder) as runtime:
        while done["first"] < longest:
            for channel in CHANNELS:
                await _feed(runtime, channel, events[channel][done["first"] : done["first"] + ROUND])
            done["first"] += ROUND
            note(f"shuffled: {done['first']} of {longest} rounds")
            progress.write_text(json.dumps({**done, "cpu_s": done["cpu_s"] + time.process_time() - started}))
            if time.process_time() - started > asked.cpu_s and done["first"] < longest:
                note("shuffled: run it again to go on")
                return list(asked.kept)
        wrong, extra, disordered = await _compare(runtime, count)
    total, cpu_s = sum(map(len, events.values())), done["cpu_s"] + time.process_time() - started
    how = f"{count * len(CHANNELS):,} messages, {total:,} deliveries, {cpu_s:.0f} CPU-s"
    return [
        Figure("lost, shuffled over five channels", wrong, at_most=0, unit=" messages", note=how),
        Figure("doubled or made up", extra, at_most=0, unit=" messages"),
        Figure("conversations out of order, or cut in two", disordered, at_most=0, unit=" conversations"),
    ]


async def _feed(runtime: Runtime, channel: str, bodies: Sequence[bytes]) -> None:
    key = runtime.channel(channel).dedupe_key
    rows = [{"channel_id": channel, "dedupe_key": key(body), "headers": "{}", "body": body} for body in bodies]
    if rows:
        await store_raw(runtime.database, rows)
        await Normaliser(runtime).drain()


async def _compare(runtime: Runtime, count: int) -> tuple[int, int, int]:
    lost = extra = disordered = 0
    order = (messages.c.sent_at, messages.c.order_key, messages.c.id)
    for channel in CHANNELS:
        query = sa.select(messages.c.text, conversations.c.id.label("conversation"), identities.c.external_id)
        query = query.join(conversations, conversations.c.id == messages.c.conversation_id)
        query = query.join(identities, identities.c.id == conversations.c.identity_id)
        async with runtime.database.read() as connection:
            rows = (await connection.execute(query.where(messages.c.channel_id == channel).order_by(*order))).all()
        told = [int(row.text) for row in rows]
        lost += len(set(range(count)) - set(told))
        extra += len(told) - len(set(told))
        talks: dict[int, list[int]] = {}
        for row in rows:
            talks.setdefault(row.conversation, []).append(int(row.text))
        whole = sum(numbers == list(range(numbers[0] % PEOPLE, count, PEOPLE)) for numbers in talks.values())
        disordered += len(talks) - whole + abs(len(talks) - min(PEOPLE, count))
    return lost, extra, disordered


async def memory(asked: argparse.Namespace) -> list[Figure]:
    """Resident memory while 200,000 messages are read again and again."""
    readings: list[float] = []
    async with opened("whatsapp") as runtime:
        await _feed(runtime, "whatsapp", [event_of("whatsapp", list(some)) for some in _tens(20_000)])
        for turn in range(10):
            await replay(runtime.database, only_poison=False)
            await Normaliser(runtime).drain()
            readings.append(_resident_mb())
            note(f"memory: {(turn + 1) * 20_000:,} messages, {readings[-1]:.0f} MB")
    growth = readings[-1] - readings[1]
    how = ", ".join(f"{reading:.0f}" for reading in readings)
    return [
        Figure(
            "memory grows from 40,000 to 200,000 replayed messages", growth, at_most=10, unit=" MB", note=f"MB: {how}"
        )
    ]


def _tens(count: int) -> list[range]:
    return [range(first, first + 10) for first in range(0, count, 10)]


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def auto_responders(asked: argparse.Namespace) -> list[Figure]:
    """Our automatic answers to a machine that answers each of them: one that says it is a machine, and one that does not."""
    figures = []
    for says_so, most in ((True, 0), (False, 10)):
        async with opened("email") as runtime:
            sent = await _duel(runtime, says_so=says_so)
        what = "a machine that says so" if says_so else "a machine that does not say so"
        figures.append(
            Figure(
                f"automatic answers to {what}", sent, at_most=most, unit=" mails", note="the breaker is 10 in 180 min"
            )
        )
    return figures


async def _duel(runtime: Runtime, *, says_so: bool) -> int:
    sent = 0
    for n in range(50):
        head = f"From: robot@example.test\r\nTo: us@example.test\r\nSubject: Re: Ticket\r\nMessage-ID: <r{n}@example.test>\r\n"
        head += f"Date: {email.utils.formatdate(time.time())}\r\nReferences: <r0@example.test>\r\n"
        head += "Auto-Submitted: auto-replied\r\n" if says_so else ""
        await _feed(runtime, "email", [f"{head}\r\nThank you, we have received message {n}.\r\n".encode()])
        async with runtime.database.read() as connection:
            row = (await connection.execute(sa.select(conversations.c.id, conversations.c.version))).first()
        if row is None:
            raise SystemExit("the mail made no conversation")
        reply = Reply("Thank you for your message.", "bot", is_automatic=True, expected_version=row.version)
        with contextlib.suppress(RefusedError):
            queued = await enqueue(runtime, row.id, reply)
            async with runtime.database.write() as connection:
                await changing.mark_sent(connection, queued.outbox_id, f"ours{n}@example.test")
            sent += 1
    return sent
