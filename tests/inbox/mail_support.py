"""Mails for tests, and an e-mail channel."""

from __future__ import annotations

from typing import Any

from tasklift_inbox import admin
from tasklift_inbox.runtime import Runtime

US = "support@example.test"


def mail(text: str = "Where is my parcel?", *, sender: str = "Ann <ann@example.test>", headers: dict[str, str] | None = None,
         number: int = 1, kind: str = "text/plain; charset=utf-8") -> bytes:  # fmt: skip
    """A mail to us."""
    every = {
        "From": sender, "To": US, "Subject": "Parcel", "Date": f"Mon, 24 Nov 2025 16:{number:02d}:00 +0000",
        "Message-ID": f"<m{number}@example.test>", "MIME-Version": "1.0", "Content-Type": kind, **(headers or {}),
    }  # fmt: skip
    return "\r\n".join([*(f"{name}: {value}" for name, value in every.items() if value), "", text, ""]).encode()


async def add_mailbox(runtime: Runtime, name: str = "mail", address: str = US, **settings: Any) -> None:
    values = {
        "external_id": address,
        "imap_host": "127.0.0.1",
        "smtp_host": "127.0.0.1",
        "password": "mail",
        "security": "none",
    }
    values |= {
        key: str(settings.pop(key))
        for key in list(settings)
        if key in ("imap_port", "smtp_port", "plus_addressing", "own_server")
    }
    await admin.add(runtime, admin.NewChannel("email", name, values, settings), "test")
