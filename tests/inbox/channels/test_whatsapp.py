from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from inbox.channels.conftest import Make, parsed

from tasklift_inbox.channels.base import Arrived, Changed, Item, Noticed, Part
from tasklift_inbox.channels.outgoing import Outgoing, Upload
from tasklift_inbox.errors import MediaError, Outcome, SendError, SignatureError
from tasklift_inbox.testing import FakeMeta
from tasklift_inbox.testing.meta import whatsapp_event

AT = 1_764_000_100


def message(kind: str, body: Any = None, **more: Any) -> dict[str, Any]:
    frame = {"from": "27821234567", "id": "wamid.A", "timestamp": str(AT), "type": kind}
    return {**frame, **({} if body is None else {kind: body}), **more}


async def one(event: dict[str, Any], **more: Any) -> Item:
    contacts = [{"wa_id": "27821234567", "profile": {"name": "Thandi"}}]
    [item] = await parsed("whatsapp", whatsapp_event("555", [event], contacts=contacts, **more))
    return item


@pytest.mark.parametrize(
    ("event", "kind", "text"),
    [
        (message("text", {"body": "Is the parcel here?"}), "text", "Is the parcel here?"),
        (message("image", {"id": "m1", "mime_type": "image/jpeg", "caption": "broken"}), "image", "broken"),
        (message("audio", {"id": "m1", "mime_type": "audio/ogg; codecs=opus", "voice": True}), "voice", ""),
        (message("audio", {"id": "m1", "mime_type": "audio/mpeg"}), "audio", ""),
        (message("video", {"id": "m1", "mime_type": "video/mp4"}), "video", ""),
        (message("document", {"id": "m1", "filename": "bill.pdf", "mime_type": "application/pdf"}), "document", ""),
        (message("sticker", {"id": "m1", "mime_type": "image/webp"}), "sticker", ""),
        (message("location", {"latitude": -33.9, "longitude": 18.4, "name": "Depot"}), "location", "Depot"),
        (message("contacts", [{"name": {"formatted_name": "Sipho"}}]), "contacts", "Sipho"),
        (message("button", {"text": "Yes", "payload": "y"}), "button", "Yes"),
        (message("interactive", {"type": "list_reply", "list_reply": {"id": "1", "title": "Refund"}}), "button", "Refund"),
        (message("interactive", {"type": "nfm_reply", "nfm_reply": {"body": "Sent", "response_json": "{}"}}), "button", "Sent"),
        (message("order", {"catalog_id": "1", "text": "two please"}), "order", "two please"),
        (message("system", {"body": "changed number", "type": "user_changed_number"}), "system", "changed number"),
        (message("unsupported", errors=[{"code": 131051}]), "unsupported", ""),
        (message("hologram", {"light": 1}), "unsupported", ""),
        (message("image", {"caption": "without an id"}), "unsupported", ""),
    ],
)  # fmt: skip
async def test_every_kind_of_message_is_read(event: dict[str, Any], kind: str, text: str) -> None:
    item = await one(event)
    assert isinstance(item, Arrived)
    assert (item.kind, item.text, item.person.name, item.sent_at) == (kind, text, "Thandi", AT)
    assert (item.account, item.id, item.person.id) == ("555", "wamid.A", "27821234567")


async def test_replies_referrals_and_media_keep_what_belongs_to_them() -> None:
    item = await one(
        message(
            "text", {"body": "this one"}, context={"id": "wamid.Q", "forwarded": True}, referral={"headline": "Sale"}
        )
    )
    assert isinstance(item, Arrived)
    assert item.reply_to == "wamid.Q"
    assert item.details == {"forwarded": True, "referral": {"headline": "Sale"}}
    item = await one(message("document", {"id": "m9", "filename": "bill.pdf", "mime_type": "application/pdf"}))
    assert isinstance(item, Arrived)
    assert item.parts == (Part("document", "m9", "application/pdf", "bill.pdf"),)


