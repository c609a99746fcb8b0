"""Real mail through real servers: Postfix takes it, Dovecot keeps it, the inbox fetches and answers it."""

from __future__ import annotations

import asyncio
import smtplib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from inbox.conftest import KEY
from inbox.mail_support import add_mailbox, mail
from inbox.support import conversation_of, outbox_states, reply, texts

from tasklift_inbox import admin, views
from tasklift_inbox.channels.outgoing import Upload
from tasklift_inbox.errors import RefusedError
from tasklift_inbox.mail.mailbox import Login, Mailbox, Position
from tasklift_inbox.mail.reading import read_mail
from tasklift_inbox.outbox import Reply, enqueue
from tasklift_inbox.runtime import Runtime, Settings
from tasklift_inbox.tables import identities
from tasklift_inbox.testing.mail_servers import MailServers, mail_servers, missing_mail_servers
from tasklift_inbox.worker import Worker
from tasklift_platform.database import DatabaseOptions


@pytest.fixture(scope="module")
def servers() -> Iterator[MailServers]:
    reason = missing_mail_servers()
    if reason:
        pytest.skip(f"mail servers: {reason}")
    with mail_servers(["support", "ann", "sales"]) as found:
        yield found


def post(servers: MailServers, raw: bytes, sender: str = "ann@example.test", to: str = "support@example.test") -> None:
    with smtplib.SMTP("127.0.0.1", servers.smtp_port) as server:
        server.sendmail(sender, [to], raw)


def mails_of(servers: MailServers, name: str) -> list[bytes]:
    with Mailbox(Login("127.0.0.1", servers.imap_port, f"{name}@example.test", "mail", "none")) as box:
        return [raw for _, raw in box.new_since(Position(), 10**8)]


async def until(condition: Any, timeout_s: float = 20.0) -> Any:
    stop = time.monotonic() + timeout_s
    while not (found := await condition()):
        assert time.monotonic() < stop, "it did not happen in time"
        await asyncio.sleep(0.1)
    return found


async def with_person(runtime: Runtime, address: str) -> int:
    """The conversation with a person."""
    found = await views.list_conversations(runtime.database, views.Filter())
    return next(int(one["id"]) for one in found if one["address"] == address)


async def test_mail_in_answer_out_reply_threaded_bounce_attached(servers: MailServers, tmp_path: Path) -> None:
    runtime = await Runtime.open(Settings(tmp_path, "", KEY, options=DatabaseOptions(synchronous="normal")))
    await add_mailbox(runtime, imap_port=servers.imap_port, smtp_port=servers.smtp_port, plus_addressing="yes")
    assert [check.problem for check in await admin.check(runtime, "mail")] == ["", ""]
    post(servers, mail("Where is my parcel?"))
    stop, wake = asyncio.Event(), asyncio.Event()
    working = asyncio.create_task(Worker(runtime, wake).run(stop))
    try:
        await until(lambda: texts(runtime))
        first = (await conversation_of(runtime))["id"]
        rung = time.monotonic()
        post(servers, mail("And another thing", number=2, headers={"In-Reply-To": "<m1@example.test>"}))  # by IDLE

        async def two() -> bool:
            return len((await conversation_of(runtime))["messages"]) == 2

        await until(two)
        assert time.monotonic() - rung < 10
        files = [Upload("document", "application/pdf", f"{name}.pdf", b"%PDF-" + name.encode()) for name in "abc"]
        assert (await reply(runtime, "It is on its way.", uploads=files)).rest == ()

        async def answered() -> list[bytes]:
            return await asyncio.to_thread(mails_of, servers, "ann")

        [raw] = await until(answered)
        answer = read_mail(raw)
        assert answer.text.strip() == "It is on its way."
        assert [file.name for file in answer.files] == ["a.pdf", "b.pdf", "c.pdf"]
        assert (answer.subject, answer.references[0]) == ("Re: Parcel", "m2@example.test")
        assert set(answer.references) == {"m1@example.test", "m2@example.test"}
        assert answer.reply_to is not None
        again = mail("Thanks!\n\nOn Mon, Nov 24, 2025 at 4:10 PM <support@example.test> wrote:\n> It is on its way.\n", number=3,
                     headers={"Message-ID": "<m3@example.test>", "Subject": "quite another subject", "To": answer.reply_to.address})  # fmt: skip
        post(servers, again, to=answer.reply_to.address)  # by the signed plus-address alone

        async def four() -> list[str]:
            found = [m["text"] for m in (await conversation_of(runtime))["messages"]]
            return found if len(found) == 4 else []

        assert "Thanks!" in await until(four)
        post(servers, mail("Lost?", number=9, sender="gone@example.test"), sender="gone@example.test")

        async def from_gone() -> bool:
            return "gone@example.test" in await texts(runtime)

        await until(from_gone)
        number = await with_person(runtime, "gone@example.test")
        await enqueue(runtime, number, Reply("Hello?", "kim"))

        async def bounced() -> str:
            async with runtime.database.read() as connection:
                query = sa.select(identities.c.blocked).where(identities.c.external_id == "gone@example.test")
                return str((await connection.execute(query)).scalar_one())

        assert "5.1.1" in await until(bounced)
        last = (await views.list_messages(runtime.database, number))[-1]
        assert (last["status"], "5.1.1" in last["error"]) == ("sent", True)
        assert len(await views.list_conversations(runtime.database, views.Filter())) == 2  # no new one for the bounce
        with pytest.raises(RefusedError, match="comes back"):
            await enqueue(runtime, number, Reply("Again?", "kim"))
        assert set((await outbox_states(runtime)).values()) == {"sent"}
        servers.renumber("support")  # as after a restore: every mail has another number
        post(servers, mail("After the restore", number=30, headers={"In-Reply-To": "<m1@example.test>"}))

        async def restored() -> list[str]:
            found = [message["text"] for message in await views.list_messages(runtime.database, first)]
            return found if "After the restore" in found else []

        assert len(await until(restored, 40)) == 5
    finally:
        stop.set()
        await working
        await runtime.aclose()


async def test_a_new_uidvalidity_doubles_nothing_and_loses_nothing(servers: MailServers) -> None:
    login = Login("127.0.0.1", servers.imap_port, "sales@example.test", "mail", "none")
    for n in range(3):
        post(servers, mail(f"number {n}", number=n + 20), to="sales@example.test")

    async def three() -> bool:
        return len(await asyncio.to_thread(mails_of, servers, "sales")) == 3

    await until(three)
    with Mailbox(login) as box:
        found = list(box.new_since(Position(), 10**8))
        assert [position.uid for position, _ in found] == [1, 2, 3]
        assert list(box.new_since(found[-1][0], 10**8)) == []
        assert [position.uid for position, _ in box.new_since(found[0][0], 10**8)] == [2, 3]
        assert len(list(box.new_since(Position(found[0][0].validity + 1, 3), 10**8))) == 3
        assert len(list(box.new_since(Position(since=time.time()), 10**8))) == 3
        assert list(box.new_since(Position(since=time.time() + 5 * 86400), 10**8)) == []
        [(_, short), *_] = list(box.new_since(Position(), 100))
        assert b"was not fetched" in short
        assert not box.has("nobody@knows", ["INBOX"])
        assert box.has("m20@example.test", ["INBOX"])
