"""What strangers send to do harm: bodies without end, bombs, forged headers, scripts in pictures, wrong clocks."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import hmac
import io
import time
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from inbox.mail_support import US, add_mailbox, mail
from inbox.support import NOW, add, conversation_of, feed, says, texts
from inbox.test_operations import SVG, api, fetch_all, picture
from inbox.test_slice import serving, told

from tasklift_inbox import views
from tasklift_inbox.channels.http import ApiClient, Call
from tasklift_inbox.channels.outgoing import Outgoing
from tasklift_inbox.errors import MediaError
from tasklift_inbox.mail.reading import read_mail
from tasklift_inbox.mail.writing import reply_headers, write_mail
from tasklift_inbox.media import MediaStore
from tasklift_inbox.runtime import Runtime, Settings
from tasklift_inbox.testing import Delivery, FakeMeta, running

MB = 2**20


def signed(body: bytes, secret: str = "s") -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_a_body_of_fifty_megabytes_is_not_read_to_its_end(settings: Settings) -> None:
    sent = 0

    async def stream() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(50):
            sent += 1
            yield b" " * MB
            await asyncio.sleep(0)

    async with serving(settings) as (inbox, url), aiohttp.ClientSession() as session:
        await add(inbox.runtime, "simulated")
        try:
            async with session.post(f"{url}/hooks/simulated", data=stream()) as answer:
                assert answer.status == 413
        except aiohttp.ClientConnectionError:
            pass  # it was cut off while it still wrote
        assert sent < 50
        announced = {"Content-Length": str(50 * MB), **signed(b"")}
        _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        head = "".join(f"{name}: {value}\r\n" for name, value in announced.items())
        writer.write(f"POST /hooks/simulated HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
        await writer.drain()
        writer.close()  # announced, never sent
        assert await Delivery(f"{url}/hooks/simulated", "s").post(session, says(("a", "1", "still here", 0))) == 200
        await told(inbox, 1)


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages": ' + b"9" * 100_000 + b"}",
        b'{"messages": [{"at": 1e999999, "from": {}, "id": [], "text": 7}], "edits": [1e400]}',
        b'{"messages": [' + b"{}," * 20_000 + b"{}]}",
        b'{"messages": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}",
        b'{"messages": [{"from": "a", "id": "' + b"x" * 900_000 + b'", "text": "\\ud800\\u0000"}]}',
        b'{"a": 1, "a": 2, "messages": null, "edits": {"target": 1}}',
    ],
    ids=["a number of 100,000 digits", "infinite", "20,000 empty messages", "a million brackets", "an id of 900 kB", "doubled keys"],
)  # fmt: skip
async def test_json_bombs_hold_nothing_up(runtime: Runtime, body: bytes) -> None:
    await add(runtime, "simulated")
    await asyncio.wait_for(feed(runtime, "simulated", [body, says(("bo", "2", "next", 0))]), 60)
    assert "next" in (await texts(runtime))["bo"]


async def test_a_replayed_or_changed_event_brings_nothing_in(settings: Settings) -> None:
    async with serving(settings) as (inbox, url), aiohttp.ClientSession() as session:
        await add(inbox.runtime, "simulated")
        body = '{"messages": [{"from": "ä", "id": "1", "text": "Grüße ❤"}]}'.encode()
        changed = body.replace(b'"1"', b'"2"')
        for headers, content, status in (
            (signed(body), body, 200), (signed(body), body, 200), (signed(body), changed, 401),
            (signed(body, "other"), body, 401), ({}, body, 401), ({"X-Hub-Signature-256": "sha256=ü"}, body, 401),
        ):  # fmt: skip
            async with session.post(f"{url}/hooks/simulated", data=content, headers=headers) as answer:
                assert answer.status == status
        [one] = await told(inbox, 1)
        assert [message["text"] for message in one["messages"]] == ["Grüße ❤"]


async def test_a_file_that_unpacks_without_end_stays_what_it_is(runtime: Runtime) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("zeros", b"\0" * (64 * MB))
    fake = FakeMeta(media={"m1": ("image/png", packed.getvalue())})
    async with running(fake.app) as url:
        await add(runtime, "whatsapp", base_url=url)
        await feed(runtime, "whatsapp", [picture(1, "m1")])
        await fetch_all(runtime)
    [file] = (await conversation_of(runtime))["messages"][0]["attachments"]
    assert (file["state"], file["mime"], file["size_bytes"]) == ("stored", "application/zip", len(packed.getvalue()))


async def test_an_answer_that_is_packed_is_measured_unpacked(tmp_path: Path) -> None:
    bomb = gzip.compress(b"\0" * (64 * MB))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
        writer.write(head.encode() + bomb)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        http, port = ApiClient(), server.sockets[0].getsockname()[1]
        try:
            with pytest.raises(MediaError, match="longer than 1048576 bytes"):
                await MediaStore(tmp_path).put(http.download(Call("GET", f"http://127.0.0.1:{port}/")), MB)
        finally:
            await http.aclose()
    assert files_in(tmp_path) == []


async def test_a_picture_with_a_script_is_a_download(settings: Settings) -> None:
    fake = FakeMeta(media={"m1": ("image/svg+xml", SVG)})
    async with running(fake.app) as graph, api(settings) as (inbox, call):
        await add(inbox.runtime, "whatsapp", base_url=graph)
        await feed(inbox.runtime, "whatsapp", [picture(1, "m1", "image/svg+xml")])
        for _ in range(200):
            status, answer = await call("GET", "/v1/attachments/1/content", "read")
            if status == 200:
                break
            await asyncio.sleep(0.05)
        content, headers = answer
    assert (content, headers["content-type"]) == (SVG, "application/octet-stream")
    assert headers["content-disposition"].startswith("attachment")
    assert (headers["x-content-type-options"], "sandbox" in headers["content-security-policy"]) == ("nosniff", True)


async def test_a_subject_and_a_name_that_forge_headers_reach_no_header(runtime: Runtime) -> None:
    await add_mailbox(runtime)
    forged = "=?utf-8?q?Hello=0d=0aBcc=3a_victim=40example.test=0d=0a=0d=0abody?="
    sender = "=?utf-8?q?Ann=0d=0aX-Evil=3a_1?= <ann@example.test>"
    headers = {"Subject": forged, "Reply-To": "=?utf-8?q?a=0d=0aBcc=3a_b?= <ann@example.test>"}
    await feed(runtime, "mail", [mail(sender=sender, headers=headers)])
    async with runtime.database.read() as connection:
        answer = await reply_headers(connection, 1)
    outgoing = Outgoing("o", "ann@example.test", "Hi", mail={**answer, "message_id": "ours@example.test"})
    raw = bytes(write_mail(outgoing, US, "Support", ""))
    written = read_mail(raw).message
    assert (written["Bcc"], written["X-Evil"], written["To"]) == (None, None, "ann@example.test")
    assert raw.partition(b"\r\n\r\n")[2].strip() == b"Hi"


@pytest.mark.parametrize(
    "date", ["Thu, 01 Jan 1970 00:00:00 +0000", "Fri, 01 Jan 2099 00:00:00 +0000", "99 Foo 0000", ""]
)
async def test_a_clock_that_is_years_off_moves_no_conversation(runtime: Runtime, date: str) -> None:
    await add_mailbox(runtime)
    await feed(runtime, "mail", [mail(headers={"Date": date})])
    one = await conversation_of(runtime)
    assert one["last_message_at"] <= time.time() + 120
    [message] = one["messages"]
    assert 946_684_800 <= message["sent_at"] <= NOW + 2 * 86400


async def test_a_mail_to_ten_thousand_is_one_conversation(runtime: Runtime) -> None:
    await add_mailbox(runtime)
    crowd = ", ".join(f"p{n}@example.test" for n in range(10_000))
    await feed(runtime, "mail", [mail(headers={"Cc": crowd, "Message-ID": ""}), mail("again", number=2)])
    found = await views.list_conversations(runtime.database, views.Filter())
    said = [[one["text"] for one in await views.list_messages(runtime.database, talk["id"])] for talk in found]
    assert sorted(said) == [["Where is my parcel?"], ["again"]]
    people = await views.find_contacts(runtime.database, "example.test", limit=1000)
    assert len(people) == 1 + 100  # Ann, and as many of the others as a mail may bring
