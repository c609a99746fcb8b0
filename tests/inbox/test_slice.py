"""In by webhook, out by outbox: three channels, both databases."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tasklift_inbox import admin, outbox, views
from tasklift_inbox.app import Inbox
from tasklift_inbox.runtime import Settings
from tasklift_inbox.testing import Delivery, FakeMeta, FakeTelegram, running
from tasklift_inbox.testing.meta import whatsapp_event

NOW = time.time()


@contextlib.asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[tuple[Inbox, str]]:
    inbox = Inbox(settings)
    async with running(inbox.asgi, lifespan=True) as url:
        yield inbox, url


async def until(condition: Any, timeout_s: float = 8.0) -> Any:
    """The first true value of an async `condition`."""
    stop = time.monotonic() + timeout_s
    while True:
        found = await condition()
        if found:
            return found
        assert time.monotonic() < stop, "it did not happen in time"
        await asyncio.sleep(0.03)


async def told(inbox: Inbox, count: int) -> list[dict[str, Any]]:
    """The conversations with their messages, once there are `count` messages."""

    async def look() -> list[dict[str, Any]]:
        found = await views.list_conversations(inbox.runtime.database, views.Filter())
        for one in found:
            one["messages"] = await views.list_messages(inbox.runtime.database, one["id"])
        return found if sum(len(one["messages"]) for one in found) >= count else []

    return list(await until(look))


async def add(inbox: Inbox, kind: str, name: str, **values: Any) -> None:
    settings = {key: values.pop(key) for key in ("base_url", "mode") if key in values}
    await admin.add(inbox.runtime, admin.NewChannel(kind, name, values, settings), "test")


async def test_a_conversation_on_whatsapp_goes_in_and_out(settings: Settings) -> None:
    meta = FakeMeta()
    async with running(meta.app) as graph, serving(settings) as (inbox, url):
        await add(inbox, "whatsapp", "wa", external_id="555", access_token=meta.token, app_secret="s", verify_token="v",
                  base_url=graph)  # fmt: skip
        event = whatsapp_event(
            "555",
            [
                {
                    "from": "4917",
                    "id": "wamid.1",
                    "timestamp": str(int(NOW)),
                    "type": "text",
                    "text": {"body": "Hallo ❤"},
                },
                {"from": "4918", "id": "wamid.2", "timestamp": str(int(NOW)), "type": "text", "text": {"body": "Hi"}},
            ],
            contacts=[{"wa_id": "4917", "profile": {"name": "Änne"}}, {"wa_id": "4918", "profile": {"name": "Bo"}}],
        )
        hook = Delivery(f"{url}/hooks/wa", "s", repeats=3, within=2, batch=2)
        assert set(await hook.deliver([event, event, event])) == {200}
        found = {one["name"]: one for one in await told(inbox, 2)}
        assert {name: [m["text"] for m in one["messages"]] for name, one in found.items()} == {
            "Änne": ["Hallo ❤"],
            "Bo": ["Hi"],
        }
        queued = await outbox.enqueue(inbox.runtime, found["Bo"]["id"], outbox.Reply("Hello Bo", "kim"))

        async def sent() -> bool:
            rows = await views.list_messages(inbox.runtime.database, found["Bo"]["id"])
            return rows[-1]["status"] == "sent" and rows[-1]["external_id"] == "wamid.OUT1"

        await until(sent)
        [(account, body)] = meta.sent
        assert account == "555"
        assert (body["to"], body["text"]["body"], body["biz_opaque_callback_data"]) == (
            "4918",
            "Hello Bo",
            queued.outbox_id,
        )


async def test_telegram_by_webhook_and_by_polling(settings: Settings) -> None:
    fake = FakeTelegram()
    message = {
        "message_id": 5,
        "date": int(NOW),
        "chat": {"id": 42, "type": "private", "first_name": "Ada"},
        "from": {"id": 42, "is_bot": False, "first_name": "Ada"},
        "text": "by polling",
    }
    async with running(fake.app) as api, serving(settings) as (inbox, url):
        fake.push({"message": message})
        await add(inbox, "telegram", "tg", bot_token=fake.token, webhook_secret="w", base_url=api)
        [one] = await told(inbox, 1)
        assert [m["text"] for m in one["messages"]] == ["by polling"]
        hook = Delivery(f"{url}/hooks/tg", headers={"X-Telegram-Bot-Api-Secret-Token": "w"})
        later = {"update_id": 9000, "message": {**message, "message_id": 6, "text": "by webhook"}}
        assert await hook.deliver([later, later]) == {200: 2}
        [one] = await told(inbox, 2)
        await outbox.enqueue(inbox.runtime, one["id"], outbox.Reply("Hello Ada", "kim", reply_to="42:6"))

        async def sent() -> bool:
            return bool(fake.sent)

        await until(sent)
        assert fake.sent[0] == (
            "sendMessage",
            {"chat_id": "42", "text": "Hello Ada",
             "reply_parameters": {"message_id": 6, "allow_sending_without_reply": True}},
        )  # fmt: skip


async def test_a_wrong_signature_lets_nothing_in(settings: Settings) -> None:
    async with serving(settings) as (inbox, url), aiohttp.ClientSession() as session:
        await add(inbox, "simulated", "sim", app_secret="right")
        body = json.dumps({"messages": [{"from": "a", "id": "1", "text": "x"}]}).encode()
        for secret, sent in (("wrong", body), ("", body)):
            assert await Delivery(f"{url}/hooks/sim", secret).post(session, sent) == 401
        assert await Delivery(f"{url}/hooks/none", "right").post(session, body) == 404
        assert await Delivery(f"{url}/hooks/sim", "right", tries=1).post(session, b"x" * (5 * 2**20)) == 413
        assert await views.list_conversations(inbox.runtime.database, views.Filter()) == []


@pytest.mark.parametrize("body", [b"no json", b"[]", b'{"a":' * 100_000 + b"1" + b"}" * 100_000])
async def test_an_event_that_cannot_be_read_is_put_aside_and_the_next_one_goes_on(
    settings: Settings, body: bytes
) -> None:
    async with serving(settings) as (inbox, url), aiohttp.ClientSession() as session:
        await add(inbox, "simulated", "sim", app_secret="s")
        hook = Delivery(f"{url}/hooks/sim", "s")
        assert await hook.post(session, body) == 200
        assert (
            await hook.post(
                session,
                {"messages": [{"from": "a", "id": "1", "text": "\0 \ud83d".encode("utf-8", "replace").decode()}]},
            )
            == 200
        )
        [one] = await told(inbox, 1)
        assert one["messages"][0]["text"] == "\N{REPLACEMENT CHARACTER} ?"
