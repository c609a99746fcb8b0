"""Answers of every kind in production: kept, read back, and held against a person's by the task's own rule."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from tasklift.errors import DataError
from tasklift.operate.answers import are_right, is_same, kept, known
from tasklift.operate.guard import Guard
from tasklift.operate.hard_rows import hard_rows
from tasklift.operate.ledger import Ledger
from tasklift.operate.monitor import audit_of, trial_figures
from tasklift.operate.release import Arm, Releases, Trial
from tasklift.operate.review import Feedback, add_feedback, answer_review, corrected_rows
from tasklift.operate.store import TRAFFIC
from tasklift.operate.tables import feedback, traces
from tasklift.operate.traffic import Trace, TraceWriter
from tasklift.prediction import Prediction
from tasklift.task import Task
from tasklift_platform.database import Database
from tasklift_platform.migrate import upgrade

AREAS = {"billing": "Money", "delivery": "Parcels", "returns": "Goods that go back"}


def task_of(output: dict[str, Any], right: dict[str, Any] | None = None) -> Task:
    return Task.model_validate({"name": "t", "instruction": "Answer.", "output": output, "right": right or {}})


SCORE = task_of({"kind": "number", "minimum": 0, "maximum": 100}, {"within": 5})
SEVERAL = task_of({"kind": "labels", "labels": AREAS})
TEXT = task_of({"kind": "text"}, {"metric": "rouge_l", "at_least": 0.6})
OBJECT = task_of({"kind": "json", "json_schema": {"type": "object", "properties": {"who": {"type": "string"}}}})

#: task, what was said, what a person said, is that right?
CASES = [
    (SCORE, 40.0, "40", True),
    (SCORE, 40, "44.5", True),
    (SCORE, 40, "46", False),
    (SEVERAL, ["delivery", "billing"], '["billing", "delivery"]', True),
    (SEVERAL, ["billing"], '["billing", "delivery"]', False),
    (SEVERAL, [], "[]", True),
    (TEXT, "the parcel is late", "the parcel is very late", True),
    (TEXT, "the parcel is late", "pay the bill", False),
    (OBJECT, {"who": "Ann  Lee"}, '{"who": "Ann Lee"}', True),
]


@pytest.mark.parametrize(("task", "said", "wanted", "is_right"), CASES)
async def test_an_audit_and_a_label_are_held_against_the_answer_by_the_rule_of_the_task(
    database: Database, task: Task, said: Any, wanted: str, is_right: bool
) -> None:
    await written(database, {"one": said})
    answered = await answer_review(database, task, "rv_one", wanted, "me")
    await answer_review(database, task, "rv_one", f" {wanted} ", "me")  # the same, written otherwise
    await add_feedback(database, task, Feedback("one", wanted), "caller")
    audit = await audit_of(database, task, "aaaa", 0.05)
    assert (audit.audited, audit.wrong) == (1, int(not is_right))
    assert is_right == (not (await rows_of(database, feedback))[0]["is_correction"])
    hard, _ = await hard_rows(database, task, 0.5)
    assert [one.why for one in hard] == ([] if is_right else ["corrected"])
    rows, left_out = await corrected_rows(database, task)
    assert ([row.output for row in rows], sum(left_out.values())) == ([known(task, answered.answer or "")], 0)


async def test_an_answer_that_the_task_does_not_allow_is_refused(database: Database) -> None:
    await written(database, {"one": 40})
    for wanted in ("forty", "101", '["billing"]'):
        with pytest.raises(DataError):
            await answer_review(database, SCORE, "rv_one", wanted, "me")
        with pytest.raises(DataError):
            await add_feedback(database, SCORE, Feedback("one", wanted), "caller")


async def test_text_that_no_database_takes_is_cleaned(database: Database) -> None:
    await written(database, {"one": {"who": "Ann"}})
    answered = await answer_review(database, OBJECT, "rv_one", '{"who": "\\ud800 Ann"}', "me")
    assert answered.answer == '{"who": "? Ann"}'


async def test_a_shadow_agrees_where_it_means_the_same(database: Database) -> None:
    releases = Releases(database, lambda _: None)
    await releases.release("t", Arm("aaaa", "layered"), Trial(), "me")
    await releases.release("t", Arm("bbbb", "layered"), Trial(shadow=True), "me")
    await written(database, {"one": ["billing", "delivery"], "two": ["billing"]})
    beside = {"shadow one": ["delivery", "billing"], "shadow two": []}
    await written(database, beside, arm="shadow", candidate="bbbb", release=2)
    await answer_review(database, SEVERAL, "rv_one", '["delivery","billing"]', "me")
    await answer_review(database, SEVERAL, "rv_two", '["billing"]', "me")
    release = await Guard(database, releases, lambda _: None, {"t": SEVERAL}).releases.current("t")
    figures = await trial_figures(database, SEVERAL, release, "", release.route(), 0.0)
    assert (figures.agreement, figures.pairs) == (0.5, (2, 1, 0))
    assert (figures.stable.wrong, figures.challenger.wrong) == (0, 1)


async def test_lists_that_were_kept_as_python_writes_them_are_read_after_an_upgrade(database: Database) -> None:
    await written(database, {"one": ["billing", "returns"], "two": "[billing]"})
    async with database.write() as connection:
        await connection.execute(sa.update(traces).where(traces.c.id == "one").values(output="['billing', 'returns']"))
        await connection.execute(sa.text("UPDATE traffic_version SET version_num = 'traffic_0002'"))
    assert await upgrade(database, [TRAFFIC]) == ["traffic_0003"]
    found = {row["id"]: row["output"] for row in await rows_of(database, traces)}
    assert (known(SEVERAL, found["one"]), found["two"]) == (["billing", "returns"], "[billing]")


def test_what_a_task_allows_no_more_is_the_same_only_as_a_text(colours: Task) -> None:
    said, wanted = ["mauve", "mauve", "red", "red"], ["mauve", "red", "mauve", "red"]
    assert are_right(colours, said, wanted) == [True, False, False, True]
    assert is_same(colours, "mauve", "mauve")
    assert not is_same(colours, "mauve", "red")
    assert are_right(SEVERAL, [], []) == []
    assert [kept(one) for one in ("red", 3.0, ["a"], {"b": 1})] == ["red", "3.0", '["a"]', '{"b": 1}']


async def written(
    database: Database, said: dict[str, Any], arm: str = "stable", candidate: str = "aaaa", release: int = 1
) -> None:
    """Traces of these answers; of stable ones, with an audit each."""
    writer, value = TraceWriter(database, Ledger(None)), {"text": "x"}
    for name, output in said.items():
        review = (f"rv_{name}", "audit", value) if arm == "stable" else None
        pair = None if arm == "stable" else name.removeprefix("shadow ")
        fields = ("t", 1.0, release, candidate, arm, "", "me", value, Prediction(output, confidence=0.9), 0.1, 0.0)
        writer.put(Trace(name, *fields, pair, review))
    await writer.aclose()


async def rows_of(database: Database, table: sa.Table) -> list[dict[str, Any]]:
    async with database.read() as connection:
        return [dict(row) for row in (await connection.execute(sa.select(table))).mappings()]
