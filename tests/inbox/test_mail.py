"""Mails: read whatever is wrong with them, threaded, trimmed, made safe; and what no machine may answer."""

from __future__ import annotations

import base64
import gzip
import json
import os
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from inbox.mail_support import US, add_mailbox, mail
from inbox.support import conversation_of, feed, outbox_states, reply, texts, work

from tasklift.errors import ConfigError
from tasklift_inbox import changing, organise, policy, views
from tasklift_inbox.channels.base import Arrived, Changed, ChannelConfig, Item, Noticed, Tools
from tasklift_inbox.channels.email import EmailChannel
from tasklift_inbox.channels.outgoing import Outgoing, Upload
from tasklift_inbox.errors import RefusedError
from tasklift_inbox.mail import tokens
from tasklift_inbox.mail.html import safe_html, text_of_html
from tasklift_inbox.mail.reading import base_subject, part_bytes, read_mail
from tasklift_inbox.mail.rules import authentication
from tasklift_inbox.mail.trimming import trim_reply
from tasklift_inbox.mail.writing import write_mail
from tasklift_inbox.media import Fetcher
from tasklift_inbox.runtime import Runtime
from tasklift_inbox.texts import one_line


def parsed(raw: bytes, **settings: str) -> list[Item]:
    config = ChannelConfig("mail", "email", US, {"imap_host": "x", **settings})
    return EmailChannel(config, Tools(None, b"key")).parse({}, raw, 1_795_000_000.0)  # type: ignore[arg-type]


def one(raw: bytes, **settings: str) -> Arrived:
    [item] = parsed(raw, **settings)
    assert isinstance(item, Arrived)
    return item


def data(name: str) -> Path:
    folder = os.environ.get("TASKLIFT_DATA")
    if folder is None or not (Path(folder) / name).exists():
        pytest.skip(f"mails of other projects: TASKLIFT_DATA names no folder with {name}")
    return Path(folder) / name


def test_a_plain_mail() -> None:
    item = one(mail("Where is it?", sender='"Ölaf, Ann" <Ann@Example.test>', headers={"Cc": "bob@example.test"}))
    assert (item.text, item.person.id, item.person.name) == ("Where is it?", "ann@example.test", "Ölaf, Ann")
    assert (item.id, item.details["subject"]) == ("m1@example.test", "Parcel")
    assert item.thread is not None
    assert [other.id for other in item.thread.others] == ["bob@example.test"]


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("text/plain; charset=windows-1252", "caf\xe9 \x80".encode("latin-1"), "café €"),
        ("text/plain; charset=no-such-charset", "naïve".encode(), "naïve"),
        ("text/plain; charset=utf-8", b"caf\xe9", "café"),
        ("text/plain; charset=iso-2022-jp", "日本".encode("iso-2022-jp"), "日本"),
        ("text/plain", b"\0 nul", "\N{REPLACEMENT CHARACTER} nul"),
        ("text/html; charset=utf-8", b"<p>Hello<br>there &amp; <b>you</b></p><script>x</script>", "Hello\nthere & you"),
        ("nonsense", b"just text", "just text"),
    ],
)
def test_charsets_and_pages(kind: str, body: bytes, text: str) -> None:
    raw = mail("", kind=kind).rstrip() + b"\r\n\r\n" + body
    assert one(raw).text == text


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no header at all",
        b"\xff\xfe\x00",
        b"From: \r\nTo: <<<>>>, ,,@\r\nSubject: =?utf-8?B?!!!?= =?x?Q?=ZZ?=\r\nDate: yesterday\r\n\r\nx",
        b"Content-Type: multipart/mixed\r\n\r\nno boundary",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n--x",
        b"Content-Transfer-Encoding: base64\r\n\r\n!!!not base64",
        b"From: a@b.c\r\nReferences: " + b"<x@y> " * 5000 + b"\r\n\r\nx",
        b"From: a@b.c\r\nTo: " + b", ".join(b"p%d@example.test" % n for n in range(10_000)) + b"\r\n\r\nx",
        mail("x", headers={"Message-ID": "", "Date": ""}),
    ],
)
def test_odd_mails_are_read(raw: bytes) -> None:
    item = one(raw)
    assert item.id
    assert item.thread is not None
    assert len(item.thread.others) <= 200


def test_a_mail_nested_without_end_is_refused_and_many_parts_stay_few() -> None:
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(600))
    with pytest.raises(ValueError, match="nested too deep"):
        parsed(deep)
    many = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\nContent-Type: image/png\r\n\r\nx\r\n" * 5000
    assert len(one(many).parts) == 300


