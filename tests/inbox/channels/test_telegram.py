from __future__ import annotations

from typing import Any

import pytest
from inbox.channels.conftest import Make, parsed

from tasklift_inbox.channels.base import Arrived, Changed, Item, Noticed, Part
from tasklift_inbox.channels.outgoing import Outgoing, Reaction, Upload
from tasklift_inbox.errors import MediaError, Outcome, SendError, SignatureError
from tasklift_inbox.testing import FakeTelegram

AT = 1_764_000_100
ADA = {"id": 42, "is_bot": False, "first_name": "Ada", "last_name": "Okoro", "username": "ada"}


def message(**content: Any) -> dict[str, Any]:
    return {"message_id": 7, "date": AT, "from": ADA, "chat": {**ADA, "type": "private"}, **content}


async def one(**update: Any) -> Item:
    [item] = await parsed("telegram", {"update_id": 1, **update})
    return item


@pytest.mark.parametrize(
    ("content", "kind", "text"),
    [
        ({"text": "Where is it?"}, "text", "Where is it?"),
        ({"photo": [{"file_id": "s"}, {"file_id": "l", "file_size": 9}], "caption": "look"}, "image", "look"),
        ({"voice": {"file_id": "v", "mime_type": "audio/ogg"}}, "voice", ""),
        ({"audio": {"file_id": "a"}}, "audio", ""),
        ({"video": {"file_id": "a"}}, "video", ""),
        ({"video_note": {"file_id": "a"}}, "video", ""),
        ({"animation": {"file_id": "g"}, "document": {"file_id": "g"}}, "video", ""),
        ({"document": {"file_id": "d", "file_name": "b.pdf"}}, "document", ""),
        ({"sticker": {"file_id": "s", "emoji": "🙂"}}, "sticker", "🙂"),
        ({"location": {"latitude": 6.5, "longitude": 3.4}}, "location", ""),
        ({"venue": {"title": "Depot", "address": "Main St"}, "location": {}}, "location", "Depot, Main St"),
        ({"contact": {"first_name": "Bola", "phone_number": "+234"}}, "contacts", "Bola"),
        ({"new_chat_members": [ADA]}, "system", "new_chat_members"),
        ({"dice": {"value": 6}}, "unsupported", ""),
        ({"poll": {"question": "?"}}, "unsupported", ""),
        ({}, "unsupported", ""),
    ],
)  # fmt: skip
async def test_every_kind_of_message_is_read(content: dict[str, Any], kind: str, text: str) -> None:
    item = await one(message=message(**content))
    assert isinstance(item, Arrived)
    assert (item.kind, item.text, item.person.name, item.person.address) == (kind, text, "Ada Okoro", "@ada")
    assert (item.id, item.person.id, item.sent_at, item.order_key) == ("42:7", "42", AT, f"{7:020d}")


async def test_replies_albums_and_the_largest_photo() -> None:
    photo = [{"file_id": "small", "file_size": 1}, {"file_id": "large", "file_size": 99}]
    item = await one(
        message=message(photo=photo, media_group_id="g1", reply_to_message=message(text="q") | {"message_id": 3})
    )
    assert isinstance(item, Arrived)
    assert (item.reply_to, item.details["album"]) == ("42:3", "g1")
    assert item.parts == (Part("image", "large", "image/jpeg", "", 99),)


async def test_edits_reactions_deletions_and_buttons() -> None:
    edited = await one(edited_message=message(text="better", edit_date=AT + 5))
    assert isinstance(edited, Changed)
    assert (edited.kind, edited.target, edited.value, edited.at) == ("edit", "42:7", "better", AT + 5)
    reaction = {"chat": {"id": 42}, "message_id": 7, "user": ADA, "date": AT, "old_reaction": [],
                "new_reaction": [{"type": "emoji", "emoji": "🔥"}]}  # fmt: skip
    reacted = await one(message_reaction=reaction)
    assert isinstance(reacted, Changed)
    assert (reacted.kind, reacted.value, reacted.actor) == ("reaction", "🔥", "42")
    gone = await parsed(
        "telegram", {"update_id": 2, "deleted_business_messages": {"chat": {"id": 42}, "message_ids": [7, 8]}}
    )
    assert [item.target for item in gone if isinstance(item, Changed) and item.kind == "delete"] == ["42:7", "42:8"]
    pressed = await one(callback_query={"id": "9", "from": ADA, "data": "yes", "message": message(text="?")})
    assert isinstance(pressed, Arrived)
    assert (pressed.kind, pressed.text, pressed.reply_to, pressed.id) == ("button", "yes", "42:7", "callback:9")


