"""Messenger, and Instagram in both flavours."""

from __future__ import annotations

from typing import Any

import pytest
from inbox.channels.conftest import Make, parsed

from tasklift.errors import ConfigError
from tasklift_inbox.channels.base import Arrived, Changed, Item, Noticed, Seen
from tasklift_inbox.channels.instagram import InstagramChannel
from tasklift_inbox.channels.outgoing import Outgoing, Upload
from tasklift_inbox.errors import Outcome, SendError
from tasklift_inbox.testing import FakeMeta
from tasklift_inbox.testing.meta import messaging_event

AT = 1_764_000_100
BOTH = pytest.mark.parametrize("product", ["messenger", "instagram"])


def event(**what: Any) -> dict[str, Any]:
    return {"sender": {"id": "8001"}, "recipient": {"id": "500"}, "timestamp": AT * 1000, **what}


async def one(product: str, **what: Any) -> Item:
    [item] = await parsed(product, messaging_event("page", "500", [event(**what)], AT * 1000))
    return item


def file(kind: str, url: str | None = "https://cdn/x") -> dict[str, Any]:
    return {"mid": "m1", "attachments": [{"type": kind, "payload": {"url": url} if url else {"a": 1}}]}


@BOTH
@pytest.mark.parametrize(
    ("message", "kind", "text"),
    [
        ({"mid": "m1", "text": "Do you ship?"}, "text", "Do you ship?"),
        (file("image"), "image", ""),
        (file("audio"), "audio", ""),
        (file("video"), "video", ""),
        (file("file"), "document", ""),
        (file("ig_reel"), "video", ""),
        (file("share"), "share", ""),
        (file("story_mention"), "share", ""),
        ({**file("location", None)}, "location", ""),
        ({**file("image"), "sticker_id": 369}, "sticker", ""),
        (file("hologram"), "unsupported", ""),
        ({"mid": "m1", "is_unsupported": True}, "unsupported", ""),
        ({"mid": "m1", "text": "nice", "reply_to": {"story": {"id": "s", "url": "u"}}}, "story_reply", "nice"),
        ({"mid": "m1", "text": "Red", "quick_reply": {"payload": "RED"}}, "text", "Red"),
    ],
)  # fmt: skip
async def test_every_kind_of_message_is_read(product: str, message: dict[str, Any], kind: str, text: str) -> None:
    item = await one(product, message=message)
    assert isinstance(item, Arrived)
    assert (item.account, item.person.id, item.id, item.kind, item.text) == ("500", "8001", "m1", kind, text)
    assert (item.sent_at, item.is_echo) == (AT, False)


@BOTH
async def test_echoes_replies_edits_deletions_and_reactions(product: str) -> None:
    echo = await one(product, message={"mid": "m2", "text": "ours", "is_echo": True, "metadata": "entry", "app_id": 5})
    assert isinstance(echo, Arrived)
    assert (echo.is_echo, echo.person.id, echo.outbox_id) == (True, "500", "entry")
    reply = await one(product, message={"mid": "m3", "text": "that", "reply_to": {"mid": "m2"}})
    assert isinstance(reply, Arrived)
    assert reply.reply_to == "m2"
    edit = await one(product, message_edit={"mid": "m3", "text": "this", "num_edit": 1})
    gone = await one(product, message={"mid": "m3", "is_deleted": True})
    liked = await one(product, reaction={"mid": "m2", "action": "react", "reaction": "love", "emoji": "❤"})
    back = await one(product, reaction={"mid": "m2", "action": "unreact"})
    changes = [item for item in (edit, gone, liked, back) if isinstance(item, Changed)]
    assert [(item.kind, item.target, item.value) for item in changes] == [
        ("edit", "m3", "this"), ("delete", "m3", ""), ("reaction", "m2", "❤"), ("reaction", "m2", ""),
    ]  # fmt: skip


@BOTH
async def test_what_was_seen_buttons_and_what_belongs_to_nobody(product: str) -> None:
    seen = await one(product, read={"watermark": (AT - 5) * 1000})
    assert isinstance(seen, Seen)
    assert (seen.status, seen.up_to, seen.person_id) == ("read", AT - 5, "8001")
    delivered = await parsed(
        product, messaging_event("page", "500", [event(delivery={"mids": ["m1"], "watermark": AT * 1000})], 0)
    )
    assert [type(item).__name__ for item in delivered] == ["Changed", "Seen"]
    read = await one(product, read={"mid": "m1"})
    assert isinstance(read, Changed)
    assert (read.kind, read.value) == ("status", "read")
    button = await one(product, postback={"mid": "p1", "title": "Start", "payload": "GO"})
    referral = await one(product, referral={"ref": "summer", "source": "SHORTLINK"})
    assert [(i.kind, i.text) for i in (button, referral) if isinstance(i, Arrived)] == [
        ("button", "Start"),
        ("referral", "summer"),
    ]
    policy = {
        "recipient": {"id": "500"},
        "timestamp": AT * 1000,
        "policy-enforcement": {"action": "block", "reason": "spam"},
    }
    [noticed] = await parsed(product, messaging_event("page", "500", [policy], 0))
    assert isinstance(noticed, Noticed)
    assert noticed.problem == "Meta blocks this page: spam"