def test_a_missing_message_id_is_replaced_by_a_hash_that_relays_do_not_change() -> None:
    raw = mail("same", headers={"Message-ID": ""})
    relayed = b"Received: from relay\r\n" + raw
    assert one(raw).id == one(relayed).id != one(mail("other", headers={"Message-ID": ""})).id
    assert one(raw).id.startswith("hash:")


def test_attachments_inline_pictures_calendar_and_winmail_are_kept() -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Message-ID"] = "ann@example.test", US, "<a@b>"
    message.set_content("see")
    message.add_alternative('<p>see <img src="cid:logo"></p>', subtype="html")
    message.get_payload()[1].add_related(b"\x89PNG", "image", "png", cid="<logo>")  # type: ignore[index,union-attr]
    message.add_attachment(b"BEGIN:VCALENDAR", maintype="text", subtype="calendar", filename="invite.ics")
    message.add_attachment(b"\x78\x9f", maintype="application", subtype="ms-tnef", filename="winmail.dat")
    message.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename="../../Überweisung.pdf")
    inner = EmailMessage()
    inner.set_content("forwarded")
    message.add_attachment(inner)
    raw = message.as_bytes()
    item = one(raw)
    assert [(part.kind, part.mime, part.name) for part in item.parts] == [
        ("image", "image/png", ""), ("document", "text/calendar", "invite.ics"), ("document", "application/ms-tnef", "winmail.dat"),
        ("document", "application/pdf", "Überweisung.pdf"), ("document", "message/rfc822", ""),
    ]  # fmt: skip
    assert item.parts[0].content_id == "logo"
    assert part_bytes(raw, int(item.parts[3].ref.removeprefix("part:"))) == b"%PDF-"
    assert b"forwarded" in (part_bytes(raw, int(item.parts[4].ref.removeprefix("part:"))) or b"")
    assert part_bytes(raw, 99) is None


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"Auto-Submitted": "auto-replied"}, "Auto-Submitted"),
        ({"Auto-Submitted": "auto-generated; x=y"}, "Auto-Submitted"),
        ({"Return-Path": "<>"}, "Return-Path"),
        ({"Precedence": "bulk"}, "Precedence"),
        ({"List-Id": "<news.example.test>"}, "list-id"),
        ({"X-Auto-Response-Suppress": "DR, OOF"}, "Suppress"),
        ({"From": "no-reply@shop.test"}, "nobody reads"),
        ({"From": "MAILER-DAEMON@shop.test"}, "nobody reads"),
        ({"Auto-Submitted": "no"}, ""),
        ({}, ""),
    ],
)
def test_mails_that_no_machine_may_answer(headers: dict[str, str], words: str) -> None:
    found = one(mail("x", headers=headers)).details.get("automatic", "")
    assert words in found
    assert bool(words) == bool(found)


def test_authentication_results_are_believed_of_ones_own_server_only() -> None:
    raw = mail(
        "x",
        headers={
            "Authentication-Results": "mx.example.test; spf=pass smtp.mailfrom=a; dkim=fail header.d=b; dmarc=none"
        },
    )
    assert one(raw, own_server="mx.example.test").details["authentication"] == {
        "spf": "pass",
        "dkim": "fail",
        "dmarc": "none",
    }
    assert "authentication" not in one(raw, own_server="another.test").details
    assert authentication(read_mail(raw).message, "") == {}


BOUNCE = """This is the mail system. Your message could not be delivered.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.test

Final-Recipient: rfc822; Gone@example.test
Action: {action}
Status: {status}
Diagnostic-Code: smtp; 550 {status} no such user

--b
Content-Type: text/rfc822-headers

Message-ID: <{original}>
Subject: Re: Parcel

--b--"""


def bounce(original: str, action: str = "failed", status: str = "5.1.1") -> bytes:
    body = BOUNCE.format(action=action, status=status, original=original).replace("\n", "\r\n")
    body = "--b\r\nContent-Type: text/plain\r\n\r\n" + body
    return mail(
        body,
        sender="MAILER-DAEMON@example.test",
        number=50,
        kind="multipart/report; report-type=delivery-status; boundary=b",
    )


