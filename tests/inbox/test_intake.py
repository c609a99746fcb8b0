"""Raw events become conversations: once, in order, whatever order they come in."""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import Any

import pytest
import sqlalchemy as sa
from inbox.support import NOW, add, conversation_of, feed, says, texts, work

from tasklift_inbox import admin, doctor, people, views
from tasklift_inbox.channels.simulated import SimulatedChannel
from tasklift_inbox.media import Fetcher
from tasklift_inbox.normalise import Normaliser, replay
from tasklift_inbox.receive import store_raw
from tasklift_inbox.runtime import Runtime
from tasklift_inbox.tables import conversations, messages, notices, raw_events
from tasklift_inbox.testing import FakeMeta, running
from tasklift_inbox.testing.meta import messaging_event, whatsapp_event
from tasklift_platform.leases import take_lease


async def states(runtime: Runtime) -> list[str]:
    async with runtime.database.read() as connection:
        return list((await connection.execute(sa.select(raw_events.c.state).order_by(raw_events.c.id))).scalars())


async def test_messages_are_stored_once_and_in_order_however_they_come(runtime: Runtime) -> None:
    await add(runtime, "simulated")
    sent = [(f"p{n % 7}", str(n), f"text {n}", float(n)) for n in range(120)]
    chance = random.Random(5)
    events = [says(*chance.sample(sent, 9)) for _ in range(40)] + [says(one) for one in sent]
    chance.shuffle(events)
    for first in range(0, len(events), 50):
        await feed(runtime, "simulated", events[first : first + 50])
    assert await texts(runtime) == {f"p{k}": [f"text {n}" for n in range(k, 120, 7)] for k in range(7)}


async def test_replaying_everything_changes_nothing(runtime: Runtime) -> None:
    await add(runtime, "simulated")
    await feed(
        runtime,
        "simulated",
        [
            says(("a", "1", "one", 0), ("b", "2", "two", 1)),
            {"edits": [{"target": "1", "id": "e", "text": "ONE", "at": NOW + 9}]},
        ],
    )
    before = await texts(runtime)
    assert await replay(runtime.database, only_poison=False) == 2
    await Normaliser(runtime).drain()
    assert await texts(runtime) == before == {"a": ["ONE"], "b": ["two"]}
    assert await states(runtime) == ["done", "done"]


async def test_edits_and_deletions_may_come_before_their_message(runtime: Runtime) -> None:
    await add(runtime, "telegram", mode="webhook")
    chat = {
        "chat": {"id": 1, "type": "private", "first_name": "A"},
        "from": {"id": 1, "first_name": "A"},
        "message_id": 5,
        "date": int(NOW),
    }
    edits = [
        {"update_id": n, "edited_message": {**chat, "edit_date": int(NOW) + n, "text": f"edit {n}"}} for n in (3, 2)
    ]
    gone = {"update_id": 9, "deleted_business_messages": {"chat": {"id": 1}, "message_ids": [5]}}
    await feed(runtime, "telegram", [*edits, gone])
    assert await texts(runtime) == {}
    await feed(runtime, "telegram", [{"update_id": 1, "message": {**chat, "text": "original"}}])
    [message] = (await conversation_of(runtime))["messages"]
    assert (message["text"], message["revision"], message["deleted_at"] is not None) == ("edit 3", 2, True)
    assert message["details"]["original"] == "original"
    kinds = [(one["kind"], one["value"]) for one in await views.revisions(runtime.database, message["id"])]
    assert sorted(kinds) == [("delete", ""), ("edit", "edit 2"), ("edit", "edit 3")]


async def test_reactions_are_the_last_one_of_each_person(runtime: Runtime) -> None:
    await add(runtime, "messenger")

    def event(at: int, **what: Any) -> dict[str, Any]:
        body = {"sender": {"id": "8"}, "recipient": {"id": "500"}, "timestamp": (int(NOW) + at) * 1000, **what}
        return messaging_event("page", "500", [body], 0)

    await feed(runtime, "messenger", [
        event(3, reaction={"mid": "m", "action": "react", "emoji": "👍"}),
        event(2, reaction={"mid": "m", "action": "react", "emoji": "❤"}),
        event(1, message={"mid": "m", "text": "hi"}),
    ])  # fmt: skip
    assert (await conversation_of(runtime))["messages"][0]["reactions"] == {"8": "👍"}
    await feed(runtime, "messenger", [event(5, reaction={"mid": "m", "action": "unreact"})])
    assert (await conversation_of(runtime))["messages"][0]["reactions"] == {}


