"""The walk that the documentation shows, from beginning to end."""

from __future__ import annotations

import socket

import pytest

from tasklift_inbox.testing import walk
from tasklift_inbox.testing.mail_servers import missing_mail_servers


async def test_five_people_write_and_are_answered(capsys: pytest.CaptureFixture[str]) -> None:
    reason = missing_mail_servers()
    if reason:
        pytest.skip(f"mail servers: {reason}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shown = await walk.walk(port)
    added = [line for line in capsys.readouterr().out.splitlines() if line.endswith("added and checked")]
    assert len(added) == 5
    for channel, words in (
        ("whatsapp: Thandi M.", "My parcel says delivered"),
        ("messenger: ", "Do you have this jacket in green?"),
        ("instagram: ", "Saw your story"),
        ("telegram: Ada Okoro", "Can I change my delivery address?"),
        ("email: Ines Costa", "Could you send invoice 1042 again?"),
    ):
        [talk] = [part for part in shown.split("#") if f" {channel}" in part]
        assert words in talk
        assert talk.count("thank you for writing. I am looking into it. [sent]") == 1
