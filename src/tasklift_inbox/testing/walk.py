"""A whole inbox on this machine: server, worker, fake providers, mail servers; five people write and are answered.

    python -m tasklift_inbox.testing.walk

Mail goes through Postfix and Dovecot where they are installed and we are root; else e-mail is left out, and it says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import smtplib
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tasklift.errors import TaskliftError
from tasklift_inbox.cli import app
from tasklift_inbox.testing.delivery import Delivery
from tasklift_inbox.testing.mail_servers import PASSWORD, MailServers, mail_servers, missing_mail_servers
from tasklift_inbox.testing.meta import FakeMeta, messaging_event, whatsapp_event
from tasklift_inbox.testing.server import running
from tasklift_inbox.testing.telegram import FakeTelegram
from tasklift_platform.vault import new_secret_key

_PORT = 8765
_PATIENCE_S = 60.0
_MAIL = """From: Ines Costa <ines@example.test>
To: support@example.test
Subject: Invoice 1042
Message-ID: <walk-1@example.test>

Could you send invoice 1042 again? The attachment was empty.

--
Ines
"""


@dataclass(frozen=True, slots=True)
class Inbox:
    """The command line of one inbox in a temporary folder."""

    folder: Path
    secret_key: str

    def command(self, *words: str) -> list[str]:
        """`tasklift-inbox` with this inbox's folder."""
        return [sys.executable, "-m", "tasklift_inbox", *words, "--state", str(self.folder)]

    @property
    def env(self) -> Mapping[str, str]:
        """With the key that seals credentials."""
        return {**os.environ, "TASKLIFT_SECRET_KEY": self.secret_key}

    def run(self, *words: str) -> str:
        """What a command prints. It runs in this process, which saves the start of a new one each time.

        Raises:
            TaskliftError: it failed.
        """
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            where = ("--state", str(self.folder), "--secret-key", self.secret_key)
            code = app([*words, *where], standalone_mode=False)
        if code:
            raise TaskliftError(f"{' '.join(words)}: {printed.getvalue()}"[-1000:])
        return printed.getvalue().strip()

    @contextlib.contextmanager
    def process(self, *words: str) -> Iterator[None]:
        """A command that runs for the block."""
        with subprocess.Popen(self.command(*words), env=self.env, stderr=subprocess.DEVNULL) as process:
            try:
                yield
            finally:
                process.terminate()


def add_channels(inbox: Inbox, telegram: str, graph: str, mail: MailServers | None) -> None:
    """Each as its guide in docs/inbox says, with the fakes' addresses."""
    common = {"access_token": "fake-meta-token", "app_secret": "s", "verify_token": "v", "base_url": graph}
    wanted: dict[str, dict[str, str]] = {
        "whatsapp": {"external_id": "555", **common},
        "messenger": {"external_id": "500", **common},
        "instagram": {"external_id": "600", **common},
        "telegram": {"bot_token": FakeTelegram().token, "base_url": telegram},
    }
    if mail is not None:
        wanted["email"] = {
            "external_id": "support@example.test", "imap_host": "127.0.0.1", "imap_port": str(mail.imap_port),
            "security": "none", "smtp_host": "127.0.0.1", "smtp_port": str(mail.smtp_port), "password": PASSWORD,
        }  # fmt: skip
    for kind, values in wanted.items():
        settings = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
        inbox.run("channel", "add", kind, kind, *settings)
        print(f"channel {kind}: added and checked")