@BOTH
async def test_every_entry_and_event_standby_and_the_dashboards_test(product: str) -> None:
    first = event(message={"mid": "a", "text": "1"})
    standby = event(message={"mid": "c", "text": "3"})
    test = {"field": "messages", "value": event(message={"mid": "d", "text": "4"})}
    entries = [
        {"id": "500", "messaging": [first, event(message={"mid": "b", "text": "2"})]},
        {"id": "501", "standby": [standby], "changes": [test, {"field": "comments", "value": {"text": "x"}}]},
        {"id": "502", "messaging": "odd"},
    ]
    items = await parsed(product, {"object": "page", "entry": entries})
    assert [item.id for item in items if isinstance(item, Arrived)] == ["a", "b", "c", "d"]
    assert [item.details for item in items if isinstance(item, Arrived)][2] == {"standby": True}
    assert isinstance(items[-1], Noticed)


async def test_messenger_sends_texts_files_and_by_hand_after_the_window(made: Make) -> None:
    fake = FakeMeta()
    async with made("messenger", "500", fake) as channel:
        assert (await channel.send(Outgoing("o1", "8001", "Hi", reply_to="m1"))).external_id == "m_out_1"
        await channel.send(Outgoing("o2", "8001", "Late", beyond_window=True))
        assert [check.problem for check in await channel.check()] == ["", ""]
    (_, first), (_, late) = fake.sent
    assert first == {"recipient": {"id": "8001"}, "messaging_type": "RESPONSE", "reply_to": {"mid": "m1"},
                     "message": {"metadata": "o1", "text": "Hi"}}  # fmt: skip
    assert (late["messaging_type"], late["tag"]) == ("MESSAGE_TAG", "HUMAN_AGENT")


@pytest.mark.parametrize(("login", "node"), [("instagram", "500"), ("facebook", "900")])
async def test_instagram_sends_by_the_account_or_by_its_page(made: Make, login: str, node: str) -> None:
    fake = FakeMeta()
    async with made("instagram", "500", fake, login=login, page_id="900") as channel:
        upload = Upload("image", "image/png", "a.png", b"\x89PNG", "https://inbox/files/t")
        await channel.send(Outgoing("o1", "8001", "", (upload,)))
    [(account, body)] = fake.sent
    assert (account, body["message"]["attachment"]["payload"]["url"]) == (node, "https://inbox/files/t")


async def test_instagram_is_asked_for_what_its_webhooks_did_not_bring(made: Make) -> None:
    messages = [
        {"id": "i1", "created_time": "2025-11-24T16:00:00+0000", "from": {"id": "8001"}, "to": {"data": [{"id": "500"}]}, "message": "lost"},
        {"id": "i2", "created_time": "2025-11-24T16:01:00+0000", "from": {"id": "500"}, "to": {"data": [{"id": "8001"}]}, "message": "ours"},
    ]  # fmt: skip
    fake = FakeMeta(conversations={"500": [{"id": "c", "messages": {"data": messages}}]})
    async with made("instagram", "500", fake) as channel:
        assert isinstance(channel, InstagramChannel)
        swept = await channel.sweep()
        assert swept is not None
        items = [item for item in channel.parse({}, swept, 0.0) if isinstance(item, Arrived)]
    assert [(item.id, item.text, item.person.id, item.is_echo) for item in items] == [
        ("i1", "lost", "8001", False), ("i2", "ours", "8001", True),
    ]  # fmt: skip
    assert items[0].sent_at == 1_764_000_000


@pytest.mark.parametrize("settings", [{"login": "facebook"}, {"login": "myspace"}])
async def test_an_instagram_channel_that_cannot_work_is_refused(made: Make, settings: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="login"):
        async with made("instagram", "500", None, **settings):
            pass


@BOTH
@pytest.mark.parametrize(
    ("code", "subcode", "outcome", "blocks"),
    [(10, 2018278, Outcome.STOP, False), (551, 0, Outcome.STOP, True), (613, 0, Outcome.RETRY, False), (190, 460, Outcome.CHANNEL, False),
     (200, 0, Outcome.CHANNEL, False), (100, 0, Outcome.STOP, False), (100, 2018001, Outcome.STOP, True)],
)  # fmt: skip
async def test_documented_errors_mean_what_they_say(
    made: Make, product: str, code: int, subcode: int, outcome: Outcome, blocks: bool
) -> None:
    fake = FakeMeta()
    async with made(product, "500", fake) as channel:
        fake.fail_next(code, "documented", subcode=subcode)
        with pytest.raises(SendError) as caught:
            await channel.send(Outgoing("o", "8001", "x"))
        assert (caught.value.outcome, caught.value.blocks) == (outcome, blocks)


async def test_a_file_goes_along_with_its_message(made: Make) -> None:
    fake = FakeMeta()
    async with made("messenger", "500", fake) as channel:
        sent = await channel.send(
            Outgoing("o1", "8001", "", (Upload("document", "application/pdf", "b.pdf", b"%PDF-"),))
        )
        assert sent.external_id == "m_out_1"
    assert fake.sent[0][1]["filedata"] == b"%PDF-"
