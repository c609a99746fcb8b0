"""The circle closed: corrections become a candidate that is compared and offered, and released by nobody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasklift.dataset import Dataset, Example, text_key
from tasklift.errors import ConfigError, DataError
from tasklift.jobs.retrain import cut_rows, is_fresh, retrain
from tasklift.operate.ledger import Ledger
from tasklift.operate.release import Arm, Releases, Trial
from tasklift.operate.review import NO_TEXT, Feedback, add_feedback, answer_review, corrected_rows
from tasklift.operate.store import open_store, url_of
from tasklift.operate.traffic import Trace, TraceWriter
from tasklift.prediction import Prediction
from tasklift.project import Project
from tasklift.strategies.build import build
from tasklift.strategies.fitting import fit_or_load
from tasklift_platform.database import Database

WORDS = {"red": ("ruby", "tomato", "blood"), "green": ("grass", "frog", "moss")}
PLACES = ("in the garden", "on my desk", "over there", "at the market", "by the sea", "up the hill")
#: What the task's own rows know nothing about.
NEW_WORDS = ("emerald", "jade", "pistachio")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    task = tmp_path / "tasks" / "colours"
    task.mkdir(parents=True)
    (tmp_path / "tasklift.toml").write_text('schema_version = 1\nname = "shop"\n')
    (task / "task.toml").write_text(
        'schema_version = 1\nname = "colours"\ninstruction = "Which colour?"\n[output]\nkind = "label"\n'
        '[output.labels]\nred = "blood"\ngreen = "grass"\n[data]\nfile = "data.jsonl"\n'
    )
    rows = [
        {"id": f"{word}-{n}", "input": {"text": f"a {word} {place}"}, "output": label}
        for label, some in WORDS.items()
        for word in some
        for n, place in enumerate(PLACES)
    ]
    (task / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Project.open(tmp_path)


def in_production(project: Project, name: str = "baseline") -> str:
    task = project.task("colours")
    made = build([name], {}, "http://127.0.0.1:9/v1#m")[name]
    return fit_or_load(made, task.task, project.rows(task)[0], project.state, print).fingerprint


async def traffic(project: Project, database: Database, texts: list[str], policy: str = "keep") -> None:
    """Answers that were wrong, and the labels that callers and reviewers gave."""
    task = project.task("colours").task
    writer = TraceWriter(database, Ledger(None))
    for n, text in enumerate(texts):
        value = {"text": text} if policy == "keep" else None
        review = (f"rv{n}", "audit", {"text": text}) if n % 2 else None
        said = Prediction("red", confidence=0.6)
        writer.put(
            Trace(f"tr{n}", "colours", float(n), 1, "a", "stable", "", "me", value, said, 0.1, 0.0, None, review)
        )
    await writer.flush()
    for n in range(len(texts)):
        if n % 2:
            await answer_review(database, task, f"rv{n}", "green", "ann")
        else:
            await add_feedback(database, task, Feedback(f"tr{n}", "green"), "shop")


async def test_corrections_make_a_better_candidate_that_nobody_released(project: Project) -> None:
    database = await open_store(url_of(project.state))
    try:
        before = in_production(project)
        releases = Releases(database, lambda _: None)
        await releases.release("colours", Arm(before, "baseline"), Trial(), "me")
        await traffic(project, database, [f"{word} {place}" for word in NEW_WORDS for place in PLACES])
        made = await retrain(project, database, project.task("colours"), before)
        assert (made.strategy, made.is_offered) == ("baseline", True)
        assert made.trained_on + made.fresh == 18
        assert made.fresh > 0
        fresh = made.tests["fresh"]
        assert fresh.after.value > fresh.before.value
        assert made.tests["frozen"].after.value == made.tests["frozen"].before.value == 1.0
        assert (await releases.current("colours")).version == 1
        report = json.loads((project.state / "retrains" / f"{made.id}.json").read_text())
        assert report["candidate"] == made.candidate
        assert (project.state / "artifacts" / made.candidate).is_dir()
    finally:
        await database.aclose()


async def test_rows_carry_where_they_come_from_and_a_review_counts_more_than_a_caller(project: Project) -> None:
    database = await open_store(url_of(project.state))
    try:
        await traffic(project, database, ["one", "two"])
        task = project.task("colours").task
        await add_feedback(database, task, Feedback("tr1", "red"), "shop")
        rows, left_out = await corrected_rows(database, task)
        found = {row.id: (row.input["text"], row.output, (row.source or "").partition(":")[0]) for row in rows}
        assert found == {"tr0": ("one", "green", "feedback"), "tr1": ("two", "green", "review")}
        assert all(row.time for row in rows)
        assert not any(left_out.values())
    finally:
        await database.aclose()


async def test_without_corrections_or_with_a_strategy_that_learns_nothing_it_says_so(project: Project) -> None:
    database = await open_store(url_of(project.state))
    try:
        with pytest.raises(DataError, match="no corrected row"):
            await retrain(project, database, project.task("colours"), in_production(project))
        with pytest.raises(ConfigError, match="learns nothing from rows"):
            await retrain(project, database, project.task("colours"), in_production(project, "prompt"))
        await traffic(project, database, ["one"], policy="drop")
        with pytest.raises(DataError, match="no corrected row"):
            await retrain(project, database, project.task("colours"), in_production(project))
    finally:
        await database.aclose()


def test_the_frozen_test_is_never_trained_on_and_a_text_stays_in_its_part(project: Project) -> None:
    base, frozen, _ = project.rows(project.task("colours"))
    tested = frozen.examples[0]
    texts = [f"new {n}" for n in range(40)]
    corrections = [Example(f"tr{n}", {"text": text}, "green") for n, text in enumerate(texts)]
    corrections += [
        Example("again", {"text": tested.input["text"].upper()}, "red"),
        Example("twice", {"text": "NEW 1"}, "red"),
    ]
    known = base.examples[0]
    corrections.append(Example("known", known.input, "green"))
    cut = cut_rows(base, frozen, corrections, {NO_TEXT: 2})
    assert cut.left_out == {
        "their text was not kept": 2,
        "their text is in the frozen test": 1,
        "their text repeats": 1,
    }
    trained, fresh = ({text_key(row.input) for row in part} for part in (cut.train, cut.fresh or Dataset(())))
    assert not trained & fresh
    assert not {text_key(row.input) for row in frozen} & (trained | fresh)
    assert cut.replaced == 1
    assert fresh == {key for key in {text_key(row.input) for row in corrections} if is_fresh(key)} - {
        text_key(tested.input)
    }
    assert 0.1 < len(fresh) / 41 < 0.5