def test_bounces_are_changes_of_the_mail_that_came_back() -> None:
    [failed] = parsed(bounce("ours@example.test"))
    assert isinstance(failed, Changed)
    assert (failed.target, failed.value, failed.actor) == ("ours@example.test", "failed", "gone@example.test")
    assert "5.1.1" in failed.blocks
    [delayed] = parsed(bounce("ours@example.test", "delayed", "4.4.1"))
    [full] = parsed(bounce("ours@example.test", "failed", "5.2.2"))
    assert isinstance(delayed, Changed)
    assert isinstance(full, Changed)
    assert (delayed.value, delayed.blocks, full.value, full.blocks) == ("delayed", "", "failed", "")
    assert [type(item) for item in parsed(bounce("").replace(b"Message-ID: <>\r\n", b""))] == [Noticed]


async def test_a_bounce_of_a_mail_that_we_never_sent_blocks_nobody(runtime: Runtime) -> None:
    await add_mailbox(runtime)
    await feed(runtime, "mail", [mail("hi", sender="gone@example.test")])
    await feed(runtime, "mail", [bounce("m1@example.test"), bounce("invented@example.test")])
    queued = await reply(runtime, "you can still be reached")
    assert queued.outbox_id


async def test_threads_by_reference_by_token_and_never_for_strangers(runtime: Runtime) -> None:
    await add_mailbox(runtime)
    await feed(runtime, "mail", [mail("first", number=1, headers={"Cc": "Bob <bob@example.test>"})])
    await feed(runtime, "mail", [
        mail("second", number=2, headers={"In-Reply-To": "<m1@example.test>", "Subject": "something else"}),
        mail("from bob", number=3, sender="bob@example.test", headers={"References": "<m1@example.test> <m2@example.test>"}),
        mail("a stranger guesses", number=4, sender="eve@example.test", headers={"In-Reply-To": "<m1@example.test>"}),
        mail("new, same subject", number=5),
    ])  # fmt: skip
    found = await views.list_conversations(runtime.database, views.Filter())
    by_id = {
        number["id"]: [m["text"] for m in await views.list_messages(runtime.database, number["id"])] for number in found
    }
    assert by_id == {1: ["first", "second", "from bob"], 2: ["a stranger guesses"], 3: ["new, same subject"]}
    suggestions = {one["id"]: one["suggestion"] for one in found}
    assert suggestions[1]["split_at"] == "m2@example.test"
    assert (suggestions[2]["conversation"], "not part of it" in suggestions[2]["reason"]) == (1, True)
    assert (suggestions[3]["conversation"], suggestions[3]["reason"]) == (1, "same sender and subject")
    plus = tokens.plus_address(runtime.tools.signing_key, "mail", 1, US)
    forged = plus.replace("+tl1-", "+tl2-")
    await feed(
        runtime,
        "mail",
        [
            mail("by token", number=6, headers={"To": plus, "Subject": "x"}),
            mail("forged", number=7, headers={"To": forged, "Subject": "y"}),
        ],
    )
    assert [m["text"] for m in await views.list_messages(runtime.database, 1)][-1] == "by token"
    assert [m["text"] for m in await views.list_messages(runtime.database, 2)] == ["a stranger guesses"]


async def test_a_changed_subject_offers_a_split(runtime: Runtime) -> None:
    await add_mailbox(runtime)
    again = {"In-Reply-To": "<m1@example.test>"}
    await feed(runtime, "mail", [mail("first", number=1), mail("second", number=2, headers=again),
                                 mail("another matter", number=3, headers={**again, "Subject": "Re: Invoice"})])  # fmt: skip
    one = await conversation_of(runtime)
    assert one["suggestion"]["split_at"] == "m3@example.test"
    numbers = {message["text"]: message["id"] for message in one["messages"]}
    new = await organise.split(runtime.database, numbers["another matter"], "kim")
    told = [[m["text"] for m in await views.list_messages(runtime.database, n)] for n in (one["id"], new)]
    assert told == [["first", "second"], ["another matter"]]
    with pytest.raises(ConfigError, match="nothing to split"):
        await organise.split(runtime.database, numbers["first"], "kim")
    await feed(
        runtime,
        "mail",
        [mail("more of it", number=4, headers={"In-Reply-To": "<m3@example.test>", "Subject": "Re: Invoice"})],
    )
    assert [m["text"] for m in await views.list_messages(runtime.database, new)] == ["another matter", "more of it"]


async def test_a_closed_thread_opens_again_when_it_is_answered(runtime: Runtime) -> None:
    await add_mailbox(runtime)
    await feed(runtime, "mail", [mail("first", number=1)])

    await organise.change(runtime.database, 1, organise.Change(status="closed"), "kim")
    await feed(runtime, "mail", [mail("again", number=2, headers={"In-Reply-To": "<m1@example.test>"})])
    found = await conversation_of(runtime)
    assert (found["id"], found["status"], len(found["messages"])) == (1, "open", 2)