async def test_one_identity_has_one_open_conversation_also_when_two_workers_try(runtime: Runtime) -> None:
    await add(runtime, "simulated")
    rows = [
        {"channel_id": "simulated", "dedupe_key": str(n), "headers": "{}", "body": json.dumps(says(("a", str(n), str(n), n))).encode()}
        for n in range(60)
    ]  # fmt: skip
    await store_raw(runtime.database, rows)
    await asyncio.gather(*(Normaliser(runtime).drain() for _ in range(4)))
    assert await texts(runtime) == {"a": [str(n) for n in range(60)]}
    async with runtime.database.read() as connection:
        row = (await connection.execute(sa.select(conversations))).one()
    names = ("channel_id", "identity_id", "last_message_at", "created_at")
    second = sa.insert(conversations).values({name: getattr(row, name) for name in names})
    with pytest.raises(sa.exc.IntegrityError):
        await runtime.database.run(lambda connection: connection.execute(second))


async def test_after_it_was_closed_the_next_message_opens_a_new_conversation(runtime: Runtime) -> None:
    await add(runtime, "simulated")
    await feed(runtime, "simulated", [says(("a", "1", "one", 0))])
    async with runtime.database.write() as connection:
        await connection.execute(sa.update(conversations).values(status="closed"))
    await feed(runtime, "simulated", [says(("a", "2", "two", 1))])
    found = await views.list_conversations(runtime.database, views.Filter())
    assert [one["status"] for one in found] == ["open", "closed"]


async def test_a_number_that_becomes_a_scoped_id_stays_the_same_person(runtime: Runtime) -> None:
    await add(runtime, "whatsapp")
    old = {"from": "2782", "id": "w1", "timestamp": str(int(NOW)), "type": "text", "text": {"body": "one"}}
    new = {"from_user_id": "ZA.7", "id": "w2", "timestamp": str(int(NOW) + 1), "type": "text", "text": {"body": "two"}}
    both = [{"wa_id": "2782", "user_id": "ZA.7", "profile": {"name": "Lerato"}}]
    await feed(runtime, "whatsapp", [whatsapp_event("555", [old], contacts=[{"wa_id": "2782"}])])
    await feed(runtime, "whatsapp", [whatsapp_event("555", [new], contacts=both)])
    await feed(runtime, "whatsapp", [whatsapp_event("555", [{**old, "id": "w3"}], contacts=[{"wa_id": "2782"}])])
    assert {who: sorted(what) for who, what in (await texts(runtime)).items()} == {"ZA.7": ["one", "one", "two"]}


async def test_events_of_another_account_wait_until_it_is_a_channel(runtime: Runtime) -> None:
    await add(runtime, "whatsapp")
    event = whatsapp_event(
        "777", [{"from": "2782", "id": "w1", "timestamp": str(int(NOW)), "type": "text", "text": {"body": "hi"}}]
    )
    await feed(runtime, "whatsapp", [event])
    assert (await states(runtime), await texts(runtime)) == (["poison"], {})
    await add(runtime, "simulated")
    values = {"external_id": "777", "access_token": "t", "app_secret": "another", "verify_token": "v"}
    await admin.add(runtime, admin.NewChannel("whatsapp", "second", values), "test")
    await replay(runtime.database)
    await Normaliser(runtime).drain()
    assert await states(runtime) == ["poison"]  # another app's secret opens no door to it
    await admin.add(runtime, admin.NewChannel("whatsapp", "second", {**values, "app_secret": "s"}, {}, True), "test")
    await replay(runtime.database)
    await Normaliser(runtime).drain()
    assert await texts(runtime) == {"2782": ["hi"]}


async def test_names_that_do_not_come_with_messages_are_asked_for_once(runtime: Runtime) -> None:
    fake = FakeMeta(people={"8": "Marta Ruiz"})
    async with running(fake.app) as url:
        await add(runtime, "messenger", base_url=url)
        told = [{"sender": {"id": who}, "recipient": {"id": "500"}, "timestamp": int(NOW) * 1000, "message": {"mid": f"{who}{n}", "text": "x"}}
                for who in ("8", "9") for n in range(3)]  # fmt: skip
        for one in told:
            await feed(runtime, "messenger", [messaging_event("page", "500", [one], 0)])
        assert (await runtime.media_queue.counts())["ready"] == 2
        await work(runtime.media_queue, {"name": Fetcher(runtime).name})
    names = {one["name"] for one in await views.list_conversations(runtime.database, views.Filter())}
    assert names == {"Marta Ruiz", "Fake account"}
    assert (await views.contact(runtime.database, 1))["name"] in names


