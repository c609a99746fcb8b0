"""Which rows production found hard, and why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tasklift.operate.hard_rows import hard_rows
from tasklift.operate.ledger import Ledger
from tasklift.operate.people import set_objection
from tasklift.operate.review import Feedback, add_feedback, answer_review
from tasklift.operate.store import open_store, url_of
from tasklift.operate.traffic import Trace, TraceWriter
from tasklift.outputs.labels import Label
from tasklift.prediction import Prediction
from tasklift.task import Task
from tasklift_platform.database import Database

TASK = Task(name="colours", instruction="Which?", output=Label(labels={"red": "blood", "green": "grass"}))


def answered(name: str, said: Prediction, reason: str = "", text: str | None = "x", subject: str = "") -> Trace:
    """A trace, with a review where there is a reason."""
    value = None if text is None else {"text": text}
    review = (f"rv_{name}", reason, value) if reason else None
    fields = ("colours", 1.0, 1, "gone", "stable", "", "me", value, said, 0.1, 0.0, None, review)
    return Trace(name, *fields, subject=subject)


async def filled(database: Database) -> None:
    """One trace of each kind."""
    sure, unsure = Prediction("red", confidence=0.9), Prediction("red", confidence=0.3)
    left = Prediction(None, deferred=True, children=(unsure,))
    writer = TraceWriter(database, Ledger(None))
    for trace in (
        answered("sure", sure),
        answered("unsure", unsure),
        answered("left", left, "deferred"),
        answered("left_and_told", left, "deferred"),
        answered("confirmed", sure, "audit"),
        answered("corrected", sure, "audit"),
        answered("doubted", Prediction("red", confidence=0.8), "uncertain"),
        answered("by_caller", sure),
        answered("dropped", unsure, text=None),
        answered("objector", unsure, subject="ann"),
    ):
        writer.put(trace)
    await writer.aclose()
    for name, label in (("left_and_told", "green"), ("confirmed", "red"), ("corrected", "green")):
        await answer_review(database, TASK, f"rv_{name}", label, "me")
    await add_feedback(database, TASK, Feedback("by_caller", "green"), "caller")
    await add_feedback(database, TASK, Feedback("sure", "red"), "caller")
    await set_objection(database, "ann", True, "me")


async def test_each_row_has_the_gravest_reason_and_what_people_said(tmp_path: Path) -> None:
    database = await open_store(url_of(tmp_path))
    try:
        await filled(database)
        rows, without_text = await hard_rows(database, TASK, 0.5)
    finally:
        await database.aclose()
    assert {one.row.id: (one.why, one.row.output) for one in rows} == {
        "unsure": ("unsure", None),
        "left": ("deferred", None),
        "left_and_told": ("corrected", "green"),
        "corrected": ("corrected", "green"),
        "doubted": ("unsure", None),
        "by_caller": ("corrected", "green"),
    }
    assert without_text == 1


async def test_no_more_than_the_newest_rows_of_each_table_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasklift.operate.hard_rows.MOST", 3)
    database = await open_store(url_of(tmp_path))
    try:
        writer = TraceWriter(database, Ledger(None))
        for number in range(20):
            trace = answered(f"t{number:02}", Prediction("red", confidence=0.3), "audit")
            writer.put(replace(trace, at=float(number)))
        await writer.aclose()
        rows, _ = await hard_rows(database, TASK, 0.5)
    finally:
        await database.aclose()
    assert sorted(one.row.id for one in rows) == ["t17", "t18", "t19"]