async def test_replies_are_trimmed_and_the_whole_is_kept(runtime: Runtime) -> None:
    await add_mailbox(runtime)
    whole = "Yes please.\n\nOn Mon, Nov 24, 2025 at 4:10 PM Support <support@example.test> wrote:\n> Shall we send it again?"
    await feed(runtime, "mail", [mail(whole)])
    [message] = (await conversation_of(runtime))["messages"]
    assert (message["text"], message["details"]["full"]) == ("Yes please.", whole)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Thanks!\n\n-- \nAnn\nExample Ltd", "Thanks!"),
        ("Ja, gern.\n\nAm 24.11.2025 um 16:10 schrieb Support <s@example.test>:\n> Noch einmal?", "Ja, gern."),
        ("Oui\n\nLe lun. 24 nov. 2025 à 16:10, Support <s@example.test> a écrit :\n> Encore ?", "Oui"),
        ("Done.\n\nSent from my iPhone", "Done."),
        (
            "I wrote one of my own:\nhttps://example.test\n\nLike it?",
            "I wrote one of my own:\nhttps://example.test\n\nLike it?",
        ),
        ("> Which colour?\nRed\n> Which size?\nLarge", "> Which colour?\nRed\n> Which size?\nLarge"),
        ("> only a quote", "> only a quote"),
        ("Hi\n\nFrom: Support\nSent: Monday\nTo: Ann\nSubject: Parcel\n\nold text", "Hi"),
        ("From now on: call me", "From now on: call me"),
    ],
)
def test_reply_text(text: str, kept: str) -> None:
    assert trim_reply(text) == kept


def test_trimming_the_examples_of_discourse() -> None:
    path = data("email_reply_trimming") / "email_reply_trimming.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def plain(text: str) -> str:
        return "\n".join(line.rstrip() for line in text.replace("\r", "").strip().split("\n"))

    right = [plain(trim_reply(row["text"])) == plain(row["reply"]) for row in rows]
    assert all(trim_reply(row["text"]) for row in rows if row["text"].strip())
    assert sum(right) >= 60


def test_every_fixture_of_other_projects_is_read() -> None:
    count = 0
    for path in sorted(data("eml_fixtures").glob("*/*.eml")):
        assert parsed(path.read_bytes()), path
        count += 1
    assert count == 206
    with gzip.open(data("spamassassin_email") / "all_messages.jsonl.gz", "rt") as file:
        for number, line in enumerate(file):
            if number % 20 == 0:
                assert parsed(json.loads(line)["raw"].encode("latin-1"))


PAGE = """<html><head><title>t</title><script>alert(1)</script><style>p{x}</style></head><body onload="x()">
<p style="color:red;background:url(http://e/x)" onclick="x()">Hi <a href="javascript:x()">a</a> <a href="https://e">b</a></p>
<img src="http://track.test/p.gif"><img src="cid:logo"><img src="cid:other"><img src="data:image/svg+xml;base64,PHN2Zz4=">
<iframe src="https://e"></iframe><form action="https://e"><input></form><svg onload="x()"></svg><object data="x"></object></body></html>"""


def test_pages_run_nothing_and_reach_nowhere() -> None:
    safe = safe_html(PAGE, {"logo": "/v1/attachments/3/content"})
    for bad in (
        "script",
        "onload",
        "onclick",
        "javascript",
        "track.test",
        "iframe",
        "form",
        "svg",
        "object",
        "url(",
        "data:",
    ):
        assert bad not in safe.html, bad
    assert 'src="/v1/attachments/3/content"' in safe.html
    assert 'rel="noopener noreferrer nofollow"' in safe.html
    assert safe.blocked_images == 1
    shown = safe_html(
        '<img src="https://cdn.test/a.png"><img src="http://cdn.test/b.png">', {}, with_remote_images=True
    )
    assert ("https://cdn.test/a.png" in shown.html, "http://cdn.test/b.png" in shown.html) == (True, False)
    assert text_of_html("<p>New</p><blockquote>old<br>lines</blockquote>") == "New\n\n> old\n> lines"


def outgoing(**more: Any) -> Outgoing:
    headers = {
        "message_id": "ours@example.test",
        "subject": "Re: Parcel",
        "in_reply_to": "m1@example.test",
        "references": ["m0@x", "m1@example.test"],
    }
    return Outgoing("o", "ann@example.test", "Hello", mail={**headers, **more.pop("mail", {})}, **more)


