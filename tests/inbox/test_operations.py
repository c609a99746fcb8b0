"""Attachments, erasure, doctor, the REST API and the command line."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
import sqlalchemy as sa
from inbox.conftest import KEY
from inbox.mail_support import add_mailbox, mail
from inbox.support import NOW, add, conversation_of, feed, reply, says, send_all, texts, work
from typer.testing import CliRunner

from tasklift.errors import ConfigError, TaskliftError
from tasklift_inbox import admin, cli, deletion, doctor, media, privacy, views
from tasklift_inbox.app import Inbox
from tasklift_inbox.channels.http import ApiClient, Call
from tasklift_inbox.channels.outgoing import Upload
from tasklift_inbox.errors import MediaError, Outcome, SendError, SignatureError, UnknownItemError
from tasklift_inbox.media import Fetcher, MediaStore, opened_file, sign_file, true_type
from tasklift_inbox.runtime import Runtime, Settings
from tasklift_inbox.tables import METADATA, attachments, raw_events
from tasklift_inbox.testing import FakeMeta, running
from tasklift_inbox.testing.meta import messaging_event, whatsapp_event
from tasklift_inbox.testing.scripted import Trouble
from tasklift_platform.keys import NewKey, create_key
from tasklift_platform.tables import secrets
from tasklift_platform.vault import Secret, Vault, new_secret_key

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 50
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def picture(number: int, media: str, mime: str = "image/png") -> dict[str, Any]:
    message = {"from": f"27{number}", "id": f"w{number}{media}", "timestamp": str(int(NOW)), "type": "image"}
    return whatsapp_event("555", [{**message, "image": {"id": media, "mime_type": mime}}])


async def fetch_all(runtime: Runtime) -> None:
    await work(runtime.media_queue, {"fetch": Fetcher(runtime).fetch})


@pytest.mark.parametrize(
    ("head", "claimed", "mime"),
    [
        (PNG, "image/jpeg", "image/png"),
        (SVG, "image/svg+xml", "application/octet-stream"),
        (b"<html>", "image/png", "application/octet-stream"),
        (b"MZ\x90", "image/png", "application/octet-stream"),
        (b"PK\x03\x04", "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
         "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        (b"PK\x03\x04", "image/png", "application/zip"),
        (b"plain", "text/plain", "text/plain"),
        (b"\0\0\0 ftypM4A ", "audio/mp4", "audio/mp4"),
    ],
)  # fmt: skip
def test_a_type_is_believed_by_its_first_bytes_only(head: bytes, claimed: str, mime: str) -> None:
    assert true_type(head, claimed) == mime


async def test_attachments_are_fetched_once_and_what_is_wrong_is_said(runtime: Runtime) -> None:
    fake = FakeMeta(media={"m1": ("image/png", PNG), "m2": ("image/png", SVG), "m4": ("image/png", PNG)})
    async with running(fake.app) as url:
        await add(runtime, "whatsapp", base_url=url)
        await feed(runtime, "whatsapp", [picture(1, "m1"), picture(1, "m2"), picture(1, "expired"), picture(2, "m4")])
        await fetch_all(runtime)
    async with runtime.database.read() as connection:
        rows = (await connection.execute(sa.select(attachments).order_by(attachments.c.id))).all()
    assert [(row.state, row.mime) for row in rows] == [
        ("stored", "image/png"), ("stored", "application/octet-stream"), ("failed", "image/png"), ("stored", "image/png"),
    ]  # fmt: skip
    assert "not good any more" in rows[2].error
    assert rows[0].sha256 == rows[3].sha256
    assert MediaStore(runtime.settings.media).read(rows[0].sha256) == PNG


async def test_an_attachment_that_failed_is_fetched_again(runtime: Runtime) -> None:
    fake = FakeMeta()
    async with running(fake.app) as url:
        await add(runtime, "whatsapp", base_url=url)
        await feed(runtime, "whatsapp", [picture(1, "m1")])
        await fetch_all(runtime)
        assert any("replay --attachments" in finding.remedy for finding in await doctor.examine(runtime))
        fake.media["m1"] = ("image/png", PNG)
        assert (await media.fetch_again(runtime, 99), await media.fetch_again(runtime)) == (0, 1)
        await fetch_all(runtime)
    assert (await conversation_of(runtime))["messages"][0]["attachments"][0]["state"] == "stored"


async def test_a_file_that_is_too_long_leaves_nothing_behind(tmp_path: Path) -> None:
    async def chunks() -> Any:
        for _ in range(10):
            yield b"x" * 1000

    store = MediaStore(tmp_path)
    with pytest.raises(MediaError, match="longer than 5000"):
        await store.put(chunks(), 5000)
    assert list((tmp_path / "incoming").iterdir()) == []
    with pytest.raises(MediaError, match="no name"):
        store.path("../../etc/passwd")


def test_a_signed_address_opens_one_file_for_a_while() -> None:
    token = sign_file(b"key", 7)
    assert opened_file(b"key", token) == 7
    for bad in (token.replace("7.", "8.", 1), token[:-1], sign_file(b"other", 7), sign_file(b"key", 7, now=0.0), "é"):
        with pytest.raises(MediaError, match="not good"):
            opened_file(b"key", bad)


async def test_erasing_a_contact_reaches_everything_and_nobody_else(runtime: Runtime) -> None:
    fake = FakeMeta(media={"m1": ("image/png", PNG), "m2": ("image/gif", b"GIF89a")})
    async with running(fake.app) as url:
        await add(runtime, "whatsapp", base_url=url)
        await add(runtime, "simulated")
        await feed(runtime, "whatsapp", [picture(1, "m1"), picture(1, "m2"), picture(2, "m1")])
        await feed(runtime, "simulated", [says(("zebedee", "1", "secret of zebedee", 0), ("other", "2", "stays", 1))])
        await fetch_all(runtime)
    people = {
        row["identities"][0]["external_id"]: row["id"]
        for row in [await views.contact(runtime.database, n) for n in range(1, 5)]
    }
    registry = privacy.registry_of(runtime)
    exported = await registry.export(privacy.subject_of(people["zebedee"]))
    assert "secret of zebedee" in json.dumps(exported)
    for name in ("zebedee", "271"):
        certificate = await registry.erase(privacy.subject_of(people[name]), "kim")
        assert certificate.completed_at is not None
        assert certificate.is_about(privacy.subject_of(people[name]))
    assert await texts(runtime) == {"272": [""], "other": ["stays"]}
    async with runtime.database.read() as connection:
        for table in METADATA.sorted_tables:
            dump = repr((await connection.execute(sa.select(table))).all())
            assert "zebedee" not in dump, table.name
        bodies = (await connection.execute(sa.select(raw_events.c.state, raw_events.c.body))).all()
    assert [row.state for row in bodies].count("erased") == 3
    files = [path.read_bytes() for path in runtime.settings.media.rglob("*") if path.is_file()]
    assert files == [PNG]  # somebody else has it as well
    await feed(runtime, "simulated", [says(("zebedee", "1", "secret of zebedee", 0), ("other", "2", "stays", 1))])
    assert "zebedee" not in await texts(runtime)


def signed_request(user: str, secret: str = "s") -> bytes:
    payload = base64.urlsafe_b64encode(json.dumps({"algorithm": "HMAC-SHA256", "user_id": user}).encode()).rstrip(b"=")
    proof = base64.urlsafe_b64encode(hmac.new(secret.encode(), payload, hashlib.sha256).digest()).rstrip(b"=")
    return urlencode({"signed_request": (proof + b"." + payload).decode()}).encode()


async def test_meta_asks_us_to_forget_a_person(runtime: Runtime) -> None:
    await add(runtime, "messenger")
    told = [
        {
            "sender": {"id": person},
            "recipient": {"id": "500"},
            "timestamp": int(NOW) * 1000,
            "message": {"mid": person, "text": "hi"},
        }
        for person in ("81", "82")
    ]
    await feed(runtime, "messenger", [messaging_event("page", "500", told, 0)])
    channel = runtime.channel("messenger")
    for bad in (signed_request("81", "other"), b"signed_request=x.y", b"", signed_request("")):
        with pytest.raises(SignatureError):
            await deletion.forget(runtime, channel, bad)
    answer = await deletion.forget(runtime, channel, signed_request("81"))
    assert answer["url"].endswith(answer["confirmation_code"])
    assert await deletion.progress(runtime, answer["confirmation_code"]) == {
        "confirmation_code": answer["confirmation_code"],
        "status": "complete",
    }
    assert await deletion.progress(runtime, "none") is None
    assert await texts(runtime) == {"82": ["hi"]}
    await deletion.forget(runtime, channel, signed_request("nobody"))


async def test_an_answer_that_comes_after_our_time_out_leaves_the_outcome_unknown() -> None:
    fake, http = FakeMeta(), ApiClient()
    fake.script.add(Trouble(200, {"message_id": "late"}, takes_it=True, delay_s=1.0))
    async with running(fake.app) as url:
        headers = {"Authorization": f"Bearer {fake.token}"}
        with pytest.raises(SendError, match="may have taken") as caught:
            await http.call(
                Call("POST", f"{url}/v1/5/messages", json={"recipient": {"id": "1"}}, headers=headers, timeout_s=0.3)
            )
    with pytest.raises(SendError, match="no connection") as refused:
        await http.call(Call("POST", "http://127.0.0.1:1/x", json={}))
    await http.aclose()
    assert (caught.value.outcome, refused.value.outcome, len(fake.sent)) == (Outcome.UNKNOWN, Outcome.RETRY, 1)


async def test_the_html_of_a_mail_is_shown_safely(runtime: Runtime) -> None:
    await add_mailbox(runtime)
    page = '<p onclick="x()">Hi</p><img src="https://track.test/a.gif">'
    await feed(runtime, "mail", [mail(page, kind="text/html; charset=utf-8")])
    safe = await views.html_of(runtime.database, 1, with_remote_images=False)
    assert (safe.html.strip(), safe.blocked_images) == ("<p>Hi</p><img>", 1)
    with pytest.raises(UnknownItemError):
        await views.html_of(runtime.database, 99, with_remote_images=False)


@contextlib.asynccontextmanager
async def api(settings: Settings) -> Any:
    inbox = Inbox(settings)
    async with running(inbox.asgi, lifespan=True) as url:
        keys = {}
        for scope in ("read", "reply", "manage"):
            keys[scope] = (await create_key(inbox.runtime.database, NewKey(scope, ["read", scope])))[1]

        async def call(
            method: str, path: str, scope: str | None = "reply", headers: dict[str, str] | None = None, **body: Any
        ) -> tuple[int, Any]:
            headers = {**(headers or {}), **({} if scope is None else {"Authorization": f"Bearer {keys[scope]}"})}
            async with (
                aiohttp.ClientSession() as session,
                session.request(method, url + path, headers=headers, json=body or None) as response,
            ):
                data = await response.read()
                return response.status, json.loads(data) if "json" in response.headers["content-type"] else (
                    data,
                    response.headers,
                )

        yield inbox, call


async def test_the_rest_api(settings: Settings) -> None:
    async with api(settings) as (inbox, call):
        runtime = inbox.runtime
        await add(runtime, "simulated")
        await feed(runtime, "simulated", [says(("ann", "1", "hello", 0), ("bob", "2", "hi", 1))])
        assert (await call("GET", "/v1/conversations", None))[0] == 401
        status, found = await call("GET", "/v1/conversations?limit=1")
        assert (status, len(found["conversations"])) == (200, 1)
        number = found["conversations"][0]["id"]
        assert (await call("POST", f"/v1/conversations/{number}/messages", "read", text="x"))[0] == 403
        status, queued = await call("POST", f"/v1/conversations/{number}/messages", text="Hello", attachment={
            "kind": "image", "mime": "image/png", "name": "a.png", "content": base64.b64encode(PNG).decode()})  # fmt: skip
        assert status == 202
        for _ in range(100):
            _, one = await call("GET", f"/v1/conversations/{number}")
            if one["messages"][-1]["status"] == "sent":
                break
            await asyncio.sleep(0.05)
        assert one["messages"][-1]["outbox_id"] == queued["outbox_id"]
        attachment = one["messages"][-1]["attachments"][0]["id"]
        status, (content, headers) = await call("GET", f"/v1/attachments/{attachment}/content")
        assert (status, content, headers["content-type"]) == (200, PNG, "image/png")
        assert "sandbox" in headers["content-security-policy"]
        token = sign_file(runtime.tools.signing_key, attachment)
        assert (await call("GET", f"/files/{token}", None))[0] == 200
        assert (await call("GET", "/files/1.2.3", None))[0] == 400
        status, changed = await call(
            "PATCH", f"/v1/conversations/{number}", assignee="kim", labels=["vip"], status="closed"
        )
        assert (changed["assignee"], changed["labels"], changed["status"]) == ("kim", ["vip"], "closed")
        assert (await call("GET", "/v1/conversations?label=vip"))[1]["conversations"][0]["id"] == number
        assert (await call("POST", f"/v1/conversations/{number}/notes", text="call back"))[0] == 201
        assert (await call("POST", f"/v1/conversations/{number}/messages", text=" "))[0] == 422
        assert (await call("GET", "/v1/conversations/999"))[0] == 404
        assert (await call("POST", "/v1/contacts/1/merge", "manage", merged_id=2))[0] == 200
        assert (await call("GET", "/v1/contacts/1"))[1]["merges"][0]["merged_id"] == 2
        assert (await call("POST", "/v1/merges/1/undo", "manage"))[0] == 200
        assert (await call("GET", "/v1/contacts/1"))[1]["merges"] == []
        alone = (await call("POST", "/v1/identities/1/split", "manage"))[1]["contact_id"]
        assert (await call("GET", "/v1/contacts?q=ANN"))[1]["contacts"][0]["contact_id"] == alone
        assert (await call("GET", "/v1/conversations?assignee=kim"))[1]["conversations"][0]["id"] == number
        assert (await call("GET", "/v1/conversations?assignee=lee"))[1]["conversations"] == []
        assert (await call("POST", "/v1/attachments/1/retry"))[0] == 404
        assert (await call("GET", "/v1/channels/simulated/notices"))[1] == {"notices": []}
        _, late = await call("POST", f"/v1/conversations/{number}/messages", text="wait", delay_s=60)
        assert (await call("POST", f"/v1/outbox/{late['outbox_id']}/cancel"))[0] == 200
        assert (await call("POST", f"/v1/outbox/{late['outbox_id']}/cancel"))[0] == 422
        assert (await call("POST", f"/v1/outbox/{queued['outbox_id']}/retry"))[0] == 404
        assert (await call("GET", "/v1/outbox"))[1] == {"outbox": []}
        assert (await call("GET", "/v1/channels"))[1]["channels"][0]["health"] == "unchecked"
        assert (await call("GET", "/metrics", None))[0] == 200


async def test_a_new_token_changes_nothing_else(runtime: Runtime) -> None:
    await add(runtime, "whatsapp", base_url="http://127.0.0.1:1")
    new = admin.NewChannel("whatsapp", "whatsapp", {"access_token": "renewed"}, is_replacement=True)
    config = (await admin.add(runtime, new, "test")).config
    assert (config.secret("access_token"), config.secret("verify_token"), config.external_id) == ("renewed", "v", "555")
    assert config.settings["base_url"] == "http://127.0.0.1:1"
    with pytest.raises(ConfigError, match="is of the kind whatsapp"):
        await admin.add(runtime, admin.NewChannel("simulated", "whatsapp", {}, is_replacement=True), "test")


async def test_a_mail_server_that_hangs_up_is_said(runtime: Runtime) -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await add_mailbox(runtime, imap_port=port, smtp_port=port)
        assert all(check.problem and check.remedy for check in await admin.check(runtime, "mail"))
    assert (await admin.listed(runtime))[0]["health"] == "unhealthy"


async def test_a_channel_that_cannot_be_opened_does_not_keep_the_others(runtime: Runtime) -> None:
    await add(runtime, "simulated")
    await add(runtime, "telegram", mode="webhook")
    other = Settings(runtime.settings.state, runtime.settings.database, new_secret_key())
    async with runtime.database.write() as connection:
        sealed = Vault(other.secret_key).seal("channel/telegram", Secret("{}"))
        moved = sa.update(secrets).where(secrets.c.name == "channel/telegram")
        await connection.execute(moved.values(sealed=sealed, key_id=Vault(other.secret_key).key_id))
    await runtime.load()
    assert (list(runtime.channels), list(runtime.broken)) == (["simulated"], ["telegram"])
    assert any("cannot be opened" in finding.what for finding in await doctor.examine(runtime))


async def test_what_was_sent_is_read_again_from_the_file(runtime: Runtime) -> None:
    await add(runtime, "simulated")
    await feed(runtime, "simulated", [says(("a", "1", "hi", 0))])
    await reply(runtime, "see", uploads=(Upload("image", "image/png", "a.png", PNG),))
    await send_all(runtime)
    assert (await conversation_of(runtime))["messages"][-1]["attachments"][0]["state"] == "stored"


def test_the_command_line(tmp_path: Path) -> None:
    def run(*words: str, key: str = KEY) -> tuple[int, str]:
        """Exit code and what is said; the user's errors are raised here, and one line in a terminal."""
        env = {"TASKLIFT_SECRET_KEY": key, "TASKLIFT_INBOX_STATE": str(tmp_path)}
        result = CliRunner().invoke(cli.app, words, env=env)
        if isinstance(result.exception, TaskliftError):
            return 2, str(result.exception)
        return result.exit_code, result.output

    code, said = run("channel", "add", "simulated", "demo", "--set", "app_secret=s")
    assert (code, "/hooks/demo" in said) == (0, True), said
    assert "--replace" in run("channel", "add", "simulated", "demo")[1]
    assert "there are" in run("channel", "add", "fax", "f")[1]
    assert "new-secret" in run("channel", "list", key="")[1]
    assert [one["id"] for one in json.loads(run("channel", "list", "--json")[1])["channels"]] == ["demo"]
    assert run("doctor") == (0, "all is well\n")
    assert "no contact" in run("erase", "--contact", "1", "--by", "kim")[1]
    code, key = run("keys", "add", "crm")
    assert (code, key.startswith("tl_")) == (0, True)
    assert "crm" in run("keys", "list")[1]
    assert run("replay", "--all") == (0, "0 events are to be read again; 0 were read here\n")
    assert run("show") == (0, "")
    assert run("outbox", "list") == (0, "")
    assert "no failed or unknown message" in run("outbox", "retry", "x", "--by", "kim")[1]
    assert "no message of unknown outcome" in run("outbox", "sent", "x", "--by", "kim")[1]
    assert "too late" in run("outbox", "cancel", "x", "--by", "kim")[1]
    assert (run("contacts", "ann"), run("replay", "--attachments")[1][:1]) == ((0, ""), "0")
    assert run("reseal", key=f"{new_secret_key()},{KEY}")[0] == 0
    assert run("reseal") == (3, "1 credentials are still sealed with a key that is not given\n")
    assert run("channel", "disable", "demo")[0] == 0
    assert "no active channel" in run("channel", "check", "demo")[1]