@pytest.mark.parametrize(
    ("event", "kind", "value"),
    [
        (message("reaction", {"message_id": "wamid.T", "emoji": "👍"}), "reaction", "👍"),
        (message("reaction", {"message_id": "wamid.T"}), "reaction", ""),
        (message("edit", {"original_message_id": "wamid.T", "message": {"type": "text", "text": {"body": "new"}}}), "edit", "new"),
        (message("revoke", {"original_message_id": "wamid.T"}), "delete", ""),
    ],
)  # fmt: skip
async def test_changes_name_their_message(event: dict[str, Any], kind: str, value: str) -> None:
    item = await one(event)
    assert isinstance(item, Changed)
    assert (item.target, item.kind, item.value, item.actor) == ("wamid.T", kind, value, "27821234567")


async def test_a_person_without_a_number_is_known_by_the_scoped_id() -> None:
    event = {"from_user_id": "ZA.77", "id": "wamid.B", "timestamp": str(AT), "type": "text", "text": {"body": "Hi"}}
    contacts = [{"user_id": "ZA.77", "profile": {"name": "Lerato", "username": "@lerato"}}]
    [item] = await parsed("whatsapp", whatsapp_event("555", [event], contacts=contacts))
    assert isinstance(item, Arrived)
    assert (item.person.id, item.person.name, item.person.address) == ("ZA.77", "Lerato", "@lerato")


async def test_every_entry_change_message_and_status_of_a_batch_is_read() -> None:
    status = {"id": "wamid.S", "status": "failed", "timestamp": str(AT), "errors": [{"code": 131026, "title": "no"}],
              "biz_opaque_callback_data": "entry"}  # fmt: skip
    first = whatsapp_event("1", [message("text", {"body": "a"}), message("text", {"body": "b"}, id="wamid.2")])
    second = whatsapp_event(
        "2", [message("text", {"body": "c"}, id="wamid.3")], statuses=[status, {"id": "x", "status": "odd"}]
    )
    echo = whatsapp_event("3", [], message_echoes=[{**message("text", {"body": "d"}), "to": "2799"}])
    event = {"object": "whatsapp_business_account", "entry": [*first["entry"], *second["entry"], *echo["entry"]]}
    items = await parsed("whatsapp", event)
    assert [type(item).__name__ for item in items] == ["Arrived", "Arrived", "Arrived", "Changed", "Noticed", "Arrived"]
    failed, last = items[3], items[5]
    assert isinstance(failed, Changed)
    assert (failed.value, failed.outbox_id, bool(failed.blocks)) == ("failed", "entry", True)
    assert isinstance(last, Arrived)
    assert (last.is_echo, last.person.id) == (True, "2799")


async def test_what_concerns_the_account_is_a_notice_with_its_problem() -> None:
    change = {"field": "account_update", "value": {"event": "ACCOUNT_RESTRICTION"}}
    [item] = await parsed("whatsapp", {"entry": [{"id": "9", "time": AT, "changes": [change]}]})
    assert isinstance(item, Noticed)
    assert (item.account, item.kind, item.problem) == ("", "account_update", "WhatsApp says ACCOUNT_RESTRICTION")


async def test_odd_shapes_and_clocks_raise_nothing() -> None:
    odd: list[Any] = [{}, {"entry": "x"}, {"entry": [None, {"changes": [1, {"value": []}]}]}]
    for event in odd:
        await parsed("whatsapp", event)
    for stamp in ("0", "99999999999999", "yesterday", None):
        item = await one(message("text", {"body": "x"}, timestamp=stamp))
        assert isinstance(item, Arrived)
        assert item.sent_at == 1_764_000_000.0


