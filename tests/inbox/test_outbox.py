"""What we send: once, in order, within windows and limits, with every outcome accounted for."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import Any

import pytest
import sqlalchemy as sa
from inbox.support import NOW, add, conversation_of, feed, outbox_states, reply, says, send_all

from tasklift_inbox import admin, organise, outbox, pacing, policy, views
from tasklift_inbox.channels.outgoing import Upload
from tasklift_inbox.channels.telegram import TelegramChannel
from tasklift_inbox.errors import RefusedError
from tasklift_inbox.runtime import Runtime
from tasklift_inbox.tables import identities
from tasklift_inbox.tables import outbox as outbox_table
from tasklift_inbox.testing import FakeMeta, FakeTelegram, running
from tasklift_inbox.testing.meta import messaging_event, whatsapp_event


def whatsapp_text(number: int = 1, at: float = 0.0) -> dict[str, Any]:
    message = {
        "from": "2782",
        "id": f"w{number}",
        "timestamp": str(int(NOW + at)),
        "type": "text",
        "text": {"body": "hi"},
    }
    return whatsapp_event("555", [message])


def telegram_text(number: int = 5, chat: int = 42) -> dict[str, Any]:
    user = {"id": chat, "first_name": "A", "type": "private"}
    return {
        "update_id": 1000 * chat + number,
        "message": {"message_id": number, "date": int(NOW), "chat": user, "from": user, "text": "hi"},
    }


async def last(runtime: Runtime) -> dict[str, Any]:
    found: dict[str, Any] = (await conversation_of(runtime))["messages"][-1]
    return found


async def test_messages_of_a_conversation_go_out_one_after_the_other_in_order(runtime: Runtime) -> None:
    fake = FakeTelegram()
    async with running(fake.app) as url:
        await add(runtime, "telegram", mode="webhook", base_url=url)
        await feed(runtime, "telegram", [telegram_text()])
        for n in range(3):
            await reply(runtime, f"answer {n}")
        await send_all(runtime)
    assert [fields["text"] for _, fields in fake.sent] == ["answer 0", "answer 1", "answer 2"]
    assert set((await outbox_states(runtime)).values()) == {"sent"}


async def test_a_lost_answer_is_unknown_and_never_sent_again_by_itself(runtime: Runtime) -> None:
    fake = FakeTelegram()
    async with running(fake.app) as url:
        await add(runtime, "telegram", mode="webhook", base_url=url)
        await feed(runtime, "telegram", [telegram_text()])
        fake.lose_answer()
        queued = await reply(runtime)
        await send_all(runtime)
        await send_all(runtime)
        assert len(fake.sent) == 1
        assert (await outbox_states(runtime))[queued.outbox_id] == "unknown"
        assert (await last(runtime))["status"] == "unknown"
        await outbox.declare_sent(runtime, queued.outbox_id, "kim")
        assert (await last(runtime))["status"] == "sent"


async def test_an_unknown_whatsapp_message_is_settled_by_its_status(runtime: Runtime) -> None:
    fake = FakeMeta()
    async with running(fake.app) as url:
        await add(runtime, "whatsapp", base_url=url)
        await feed(runtime, "whatsapp", [whatsapp_text()])
        fake.lose_answer()
        queued = await reply(runtime)
        await send_all(runtime)
        assert (await last(runtime))["status"] == "unknown"

        def status(name: str, at: int) -> dict[str, Any]:
            one = {
                "id": "wamid.REAL",
                "status": name,
                "timestamp": str(int(NOW) + at),
                "biz_opaque_callback_data": queued.outbox_id,
            }
            return whatsapp_event("555", [], statuses=[one])

        await feed(runtime, "whatsapp", [status("read", 9), status("sent", 1), status("delivered", 5)])
        assert ((await last(runtime))["status"], (await last(runtime))["external_id"]) == ("read", "wamid.REAL")
        assert (await outbox_states(runtime))[queued.outbox_id] == "sent"


async def test_an_echo_settles_messenger_and_shows_nothing_twice(runtime: Runtime) -> None:
    fake = FakeMeta()
    async with running(fake.app) as url:
        await add(runtime, "messenger", base_url=url)
        told = {
            "sender": {"id": "8"},
            "recipient": {"id": "500"},
            "timestamp": int(NOW) * 1000,
            "message": {"mid": "m", "text": "hi"},
        }
        await feed(runtime, "messenger", [messaging_event("page", "500", [told], 0)])
        fake.lose_answer()
        queued = await reply(runtime)
        await send_all(runtime)
        echo = {"sender": {"id": "500"}, "recipient": {"id": "8"}, "timestamp": int(NOW) * 1000 + 5,
                "message": {"mid": "m_real", "text": "Hello", "is_echo": True, "metadata": queued.outbox_id}}  # fmt: skip
        await feed(runtime, "messenger", [messaging_event("page", "500", [echo], 0)])
    one = await conversation_of(runtime)
    assert [(m["text"], m["status"], m["external_id"]) for m in one["messages"]] == [
        ("hi", "", "m"),
        ("Hello", "sent", "m_real"),
    ]


async def test_an_echo_without_our_id_that_is_first_is_replaced_by_our_message(runtime: Runtime) -> None:
    fake = FakeMeta()
    async with running(fake.app) as url:
        await add(runtime, "messenger", base_url=url)
        told = {
            "sender": {"id": "8"},
            "recipient": {"id": "500"},
            "timestamp": int(NOW) * 1000,
            "message": {"mid": "m", "text": "hi"},
        }
        echo = {
            "sender": {"id": "500"},
            "recipient": {"id": "8"},
            "timestamp": int(NOW) * 1000,
            "message": {"mid": "m_out_1", "text": "Hello", "is_echo": True},
        }
        await feed(runtime, "messenger", [messaging_event("page", "500", [told, echo], 0)])
        await reply(runtime)
        await send_all(runtime)
    assert [m["external_id"] for m in (await conversation_of(runtime))["messages"]] == ["m", "m_out_1"]


async def test_retry_after_is_obeyed_and_counts_as_no_attempt(runtime: Runtime) -> None:
    fake = FakeTelegram()
    async with running(fake.app) as url:
        await add(runtime, "telegram", mode="webhook", base_url=url)
        await feed(runtime, "telegram", [telegram_text()])
        fake.fail_next(429, "Too Many Requests: retry after 1", retry_after=1)
        queued = await reply(runtime)
        started = time.monotonic()
        await send_all(runtime)
        assert (await outbox_states(runtime))[queued.outbox_id] == "queued"
        while not fake.sent:
            await send_all(runtime)
        assert time.monotonic() - started >= 1.0
    assert (await outbox_states(runtime))[queued.outbox_id] == "sent"


async def test_a_permanent_error_is_a_dead_letter_that_can_be_sent_again(runtime: Runtime) -> None:
    fake = FakeMeta()
    async with running(fake.app) as url:
        await add(runtime, "whatsapp", base_url=url)
        await feed(runtime, "whatsapp", [whatsapp_text()])
        fake.fail_next(132001, "Template name does not exist")
        queued = await reply(runtime)
        await send_all(runtime)
        [letter] = await views.list_outbox(runtime.database, ["failed"])
        assert (letter["code"], "does not exist" in letter["error"]) == ("132001", True)
        await outbox.retry(runtime, queued.outbox_id, "kim")
        await send_all(runtime)
    assert (await outbox_states(runtime))[queued.outbox_id] == "sent"


async def test_a_revoked_token_makes_the_channel_unhealthy_and_loses_no_message(runtime: Runtime) -> None:
    fake = FakeMeta()
    async with running(fake.app) as url:
        await add(runtime, "whatsapp", base_url=url)
        await feed(runtime, "whatsapp", [whatsapp_text()])
        fake.token = "another"
        queued = await reply(runtime)
        await send_all(runtime)
        [channel] = await admin.listed(runtime)
        assert (channel["health"], "190" in channel["problem"], "token" in channel["remedy"]) == (
            "unhealthy",
            True,
            True,
        )
        assert (await outbox_states(runtime))[queued.outbox_id] == "queued"
        fake.token = "fake-meta-token"
        assert not [check.problem for check in await admin.check(runtime, "whatsapp") if check.problem]
        assert (await admin.listed(runtime))[0]["health"] == "ok"


async def test_who_has_blocked_us_is_not_written_to_again(runtime: Runtime) -> None:
    fake = FakeTelegram()
    async with running(fake.app) as url:
        await add(runtime, "telegram", mode="webhook", base_url=url)
        await feed(runtime, "telegram", [telegram_text()])
        fake.fail_next(403, "Forbidden: bot was blocked by the user")
        await reply(runtime)
        await send_all(runtime)
    with pytest.raises(RefusedError, match="blocked by the user"):
        await reply(runtime)


async def test_outside_the_window_only_templates_go_and_the_reason_is_said(runtime: Runtime) -> None:
    await add(runtime, "whatsapp")
    await feed(runtime, "whatsapp", [whatsapp_text(at=-25 * 3600.0)])
    with pytest.raises(RefusedError, match="more than 24 hours ago: send a template"):
        await reply(runtime)
    one = await conversation_of(runtime)
    composer = (await views.conversation(runtime.database, one["id"], runtime.channels))["composer"]
    assert (composer["is_open"], composer["has_templates"]) == (False, True)
    await reply(runtime, "", template={"name": "order_ready", "language": "en", "parameters": []})


async def test_people_have_seven_days_on_messenger_and_automation_has_one(runtime: Runtime) -> None:
    fake = FakeMeta()
    async with running(fake.app) as url:
        await add(runtime, "messenger", base_url=url)
        old = {
            "sender": {"id": "8"},
            "recipient": {"id": "500"},
            "timestamp": int(NOW - 3 * 86400) * 1000,
            "message": {"mid": "m", "text": "hi"},
        }
        await feed(runtime, "messenger", [messaging_event("page", "500", [old], 0)])
        version = (await conversation_of(runtime))["version"]
        with pytest.raises(RefusedError, match="a person may answer within 7 days"):
            await reply(runtime, by="bot", is_automatic=True, expected_version=version)
        await reply(runtime)
        await send_all(runtime)
    assert fake.sent[0][1]["tag"] == "HUMAN_AGENT"


@pytest.mark.parametrize(
    ("text", "uploads", "words"),
    [
        ("x" * 4097, (), "4097 characters, this channel takes 4096"),
        ("", (), "nothing to send"),
        ("", (Upload("image", "image/png", "a.png", b"x" * (5 * 2**20 + 1)),), "this channel takes 5242880"),
        ("", (Upload("hologram", "x/y", "a", b"x"),), "takes no attachments of kind hologram"),
        ("", (Upload("image", "image/png\r\nX: y", "a", b"x"),), "is no media type"),
        ("x" * 4097, (Upload("image", "image/png", "a.png", b"x"),), "takes 4096"),
    ],
)  # fmt: skip
async def test_what_the_provider_would_refuse_is_refused_before(
    runtime: Runtime, text: str, uploads: tuple[Upload, ...], words: str
) -> None:
    await add(runtime, "whatsapp")
    await feed(runtime, "whatsapp", [whatsapp_text()])
    with pytest.raises(RefusedError, match=words):
        await reply(runtime, text, uploads=uploads)
    assert await outbox_states(runtime) == {}


async def test_automation_stops_where_a_person_or_something_new_has_come(runtime: Runtime) -> None:
    await add(runtime, "simulated")
    await feed(runtime, "simulated", [says(("a", "1", "hi", 0))])
    version = (await conversation_of(runtime))["version"]
    queued = await reply(runtime, "automatic", by="bot", is_automatic=True, expected_version=version, delay_s=0.3)
    await feed(runtime, "simulated", [says(("a", "2", "wait", 1))])
    await asyncio.sleep(0.4)
    await send_all(runtime)
    assert (await outbox_states(runtime))[queued.outbox_id] == "failed"
    assert "something new has come" in (await views.list_outbox(runtime.database, ["failed"]))[0]["error"]
    await reply(runtime, "a person", by="kim")
    with pytest.raises(RefusedError, match="a person has taken over"):
        await reply(runtime, "automatic", by="bot", is_automatic=True)
    one = await conversation_of(runtime)
    await organise.change(runtime.database, one["id"], organise.Change(handler="bot"), "kim")
    await reply(runtime, "automatic", by="bot", is_automatic=True)


async def test_automation_may_send_several_messages_as_one_answer(runtime: Runtime) -> None:
    await add(runtime, "simulated")
    await feed(runtime, "simulated", [says(("a", "1", "hi", 0))])
    version = (await conversation_of(runtime))["version"]
    for text in ("first", "second"):
        await reply(runtime, text, by="bot", is_automatic=True, expected_version=version)
    await send_all(runtime)
    assert set((await outbox_states(runtime)).values()) == {"sent"}


async def test_a_message_can_be_taken_back_while_it_waits(runtime: Runtime) -> None:
    await add(runtime, "simulated")
    await feed(runtime, "simulated", [says(("a", "1", "hi", 0))])
    queued = await reply(runtime, delay_s=0.2)
    assert await outbox.cancel(runtime, queued.outbox_id, "kim")
    await asyncio.sleep(0.25)
    await send_all(runtime)
    assert (await last(runtime))["status"] == "cancelled"
    assert not await outbox.cancel(runtime, queued.outbox_id, "kim")


async def test_the_breaker_stops_automatic_messages_to_one_person(runtime: Runtime) -> None:
    await add(runtime, "simulated")
    await feed(runtime, "simulated", [says(("a", "1", "hi", 0))])
    for _ in range(policy.BREAKER_COUNT):
        await reply(runtime, by="bot", is_automatic=True)
        await send_all(runtime)
    with pytest.raises(RefusedError, match="it may be a machine"):
        await reply(runtime, by="bot", is_automatic=True)
    await reply(runtime, by="kim")


async def test_limits_are_shared_and_kept(runtime: Runtime) -> None:
    async def take() -> float:
        async with runtime.database.write() as connection:
            return await pacing.reserve(connection, "x", per_second=10, burst=3)

    waits = [await take() for _ in range(5)]
    assert waits[:3] == [0.0, 0.0, 0.0]
    assert all(0 < wait <= 0.11 for wait in waits[3:])
    await asyncio.sleep(0.12)
    assert await take() == 0.0
    async with runtime.database.write() as connection:
        await pacing.hold(connection, "x", 5.0, per_second=10, burst=3)
    assert 4.0 < await take() <= 5.0


async def test_one_chat_at_its_limit_does_not_hold_up_another(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = dataclasses.replace(TelegramChannel.abilities, per_chat_s=0.001, burst=1, per_account_s=1000.0)
    monkeypatch.setattr(TelegramChannel, "abilities", slow)
    fake = FakeTelegram()
    async with running(fake.app) as url:
        await add(runtime, "telegram", mode="webhook", base_url=url)
        await feed(runtime, "telegram", [telegram_text(chat=41), telegram_text(chat=42)])
        for one in await views.list_conversations(runtime.database, views.Filter()):
            for text in ("first", "second"):
                await outbox.enqueue(runtime, one["id"], outbox.Reply(text, "kim"))
        await send_all(runtime)
    assert sorted((body["chat_id"], body["text"]) for _, body in fake.sent) == [("41", "first"), ("42", "first")]
    assert sorted((await outbox_states(runtime)).values()) == ["queued", "queued", "sent", "sent"]


async def test_a_worker_that_died_while_sending_leaves_an_unknown_outcome_to_a_person(runtime: Runtime) -> None:
    fake = FakeTelegram()
    async with running(fake.app) as url:
        await add(runtime, "telegram", mode="webhook", base_url=url)
        await feed(runtime, "telegram", [telegram_text()])
        queued = await reply(runtime)
        async with runtime.database.write() as connection:  # as a SIGKILL between asking and noting leaves it
            await connection.execute(sa.update(outbox_table).values(state="sending"))
        await send_all(runtime)
    assert (fake.sent, (await outbox_states(runtime))[queued.outbox_id]) == ([], "unknown")


async def test_an_identity_that_never_wrote_cannot_be_written_to_where_a_window_is(runtime: Runtime) -> None:
    await add(runtime, "whatsapp")
    await feed(runtime, "whatsapp", [whatsapp_text()])
    async with runtime.database.write() as connection:
        await connection.execute(sa.update(identities).values(last_inbound_at=None))
    with pytest.raises(RefusedError, match="has not written yet"):
        await reply(runtime)