async def test_a_person_with_a_new_number_is_the_same_person(runtime: Runtime) -> None:
    await add(runtime, "whatsapp")
    old = {"from": "2782", "id": "w1", "timestamp": str(int(NOW)), "type": "text", "text": {"body": "one"}}
    moved = {"from": "2782", "id": "w2", "timestamp": str(int(NOW) + 1), "type": "system",
             "system": {"body": "changed", "wa_id": "2799", "type": "user_changed_number"}}  # fmt: skip
    await feed(runtime, "whatsapp", [whatsapp_event("555", [old]), whatsapp_event("555", [moved])])
    await feed(runtime, "whatsapp", [whatsapp_event("555", [{**old, "from": "2799", "id": "w3"}])])
    assert {who: sorted(what) for who, what in (await texts(runtime)).items()} == {"2799": ["changed", "one", "one"]}
    update = {"field": "user_id_update", "value": {"metadata": {"phone_number_id": "555"}, "user_id_update": [
        {"user_id": {"previous": "2799", "current": "ZA.5"}}]}}  # fmt: skip
    await feed(runtime, "whatsapp", [{"entry": [{"id": "1", "changes": [update]}]}])
    assert list(await texts(runtime)) == ["ZA.5"]


async def test_what_is_sent_elsewhere_is_shown_and_pauses_the_bot(runtime: Runtime) -> None:
    await add(runtime, "messenger")
    event = {"sender": {"id": "500"}, "recipient": {"id": "8"}, "timestamp": int(NOW) * 1000,
             "message": {"mid": "e", "text": "from the phone", "is_echo": True}}  # fmt: skip
    await feed(runtime, "messenger", [messaging_event("page", "500", [event], 0)])
    one = await conversation_of(runtime)
    assert (one["handler"], one["version"], one["messages"][0]["author"]) == ("human", 1, "elsewhere")


async def test_a_clock_that_is_ahead_does_not_open_the_window_longer(runtime: Runtime) -> None:
    await add(runtime, "simulated")
    await feed(runtime, "simulated", [says(("a", "1", "from 2040", 15 * 365 * 86400.0))])
    one = await conversation_of(runtime)
    assert one["last_message_at"] < time.time() + 60


async def test_an_event_that_cannot_be_stored_is_put_aside_alone(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(runtime, "simulated")
    parse = SimulatedChannel.parse

    def odd(self: SimulatedChannel, headers: Any, body: bytes, received_at: float) -> Any:
        if b"boom" in body:
            raise LookupError("a mistake of ours")
        return parse(self, headers, body, received_at)

    monkeypatch.setattr(SimulatedChannel, "parse", odd)
    await feed(runtime, "simulated", [says(("a", str(n), "boom" if n == 3 else "ok", n)) for n in range(6)])
    assert await states(runtime) == ["done"] * 3 + ["poison"] + ["done"] * 2
    assert await texts(runtime) == {"a": ["ok"] * 5}
    [finding] = await doctor.examine(runtime)
    assert "a mistake of ours" in finding.what


async def test_what_another_process_is_reading_is_waited_for(runtime: Runtime) -> None:
    await add(runtime, "simulated")
    killed = await take_lease(runtime.database, "inbox.normalise.simulated", 0.3)
    assert killed is not None
    await feed(runtime, "simulated", [says(("a", "1", "hello", 0))])
    assert await texts(runtime) == {"a": ["hello"]}
    await admin.disable(runtime, "simulated", "test")
    await store_raw(runtime.database, [{"channel_id": "simulated", "dedupe_key": "2", "headers": "{}", "body": b"{}"}])
    assert await Normaliser(runtime).drain() == 0  # nobody reads it: nothing to wait for


async def test_notices_make_a_channel_unhealthy_once(runtime: Runtime) -> None:
    await add(runtime, "messenger")
    policy = {
        "recipient": {"id": "500"},
        "timestamp": int(NOW) * 1000,
        "policy-enforcement": {"action": "block", "reason": "spam"},
    }
    await feed(runtime, "messenger", [messaging_event("page", "500", [policy], 0)])
    async with runtime.database.read() as connection:
        assert len((await connection.execute(sa.select(notices))).all()) == 1
    [listed] = await admin.listed(runtime)
    assert (listed["health"], listed["problem"]) == ("unhealthy", "Meta blocks this page: spam")
    assert any("spam" in finding.what for finding in await doctor.examine(runtime))


async def test_contacts_are_merged_and_taken_apart_again(runtime: Runtime) -> None:
    await add(runtime, "simulated")
    await feed(runtime, "simulated", [says(("a", "1", "x", 0), ("b", "2", "y", 1))])
    first, second = sorted(
        one["contact_id"] for one in await views.list_conversations(runtime.database, views.Filter())
    )
    done = await people.merge(runtime.database, first, second, "kim")
    assert len((await views.contact(runtime.database, first))["identities"]) == 2
    await people.undo_merge(runtime.database, done.id, "kim")
    assert [len((await views.contact(runtime.database, n))["identities"]) for n in (first, second)] == [1, 1]
    await people.merge(runtime.database, first, second, "kim")
    moved = (await views.contact(runtime.database, first))["identities"][1]["id"]
    third = await people.split(runtime.database, moved, "kim")
    assert (await views.contact(runtime.database, third))["identities"][0]["id"] == moved
    async with runtime.database.read() as connection:
        assert (await connection.execute(sa.select(sa.func.count()).select_from(messages))).scalar_one() == 2