async def people_write(base: str, telegram: FakeTelegram, mail: MailServers | None) -> int:
    """One message on each channel; returns how many."""
    now = int(time.time())

    async def hook(name: str, event: Any) -> None:
        await Delivery(f"{base}/hooks/{name}", "s", tries=1200).deliver([event])  # also while the server starts

    text = {"from": "27821234567", "id": "wamid.walk", "timestamp": str(now), "type": "text"}
    contacts = [{"wa_id": "27821234567", "profile": {"name": "Thandi M."}}]
    written = {**text, "text": {"body": "My parcel says delivered, but nothing is here."}}
    await hook("whatsapp", whatsapp_event("555", [written], contacts=contacts))
    for name, account, words in (
        ("messenger", "500", "Do you have this jacket in green?"),
        ("instagram", "600", "Saw your story: is the sale still on?"),
    ):
        said = {"mid": f"m_walk_{name}", "text": words}
        event = {"sender": {"id": "8001"}, "recipient": {"id": account}, "timestamp": now * 1000, "message": said}
        await hook(name, messaging_event("page" if name == "messenger" else name, account, [event], now * 1000))
    chat = {"id": 42, "type": "private", "first_name": "Ada", "last_name": "Okoro"}
    words = "Can I change my delivery address?"
    telegram.push({"message": {"message_id": 7, "date": now, "chat": chat, "from": chat, "text": words}})
    if mail is not None:
        with smtplib.SMTP("127.0.0.1", mail.smtp_port) as server:
            server.sendmail("ines@example.test", ["support@example.test"], _MAIL)
    return 4 if mail is None else 5


async def answer_all(base: str, key: str, count: int) -> None:
    """Wait for the conversations, answer each by the REST API, wait until all is sent."""
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(base, headers=headers) as session:

        async def look(path: str) -> dict[str, Any]:
            async with session.get(path) as response:
                return dict(await response.json())

        async def conversations() -> list[dict[str, Any]]:
            return list((await look("/v1/conversations"))["conversations"])

        found = await _until(conversations, lambda some: len(some) == count)
        for one in found:
            body = {"text": f"Hello {one['name'] or 'there'}, thank you for writing. I am looking into it."}
            async with session.post(f"/v1/conversations/{one['id']}/messages", json=body) as response:
                response.raise_for_status()

        async def unsent() -> list[dict[str, Any]]:
            states = "&".join(f"state={name}" for name in ("queued", "sending", "failed", "unknown"))
            return list((await look(f"/v1/outbox?{states}"))["outbox"])

        await _until(unsent, lambda some: not some)


async def _until(ask: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
    until = time.monotonic() + _PATIENCE_S
    while True:
        with contextlib.suppress(aiohttp.ClientConnectionError):
            found = await ask()
            if good(found):
                return found
        if time.monotonic() > until:
            raise TaskliftError(f"it did not happen within {_PATIENCE_S:g} s")
        await asyncio.sleep(0.2)


@contextlib.asynccontextmanager
async def fakes() -> AsyncIterator[tuple[FakeTelegram, str, str]]:
    """Telegram, its address, and the address of the Graph API."""
    telegram, meta = FakeTelegram(), FakeMeta(people={"8001": "Marta Ruiz"})
    async with running(telegram.app) as telegram_url, running(meta.app) as graph_url:
        yield telegram, telegram_url, graph_url


async def walk(port: int = _PORT) -> str:
    """Everything, once; returns what `tasklift-inbox show` prints at the end."""
    reason, base = missing_mail_servers(), f"http://127.0.0.1:{port}"
    with contextlib.ExitStack() as stack:
        mail = None if reason else stack.enter_context(mail_servers(["support", "ines"]))
        if reason:
            print(f"e-mail is left out: {reason}")
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        inbox = Inbox(folder, new_secret_key())
        async with fakes() as (telegram, telegram_url, graph_url):
            await asyncio.to_thread(add_channels, inbox, telegram_url, graph_url, mail)
            key = await asyncio.to_thread(inbox.run, "keys", "add", "walk")
            with inbox.process("serve", "--web-only", "--port", str(port)), inbox.process("worker"):
                count = await people_write(base, telegram, mail)
                await answer_all(base, key, count)
            return await asyncio.to_thread(inbox.run, "show")


if __name__ == "__main__":
    print(asyncio.run(walk()))
