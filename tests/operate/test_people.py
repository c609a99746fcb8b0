"""Traffic names its people: erased, exported, objecting, on SQLite and on Postgres."""

from __future__ import annotations

import pytest

from tasklift.errors import ConfigError
from tasklift.operate.erasure import traffic_stores
from tasklift.operate.ledger import Ledger
from tasklift.operate.people import objection_digest, objections_of, person_key, set_objection, traffic_rows
from tasklift.operate.review import OBJECTED, Feedback, add_feedback, answer_review, corrected_rows
from tasklift.operate.traffic import Trace, TraceWriter
from tasklift.prediction import Prediction
from tasklift.task import Task
from tasklift_platform.database import Database

ANNA, BOB = "anna@example.org", "bob"


async def traffic(database: Database, task: Task) -> None:
    """Two answers for each of two people; one is corrected by its caller, one reviewed."""
    writer = TraceWriter(database, Ledger(None))
    said = Prediction("red", confidence=0.6)
    for person in (ANNA, BOB):
        value = {"text": f"a {person} text"}
        for kind in ("said", "asked"):
            review = (f"rv-{person}", "audit", value) if kind == "asked" else None
            trace = Trace(
                f"{kind}-{person}", task.name, 1.0, 1, "c", "stable", "", person, value, said, 0.1, 0.0, None, review
            )
            writer.put(Trace(**{name: getattr(trace, name) for name in Trace.__slots__} | {"subject": person}))
    await writer.flush()
    for person in (ANNA, BOB):
        await add_feedback(database, task, Feedback(f"said-{person}", "green", comment=f"says {person}"), "shop")
        await answer_review(database, task, f"rv-{person}", "green", "ann")


async def test_each_store_of_traffic_forgets_one_person_and_keeps_the_others(database: Database, colours: Task) -> None:
    await traffic(database, colours)
    assert await traffic_rows(database, ANNA) == {"colours": {f"said-{ANNA}", f"asked-{ANNA}"}}
    for store, count in zip(traffic_stores(database), (1, 1, 2), strict=True):
        assert len(await store.export(ANNA)) == count
        assert all(ANNA in str(item) for item in await store.export(ANNA))
        assert await store.erase(ANNA) == count
        assert await store.erase(ANNA) == 0
        assert await store.export(ANNA) == []
        assert len(await store.export(BOB)) == count
    assert await database.scrub("traces", "reviews", "feedback")


async def test_rows_of_who_objects_to_training_are_left_out_and_counted(database: Database, colours: Task) -> None:
    await traffic(database, colours)
    await set_objection(database, ANNA, True, "me")
    rows, left_out = await corrected_rows(database, colours)
    assert {row.id for row in rows} == {f"said-{BOB}", f"asked-{BOB}"}
    assert left_out[OBJECTED] == 2
    assert await objections_of(database) == {objection_digest(ANNA)}
    with pytest.raises(ConfigError, match="empty"):
        await set_objection(database, " ", True, "me")
    await set_objection(database, ANNA, False, "me")
    assert len((await corrected_rows(database, colours))[0]) == 4


@pytest.mark.parametrize("length", [10, 200, 5000])
def test_no_two_people_share_a_key(length: int) -> None:
    one, other = person_key("x" * length + "1"), person_key("x" * length + "2")
    assert one != other
    assert len(one) <= 200
    assert person_key(one) == one
    assert person_key(" a\x00\ud800 ") == "a?"
