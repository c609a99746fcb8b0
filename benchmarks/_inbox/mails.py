"""Payloads and mails of other projects: all read; 3,000 mails threaded and stored; replies trimmed beside libraries."""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import time
from pathlib import Path
from typing import Any

from _common import Figure, data_file, note
from feeding import opened
from mailparser_reply import EmailReplyParser

from tasklift_inbox.channels.base import ChannelConfig, Item, Tools
from tasklift_inbox.channels.http import ApiClient
from tasklift_inbox.channels.registry import make_channel
from tasklift_inbox.mail.trimming import trim_reply
from tasklift_inbox.normalise import Normaliser
from tasklift_inbox.receive import store_raw

KINDS = {"whatsapp": "whatsapp", "telegram": "telegram", "messenger": "messenger", "instagram": "instagram",
         "facebook_page": "messenger"}  # fmt: skip
LANGUAGES = ["en", "de", "fr", "es", "it", "nl", "pl", "sv", "da", "ja", "ko", "zh", "cs", "he"]
PEERS = Path(__file__).resolve().parents[1] / "_peers" / "reply_trimming.py"


async def payloads(asked: argparse.Namespace) -> list[Figure]:
    """How many of the payloads and mails raise, or give nothing though they hold something."""
    http = ApiClient()
    made = {kind: make_channel(ChannelConfig(kind, kind, "1"), Tools(http)) for kind in set(KINDS.values())}
    mailbox = make_channel(ChannelConfig("email", "email", "us@example.test"), Tools(http, b"key"))
    failed, seen = [], 0

    def read(channel: Any, body: bytes, name: str, *, may_be_empty: bool = False) -> None:
        nonlocal seen
        seen += 1
        try:
            items: list[Item] = channel.parse({}, body, time.time())
        except Exception as error:  # what is counted
            failed.append(f"{name}: {error!r}")
            return
        if not items and not may_be_empty:
            failed.append(f"{name}: nothing")

    path = data_file(asked.data, "channel_payloads/payloads.jsonl")
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["channel"] in KINDS:
            is_event = "entry" in row["payload"] or "update_id" in row["payload"]
            read(
                made[KINDS[row["channel"]]], json.dumps(row["payload"]).encode(), row["file"], may_be_empty=not is_event
            )
    hooks, seen = seen, 0
    for file in sorted(data_file(asked.data, "eml_fixtures").rglob("*.eml")):
        read(mailbox, file.read_bytes(), file.name)
    for raw in _corpus(asked.data):
        read(mailbox, raw, "spamassassin")
    await http.aclose()
    for one in failed:
        note(one)
    return [
        Figure(
            "payloads and mails that raise, or are not shown",
            len(failed),
            at_most=0,
            unit=" files",
            note=f"{hooks} payloads, {seen} mails",
        ),
    ]


def _corpus(given: Path | None) -> list[bytes]:
    path = data_file(given, "spamassassin_email/all_messages.jsonl.gz")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line)["raw"].encode("latin-1") for line in file]


async def mails(asked: argparse.Namespace) -> list[Figure]:
    """3,000 mails of the corpus, from raw bytes to conversations."""
    some = _corpus(asked.data)[:3000]
    async with opened("email") as runtime:
        key = runtime.channel("email").dedupe_key
        started, cpu = time.perf_counter(), time.process_time()
        for first in range(0, len(some), 50):
            rows = [
                {"channel_id": "email", "dedupe_key": key(raw), "headers": "{}", "body": raw}
                for raw in some[first : first + 50]
            ]
            await store_raw(runtime.database, rows)
        done = await Normaliser(runtime).drain()
        took, cpu = time.perf_counter() - started, time.process_time() - cpu
    how = f"{done} distinct raw mails, {cpu:.0f} CPU-s"
    return [Figure("3,000 mails threaded and stored", took, at_most=60, unit=" s", note=how)]


def trimming(asked: argparse.Namespace) -> list[Figure]:
    """Exact matches of the gold reply, spaces at line ends aside."""
    path = data_file(asked.data, "email_reply_trimming/email_reply_trimming.jsonl")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    texts, gold = [row["text"] for row in rows], [_plain(row["reply"]) for row in rows]
    ours = [trim_reply(text) for text in texts]
    parser = EmailReplyParser(languages=LANGUAGES)
    answers = {"mail-parser-reply": [_library(parser, text) for text in texts]}
    if asked.peer_python is not None:
        command = [str(asked.peer_python), str(PEERS)]
        done = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, check=True)
        answers |= json.loads(done.stdout)
    rates = {name: _share(found, gold) for name, found in answers.items()}
    best = max(rates, key=lambda name: rates[name])
    held_out = [n for n, row in enumerate(rows) if row["split"] == "test"]
    said = "; ".join(f"{name} {100 * rate:.0f}%" for name, rate in sorted(rates.items(), key=lambda item: -item[1]))
    empty = sum(not mine.strip() and bool(text.strip()) for mine, text in zip(ours, texts, strict=True))
    return [
        Figure("replies trimmed exactly, all 64", _share(ours, gold), rates[best], unit="%", note=f"the bar is {best}: {said}"),
        Figure("the same on the 13 that no pattern was written for", _share([ours[n] for n in held_out], [gold[n] for n in held_out]), unit="%"),
        Figure("empty for a mail that is not", empty, at_most=0, unit=" replies"),
    ]  # fmt: skip


def _library(parser: EmailReplyParser, text: str) -> str:
    try:
        return parser.read(text).latest_reply or ""
    except Exception as error:  # a failure of the library is a wrong answer of it
        note(f"mail-parser-reply: {error!r}")
        return ""


def _share(found: list[str], gold: list[str]) -> float:
    return sum(_plain(one) == want for one, want in zip(found, gold, strict=True)) / len(gold)


def _plain(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.replace("\r", "").strip().split("\n"))
