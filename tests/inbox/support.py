"""What tests of the inbox share: channels, events fed without HTTP, waiting."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

from tasklift_inbox import admin, views
from tasklift_inbox.normalise import Normaliser
from tasklift_inbox.outbox import Queued, Reply, enqueue
from tasklift_inbox.receive import store_raw
from tasklift_inbox.runtime import Runtime
from tasklift_inbox.sending import Sender
from tasklift_platform.job_worker import JobWorker
from tasklift_platform.jobs import JobQueue

NOW = time.time()
VALUES = {
    "simulated": {"app_secret": "s"},
    "whatsapp": {"external_id": "555", "access_token": "fake-meta-token", "app_secret": "s", "verify_token": "v"},
    "messenger": {"external_id": "500", "access_token": "fake-meta-token", "app_secret": "s", "verify_token": "v"},
    "instagram": {"external_id": "600", "access_token": "fake-meta-token", "app_secret": "s", "verify_token": "v"},
    "telegram": {"bot_token": "7000001:fake-telegram-token", "webhook_secret": "w"},
}


async def add(runtime: Runtime, kind: str, name: str | None = None, **settings: Any) -> str:
    """A channel with made-up credentials; returns its name."""
    name = name or kind
    await admin.add(runtime, admin.NewChannel(kind, name, VALUES[kind], settings), "test")
    return name


async def feed(runtime: Runtime, channel: str, events: Sequence[Any]) -> None:
    """Store raw events as the webhook does, and read them."""
    made = runtime.channel(channel)
    bodies = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
    rows = [{"channel_id": channel, "dedupe_key": made.dedupe_key(b), "headers": "{}", "body": b} for b in bodies]
    await store_raw(runtime.database, rows)
    await Normaliser(runtime).drain()


def says(*messages: tuple[str, str, str, float]) -> dict[str, Any]:
    """An event of the simulated channel: (from, id, text, seconds from now) each."""
    return {"messages": [{"from": f, "id": i, "text": t, "at": NOW + s} for f, i, t, s in messages]}


async def texts(runtime: Runtime) -> dict[str, list[str]]:
    """Who (by id on the channel) -> texts of their latest conversation, in order."""
    found: dict[str, list[str]] = {}
    for one in await views.list_conversations(runtime.database, views.Filter()):
        person = (await views.contact(runtime.database, one["contact_id"]))["identities"][0]["external_id"]
        rows = await views.list_messages(runtime.database, one["id"])
        found.setdefault(person, [row["text"] for row in rows])
    return found


async def conversation_of(runtime: Runtime) -> dict[str, Any]:
    """The latest conversation with its messages."""
    [one, *_] = await views.list_conversations(runtime.database, views.Filter())
    return one | {"messages": await views.list_messages(runtime.database, one["id"])}


async def reply(runtime: Runtime, text: str = "Hello", **more: Any) -> Queued:
    """Into the latest conversation, by a person."""
    conversation = await conversation_of(runtime)
    return await enqueue(runtime, conversation["id"], Reply(text, more.pop("by", "kim"), **more))


async def work(queue: JobQueue, handlers: Any, timeout_s: float = 10.0) -> None:
    """Work until every job that is due is done."""
    stop = asyncio.Event()
    worker = asyncio.create_task(JobWorker(queue, handlers, poll_s=0.02).run(stop))
    until = time.monotonic() + timeout_s
    quiet = 0
    while quiet < 3 and time.monotonic() < until:
        await asyncio.sleep(0.05)
        counts = await queue.counts()
        quiet = 0 if counts.get("running") else quiet + 1
    stop.set()
    await worker


async def send_all(runtime: Runtime) -> None:
    """Do the jobs that send and are due."""
    await work(runtime.send_queue, {"send": Sender(runtime).send})


async def outbox_states(runtime: Runtime) -> dict[str, str]:
    """Entry -> state."""
    every = ("queued", "sending", "sent", "failed", "unknown", "cancelled")
    return {row["id"]: row["state"] for row in await views.list_outbox(runtime.database, every)}
