"""Several attachments, reactions, locations: as each provider takes them, or refused with the reason; asked twice, sent once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from inbox.mail_support import add_mailbox, mail
from inbox.support import NOW, add, conversation_of, feed, outbox_states, reply, says, send_all
from inbox.test_operations import api
from inbox.test_outbox import telegram_text, whatsapp_text

from tasklift_inbox.channels.outgoing import Reaction, Upload
from tasklift_inbox.errors import RefusedError
from tasklift_inbox.outbox import Reply, enqueue
from tasklift_inbox.runtime import Runtime, Settings
from tasklift_inbox.testing import FakeMeta, FakeTelegram, running
from tasklift_inbox.testing.meta import messaging_event
from tasklift_platform import jobs

PICTURE = Upload("image", "image/png", "a.png", b"\x89PNG")
BILL = Upload("document", "application/pdf", "b.pdf", b"%PDF-")
VOICE = Upload("voice", "audio/ogg", "c.ogg", b"OggS")
STICKER = Upload("sticker", "image/webp", "d.webp", b"RIFF")
DEPOT = {"latitude": -33.9, "longitude": 18.4, "name": "Depot", "address": "1 Long Street"}


def page_text(product: str = "page", account: str = "500") -> dict[str, Any]:
    event = {"sender": {"id": "8"}, "recipient": {"id": account}, "timestamp": int(NOW) * 1000}
    return messaging_event(product, account, [{**event, "message": {"mid": "m1", "text": "hi"}}], 0)


@contextlib.asynccontextmanager
async def talking(runtime: Runtime, kind: str) -> AsyncIterator[Any]:
    """A fake provider; somebody has written by it."""
    fake: Any = FakeTelegram() if kind == "telegram" else FakeMeta()
    first = {
        "telegram": telegram_text(),
        "whatsapp": whatsapp_text(),
        "messenger": page_text(),
        "instagram": page_text("instagram", "600"),
    }[kind]
    async with running(fake.app) as url:
        await add(runtime, kind, base_url=url, **({"mode": "webhook"} if kind == "telegram" else {}))
        await feed(runtime, kind, [first])
        yield fake


def shape(kind: str, sent: tuple[str, dict[str, Any]]) -> str:
    """What was sent, in a word or two."""
    name, body = sent
    if kind == "telegram":
        return f"{name} {body.get('caption') or body.get('text') or ''}".strip()
    if kind == "whatsapp":
        media = body[body["type"]]
        return f"{body['type']} {media.get('caption') or media.get('body') or ''}".strip()
    message = body["message"]
    return str(message.get("text") or message["attachment"]["type"])


@pytest.mark.parametrize(
    ("kind", "uploads", "expected"),
    [
        ("telegram", (PICTURE, BILL), ["sendPhoto see", "sendDocument"]),
        ("whatsapp", (PICTURE, BILL), ["image see", "document"]),
        ("whatsapp", (VOICE, PICTURE), ["text see", "audio", "image"]),
        ("telegram", (STICKER,), ["sendMessage see", "sendSticker"]),
        ("whatsapp", (STICKER,), ["text see", "sticker"]),
        ("messenger", (PICTURE, BILL), ["see", "image", "file"]),
        ("instagram", (PICTURE, VOICE), ["see", "image", "audio"]),
    ],
)
async def test_several_attachments_are_several_messages_in_order(
    runtime: Runtime, kind: str, uploads: tuple[Upload, ...], expected: list[str]
) -> None:
    async with talking(runtime, kind) as fake:
        queued = await reply(runtime, "see", uploads=uploads)
        await send_all(runtime)
        assert [shape(kind, one) for one in fake.sent] == expected
    assert len(queued.rest) == len(expected) - 1
    assert len((await conversation_of(runtime))["messages"]) == 1 + len(expected)


async def test_one_attachment_that_is_refused_holds_all_back(runtime: Runtime) -> None:
    async with talking(runtime, "instagram"):
        with pytest.raises(RefusedError, match="takes no attachments of kind document"):
            await reply(runtime, "see", uploads=(PICTURE, BILL))
    assert await outbox_states(runtime) == {}


@pytest.mark.parametrize(
    ("kind", "emoji", "expected"),
    [
        ("telegram", "❤️", {"chat_id": "42", "message_id": 5, "reaction": [{"type": "emoji", "emoji": "❤"}]}),
        ("messenger", "🎉", {"sender_action": "react", "payload": {"message_id": "m1", "reaction": "🎉"}}),
        ("instagram", "❤", {"sender_action": "react", "payload": {"message_id": "m1", "reaction": "love"}}),
        ("whatsapp", "👍", {"type": "reaction", "reaction": {"message_id": "w1", "emoji": "👍"}}),
    ],
)
async def test_a_reaction_is_shown_at_its_message(
    runtime: Runtime, kind: str, emoji: str, expected: dict[str, Any]
) -> None:
    async with talking(runtime, kind) as fake:
        [first] = (await conversation_of(runtime))["messages"]
        await reply(runtime, "", reaction=Reaction(first["external_id"], emoji))
        waiting = (await conversation_of(runtime))["messages"]
        assert [(one["kind"], one["status"]) for one in waiting[1:]] == [("reaction", "queued")]
        await send_all(runtime)
        assert {name: fake.sent[0][1][name] for name in expected} == expected
        one = await conversation_of(runtime)
        assert [list(message["reactions"].values()) for message in one["messages"]] == [[emoji]]
        assert one["handler"] == "bot"  # nobody has taken over by it
        await reply(runtime, "", reaction=Reaction(first["external_id"], ""))
        await send_all(runtime)
        assert [message["reactions"] for message in (await conversation_of(runtime))["messages"]] == [{}]


async def test_a_reaction_that_comes_back_as_an_echo_is_one(runtime: Runtime) -> None:
    async with talking(runtime, "messenger"):
        await reply(runtime, "", reaction=Reaction("m1", "🎉"))
        await send_all(runtime)
        echo = {"sender": {"id": "500"}, "recipient": {"id": "8"}, "timestamp": int(NOW + 9) * 1000}
        echo["reaction"] = {"mid": "m1", "action": "react", "emoji": "🎉"}  # type: ignore[assignment]
        await feed(runtime, "messenger", [messaging_event("page", "500", [echo], 0)])
    assert (await conversation_of(runtime))["messages"][0]["reactions"] == {"500": "🎉"}


async def test_a_reaction_whose_outcome_is_unknown_is_sent_again(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.send_queue, "_backoff", jobs.Backoff(0.05, 0.1))
    async with talking(runtime, "telegram") as fake:
        fake.lose_answer()
        queued = await reply(runtime, "", reaction=Reaction("42:5", "👍"))
        for _ in range(40):
            await send_all(runtime)
            if (await outbox_states(runtime))[queued.outbox_id] == "sent":
                break
            await asyncio.sleep(0.1)
        assert [method for method, _ in fake.sent] == ["setMessageReaction"] * 2


@pytest.mark.parametrize(
    ("kind", "more", "expected"),
    [
        ("telegram", {}, ("sendVenue", {"latitude": -33.9, "longitude": 18.4, "title": "Depot", "address": "1 Long Street"})),
        ("whatsapp", {}, ("555", {"type": "location", "location": DEPOT})),
        ("telegram", {"name": "", "address": ""}, ("sendLocation", {"latitude": -33.9, "longitude": 18.4})),
    ],
)  # fmt: skip
async def test_a_location_is_sent(runtime: Runtime, kind: str, more: dict[str, str], expected: Any) -> None:
    async with talking(runtime, kind) as fake:
        where = {name: value for name, value in {**DEPOT, **more}.items() if value}
        await reply(runtime, "We are here:", location=where)
        await send_all(runtime)
        assert len(fake.sent) == 2  # the text, then the point
        name, body = fake.sent[1]
        assert (name, {key: body.get(key) for key in expected[1]}) == expected
    assert (await conversation_of(runtime))["messages"][-1]["details"] == where


@pytest.mark.parametrize(
    ("kind", "more", "words"),
    [
        ("messenger", {"location": DEPOT}, "takes no locations"),
        ("instagram", {"reaction": Reaction("m1", "🔥")}, "takes no 🔥 as a reaction, but ❤"),
        ("telegram", {"reaction": Reaction("42:5", "🧯")}, "takes no 🧯"),
        ("whatsapp", {"template": {"name": "x"}, "uploads": (PICTURE,)}, "a template goes alone"),
        ("mail", {"reaction": Reaction("m1@example.test", "👍")}, "has no reactions: send a text"),
        ("mail", {"location": DEPOT}, "takes no locations"),
        ("mail", {"uploads": tuple(Upload("video", "video/mp4", "v", b"x" * (8 * 2**20)) for _ in range(3))}, "20971520 together"),
    ],
)  # fmt: skip
async def test_what_a_channel_cannot_do_is_refused_with_the_reason(
    runtime: Runtime, kind: str, more: dict[str, Any], words: str
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        if kind == "mail":
            await add_mailbox(runtime)
            await feed(runtime, "mail", [mail()])
        else:
            await stack.enter_async_context(talking(runtime, kind))
        with pytest.raises(RefusedError, match=words):
            await reply(runtime, "", **more)
    assert await outbox_states(runtime) == {}


async def test_asking_twice_with_one_key_sends_once(settings: Settings) -> None:
    async with api(settings) as (inbox, call):
        runtime = inbox.runtime
        await add(runtime, "simulated")
        await feed(runtime, "simulated", [says(("ann", "1", "hello", 0))])
        path = "/v1/conversations/1/messages"
        headers = {"Idempotency-Key": "order 17"}
        asked = await asyncio.gather(*(call("POST", path, headers=headers, text="Hello") for _ in range(5)))
        assert {status for status, _ in asked} == {202}
        assert len({answer["outbox_id"] for _, answer in asked}) == 1
        _, other = await call("POST", path, headers={"Idempotency-Key": "order 18"}, text="Hello")
        assert other["outbox_id"] != asked[0][1]["outbox_id"]
        assert len((await conversation_of(runtime))["messages"]) == 3
        file = {"kind": "sticker", "mime": "image/webp", "name": "d.webp", "content": ""}
        status, refused = await call("POST", path, attachments=[file])
        assert (status, "attachments of kind sticker" in refused["error"]["message"]) == (422, True)
        status, reacted = await call("POST", "/v1/messages/1/reaction", emoji="👍")
        assert (status, len(reacted["messages"])) == (202, 1)
        assert (await call("POST", "/v1/messages/99/reaction", emoji="👍"))[0] == 404
        composer = (await call("GET", "/v1/conversations/1"))[1]["composer"]
        assert (composer["reactions"], composer["sends_locations"], composer["is_open"]) == (["*"], True, True)


async def test_parts_of_an_answer_wait_for_each_other(runtime: Runtime) -> None:
    async with talking(runtime, "messenger") as fake:
        one = await conversation_of(runtime)
        await enqueue(runtime, one["id"], Reply("first", "kim", uploads=(PICTURE,)))
        await enqueue(runtime, one["id"], Reply("second", "kim"))
        await send_all(runtime)
        assert [shape("messenger", sent) for sent in fake.sent] == ["first", "image", "second"]
