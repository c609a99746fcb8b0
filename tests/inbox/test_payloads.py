"""Payloads of other projects' test suites: each is read, none raises, and what is read can be stored."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tasklift_inbox.channels.base import Arrived, ChannelConfig, Tools
from tasklift_inbox.channels.registry import make_channel
from tasklift_inbox.intake import Intake, Read
from tasklift_inbox.runtime import Runtime
from tasklift_inbox.tables import channels, messages, raw_events
from tasklift_platform.database import now_s

KINDS = {"whatsapp": "whatsapp", "telegram": "telegram", "messenger": "messenger", "instagram": "instagram",
         "facebook_page": "messenger"}  # fmt: skip


def payloads() -> list[dict[str, Any]]:
    folder = os.environ.get("TASKLIFT_DATA")
    path = Path(folder or ".") / "channel_payloads" / "payloads.jsonl"
    if folder is None or not path.exists():
        pytest.skip("payloads of other projects: TASKLIFT_DATA names no folder with channel_payloads")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if row["channel"] in KINDS]


async def test_every_payload_is_read_and_stored(runtime: Runtime) -> None:
    made = {
        kind: make_channel(ChannelConfig(kind, kind, "1", {"page_id": "1"}), Tools(runtime.http))
        for kind in KINDS.values()
    }
    seen: Counter[str] = Counter()
    distinct: set[tuple[str, str]] = set()
    batch: dict[str, list[Read]] = {}
    async with runtime.database.write() as connection:
        for kind in made:
            values = {
                "id": kind,
                "kind": kind,
                "external_id": "1",
                "settings": "{}",
                "is_active": True,
                "created_at": 0.0,
            }
            await connection.execute(sa.insert(channels).values(values))
        for n, row in enumerate(payloads()):
            kind = KINDS[row["channel"]]
            body = json.dumps(row["payload"]).encode()
            items = made[kind].parse({}, body, 1_764_000_000.0)
            distinct |= {(kind, item.id) for item in items if isinstance(item, Arrived)}
            if "entry" in row["payload"] or "update_id" in row["payload"]:
                assert items, row["file"]
            seen.update(f"{kind}:{item.kind}" for item in items if isinstance(item, Arrived))
            event = {
                "id": n + 1,
                "channel_id": kind,
                "dedupe_key": str(n),
                "headers": "{}",
                "body": body,
                "received_at": now_s(),
            }
            await connection.execute(sa.insert(raw_events).values(event))
            batch.setdefault(kind, []).append(Read(n + 1, 1_764_000_000.0, items))
        for kind, read in batch.items():
            route = {item.account: kind for one in read for item in one.items}
            await Intake(connection, route, runtime.media_queue).store(read)
    async with runtime.database.read() as connection:
        stored = (await connection.execute(sa.select(sa.func.count()).select_from(messages))).scalar_one()
    assert stored == len(distinct) > 50
    assert seen["telegram:unsupported"] > 20  # games, gifts, giveaways: shown, not lost
    for kind in ("whatsapp:image", "whatsapp:location", "whatsapp:voice", "telegram:voice", "telegram:contacts",
                 "messenger:share", "messenger:button", "instagram:story_reply", "instagram:unsupported"):  # fmt: skip
        assert seen[kind], (kind, seen)