def test_what_we_send_is_threaded_and_forges_no_header() -> None:
    evil = "Re: hi\r\nBcc: victim@example.test\r\n\r\nbody"
    message = write_mail(outgoing(mail={"subject": evil}), US, "Support\r\nX-Evil: 1", "")
    raw = bytes(message)
    assert message["Bcc"] is None
    assert message["X-Evil"] is None
    assert b"\r\nBcc:" not in raw
    assert (message["Message-ID"], message["In-Reply-To"]) == ("<ours@example.test>", "<m1@example.test>")
    assert message["References"] == "<m0@x> <m1@example.test>"
    assert message["Auto-Submitted"] is None
    file = Upload("document", "application/pdf", "a\r\nb.pdf", b"%PDF-")
    automatic = write_mail(outgoing(is_automatic=True, uploads=(file,)), US, "", "")
    assert automatic["Auto-Submitted"] == "auto-replied"
    assert [part.get_filename() for part in automatic.iter_attachments()] == ["a b.pdf"]
    assert one_line("a\u2028b\0c") == "a b c"


def test_subjects_lose_their_prefixes() -> None:
    assert base_subject("Re: AW: Fwd: Re[2]: Parcel") == "Parcel"
    assert base_subject("Regarding: x") == "Regarding: x"


async def test_the_same_message_id_is_kept_when_it_is_sent_again(runtime: Runtime) -> None:
    await add_mailbox(runtime, smtp_port=1)  # nobody listens there
    await feed(runtime, "mail", [mail("hi")])
    queued = await reply(runtime, "Hello")
    message = (await conversation_of(runtime))["messages"][-1]
    assert message["external_id"].startswith(f"tl.1.{queued.outbox_id}.")
    assert message["details"]["subject"] == "Re: Parcel"
    key, identity = runtime.tools.signing_key, message["external_id"]
    assert tokens.conversation_of(key, "mail", [], [identity]) == 1
    assert tokens.conversation_of(b"another key", "mail", [], [identity]) is None
    assert tokens.conversation_of(key, "mail", [], [identity.replace("tl.1.", "tl.2.")]) is None
    assert set((await outbox_states(runtime)).values()) == {"queued"}


async def test_nothing_automatic_answers_a_machine(runtime: Runtime) -> None:
    await add_mailbox(runtime)
    await feed(runtime, "mail", [mail("I am out of office", headers={"Auto-Submitted": "auto-replied"})])
    with pytest.raises(RefusedError, match="no machine answers it"):
        await reply(runtime, "Thanks!", by="bot", is_automatic=True)
    await reply(runtime, "Thanks!", by="kim")


async def test_two_machines_that_do_not_say_so_stop_at_the_breaker(runtime: Runtime) -> None:
    await add_mailbox(runtime)
    sent, reason = 0, ""
    for n in range(1, 40):
        await feed(
            runtime,
            "mail",
            [mail("Thank you for your message.", number=n, headers={"In-Reply-To": f"<m{n - 1}@example.test>"})],
        )
        try:
            queued = await reply(runtime, "Thank you for yours.", by="bot", is_automatic=True)
        except RefusedError as error:
            reason = str(error)
            break
        async with runtime.database.write() as connection:
            await changing.mark_sent(connection, queued.outbox_id, f"ours-{n}@example.test")
        sent += 1
    assert (sent, "it may be a machine" in reason) == (policy.BREAKER_COUNT, True)


async def test_attachments_of_a_mail_come_from_its_raw_event(runtime: Runtime) -> None:
    await add_mailbox(runtime)
    message = EmailMessage()
    message["From"], message["To"], message["Message-ID"] = "ann@example.test", US, "<a@b>"
    message.set_content("see")
    message.add_attachment(base64.b64decode("iVBORw0KGgo="), maintype="image", subtype="png", filename="p.png")
    message.add_attachment(b"<svg onload=x>", maintype="image", subtype="svg+xml", filename="x.svg")
    await feed(runtime, "mail", [message.as_bytes()])
    await work(runtime.media_queue, {"fetch": Fetcher(runtime).fetch})
    files = (await conversation_of(runtime))["messages"][0]["attachments"]
    assert [(one["state"], one["mime"]) for one in files] == [
        ("stored", "image/png"),
        ("stored", "application/octet-stream"),
    ]
    assert await texts(runtime) == {"ann@example.test": ["see"]}