async def test_blocking_the_bot_is_shown_and_the_rest_are_notices() -> None:
    member = {"chat": {**ADA, "type": "private"}, "from": ADA, "date": AT, "new_chat_member": {"status": "kicked"}}
    blocked = await one(my_chat_member=member)
    assert isinstance(blocked, Arrived)
    assert (blocked.kind, blocked.text) == ("system", "blocked")
    for name in ("poll", "inline_query", "something_new"):
        item = await one(**{name: {"id": "1"}})
        assert isinstance(item, Noticed)
        assert item.kind == name
    for odd in ({"message": 5}, {"message": {"chat": None}}, {"message": {"chat": {"id": 1}, "photo": []}}):
        await one(**odd)
    with pytest.raises(ValueError, match="nothing but its number"):
        await parsed("telegram", {"update_id": 5})


async def test_the_secret_of_the_webhook_is_asked_for(made: Make) -> None:
    async with made("telegram") as channel:
        channel.verify({"x-telegram-bot-api-secret-token": "w"}, b"{}")
        for headers in ({}, {"x-telegram-bot-api-secret-token": "x"}, {"x-telegram-bot-api-secret-token": "é"}):
            with pytest.raises(SignatureError):
                channel.verify(headers, b"{}")
        assert channel.dedupe_key(b'{"update_id": 12}') == "12"
        assert len(channel.dedupe_key(b"junk")) == 64


@pytest.mark.parametrize(
    ("code", "outcome"),
    [(429, Outcome.RETRY), (403, Outcome.STOP), (400, Outcome.STOP), (401, Outcome.CHANNEL), (409, Outcome.CHANNEL),
     (500, Outcome.UNKNOWN)],
)  # fmt: skip
async def test_documented_errors_mean_what_they_say(made: Make, code: int, outcome: Outcome) -> None:
    fake = FakeTelegram()
    async with made("telegram", "7000001", fake) as channel:
        fake.fail_next(code, "documented", retry_after=3 if code == 429 else None)
        with pytest.raises(SendError) as caught:
            await channel.send(Outgoing("o", "42", "x"))
        error = caught.value
        assert (error.outcome, error.retry_after_s) == (outcome, 3.0 if code == 429 else None)
        assert error.blocks == (code == 403)
        assert await channel.lookup(Outgoing("o", "42", "x")) is None


async def test_files_go_out_and_come_in(made: Make) -> None:
    fake = FakeTelegram(files={"f1": b"OggS" + b"x" * 100_000})
    async with made("telegram", "7000001", fake) as channel:
        sent = await channel.send(Outgoing("o", "42", "see", (Upload("image", "image/png", "a.png", b"\x89PNG"),)))
        assert sent.external_id == "42:900001"
        assert fake.sent == [("sendPhoto", {"chat_id": "42", "caption": "see", "photo": b"\x89PNG"})]
        content = [chunk async for chunk in channel.fetch(Part("voice", "f1"), b"")]
        assert b"".join(content) == fake.files["f1"]
        with pytest.raises(MediaError):
            [chunk async for chunk in channel.fetch(Part("voice", "gone"), b"")]
        assert [check.problem for check in await channel.check()] == ["", ""]
        fake.token = "8:other"
        assert "401" in (await channel.check())[0].problem or (await channel.check())[0].problem


async def test_a_file_name_forges_no_part_of_a_form(made: Make) -> None:
    fake = FakeTelegram()
    async with made("telegram", "7000001", fake) as channel:
        name = 'a"\r\nContent-Type: text/html\r\n\r\n.png'
        await channel.send(Outgoing("o", "42", "see", (Upload("image", "image/png", name, b"\x89PNG"),)))
    assert fake.sent == [("sendPhoto", {"chat_id": "42", "caption": "see", "photo": b"\x89PNG"})]


@pytest.mark.parametrize("target", ["callback:77", "update:5", "41:5", "42:"])
async def test_what_is_no_message_of_the_chat_takes_no_reaction(made: Make, target: str) -> None:
    fake = FakeTelegram()
    async with made("telegram", "7000001", fake) as channel:
        with pytest.raises(SendError, match="to messages only") as caught:
            await channel.send(Outgoing("o", "42", reaction=Reaction(target, "👍")))
    assert (caught.value.outcome, fake.sent) == (Outcome.STOP, [])