async def test_the_signature_covers_the_raw_bytes_with_each_secret(made: Make) -> None:
    async with made("whatsapp") as channel:
        body = '{"text": "Grüße ❤ \\u00e9"}'.encode()
        for secret in ("s3cret", "older"):
            proof = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
            channel.verify({"x-hub-signature-256": f"sha256={proof}"}, body)
            for changed in (body + b" ", body.replace(b"\xc3", b"\xc4")):
                with pytest.raises(SignatureError, match="does not match"):
                    channel.verify({"x-hub-signature-256": f"sha256={proof}"}, changed)
        for headers in ({}, {"x-hub-signature-256": "sha1=00"}, {"x-hub-signature-256": "sha256=é"}):
            with pytest.raises(SignatureError):
                channel.verify(headers, body)
        good = {"hub.mode": "subscribe", "hub.verify_token": "v", "hub.challenge": "1158201444"}
        assert channel.handshake(good) == "1158201444"
        assert channel.handshake({**good, "hub.verify_token": "wrong"}) is None


async def test_texts_replies_templates_and_files_are_sent_as_documented(made: Make) -> None:
    fake = FakeMeta()
    async with made("whatsapp", "555", fake) as channel:
        assert (await channel.send(Outgoing("o1", "2782", "Hello", reply_to="wamid.Q"))).external_id == "wamid.OUT1"
        template = {"name": "order_ready", "language": "en", "parameters": ["17"]}
        await channel.send(Outgoing("o2", "ZA.77", template=template))
        await channel.send(
            Outgoing("o3", "2782", "your bill", (Upload("document", "application/pdf", "b.pdf", b"%PDF-"),))
        )
    texts, templates, files = (body for _, body in fake.sent)
    assert (texts["to"], texts["text"]["body"], texts["context"]) == ("2782", "Hello", {"message_id": "wamid.Q"})
    assert texts["biz_opaque_callback_data"] == "o1"
    assert (templates["recipient"], templates["template"]["components"][0]["parameters"][0]["text"]) == ("ZA.77", "17")
    assert fake.uploads == [("application/pdf", b"%PDF-")]
    assert files["document"] == {"id": "upload-3", "caption": "your bill", "filename": "b.pdf"}


@pytest.mark.parametrize(
    ("code", "outcome"),
    [(130429, Outcome.RETRY), (131056, Outcome.RETRY), (4, Outcome.RETRY), (131047, Outcome.STOP), (131026, Outcome.STOP),
     (132001, Outcome.STOP), (190, Outcome.CHANNEL), (10, Outcome.CHANNEL), (131031, Outcome.CHANNEL), (131005, Outcome.CHANNEL)],
)  # fmt: skip
async def test_documented_errors_mean_what_they_say(made: Make, code: int, outcome: Outcome) -> None:
    fake = FakeMeta()
    async with made("whatsapp", "555", fake) as channel:
        fake.fail_next(code, "documented")
        with pytest.raises(SendError, match=f"code {code}") as caught:
            await channel.send(Outgoing("o", "2782", "x"))
        assert (caught.value.outcome, caught.value.provider_code) == (outcome, str(code))
        assert bool(caught.value.remedy) == (outcome is Outcome.CHANNEL)
        fake.lose_answer()
        with pytest.raises(SendError) as caught:
            await channel.send(Outgoing("o", "2782", "x"))
        assert caught.value.outcome is Outcome.UNKNOWN


async def test_media_come_by_their_id_until_it_expires(made: Make) -> None:
    fake = FakeMeta(media={"m1": ("image/png", b"\x89PNG" * 1000)})
    async with made("whatsapp", "555", fake) as channel:
        assert b"".join([chunk async for chunk in channel.fetch(Part("image", "m1"), b"")]) == b"\x89PNG" * 1000
        fake.expire("m1")
        with pytest.raises(MediaError, match="not good any more") as caught:
            [chunk async for chunk in channel.fetch(Part("image", "m1"), b"")]
        assert caught.value.is_final
        assert [check.problem for check in await channel.check()] == [""]
        fake.token = "another"
        assert "190" in (await channel.check())[0].problem
