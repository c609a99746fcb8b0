"""Kept decisions: written once, never changed, found again, and held against the present."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasklift.economics import Economics, Gates
from tasklift.errors import DataError
from tasklift.measure.cost import token_price
from tasklift.measure.deciding.decision import Settings, decide
from tasklift.measure.evidence import Evidence
from tasklift.measure.records.ledger import Asked, Record, keep, load, readable, records, reopen
from tasklift.measure.records.redo import changes, lines_of
from tasklift.measure.records.watch import Today, broken, current, models_of
from tasklift.measure.results import ResultRow, evidence_of
from tasklift.prediction import Usage

MODEL = "https://host.example/v1#small"
OWN = {"tokens": {MODEL: {"input_usd": 1.0, "output_usd": 2.0}}}


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    """Sixty items: a prompted model that is right on 50, a tuned one that is right on 57."""
    rows = [ResultRow(str(i), "prompt", float(i >= 10)) for i in range(60)]
    rows += [ResultRow(str(i), "finetune", float(i >= 3), cost_usd=0.0001) for i in range(60)]
    found = evidence_of(rows, "a test")
    used = Usage(calls=60, input_tokens=6000, output_tokens=120)
    hosted = replace(found.options["prompt"], model=MODEL, usage=used)
    return replace(found, options={**found.options, "prompt": hosted})


def economics(**more: Any) -> Economics:
    given = {"items_per_month": 2000, "error_usd": 1.0, "review_usd": 0.5, "prices": OWN}
    return Economics.model_validate({**given, **more})


def kept(folder: Path, evidence: Evidence, priced: Economics, supersedes: str | None = None) -> Record:
    decision = decide(evidence, priced, settings=Settings(draws=500, parameters=False))
    return keep(folder, decision, evidence, priced, Gates(), Asked(task="triage"), supersedes)


def today(priced: Economics, day: datetime.date | None = None, **more: Any) -> Today:
    return Today(day or datetime.date.today(), lambda model: token_price(model, priced.prices), **more)


def test_a_record_holds_what_it_rests_on_and_is_the_decision_itself(tmp_path: Path, evidence: Evidence) -> None:
    priced = economics(options={"finetune": {"setup_usd": 900}})
    record = kept(tmp_path, evidence, priced)
    assert record.path == tmp_path / "decisions" / f"{record.id}.json"
    assert record.row["choice"] == record.row["options"][record.row["leading"]]["family"]
    about = record.about
    assert about["evidence"]["hashes"]["rows"] == evidence.provenance["rows"]
    assert about["prices"][MODEL]["input_usd"] == 1.0
    assert about["prices"][MODEL]["day"] == datetime.datetime.now(datetime.UTC).date().isoformat()
    assert about["validity"]["until"] == record.row["valid_until"]
    assert "2,000 items a month" in about["question"]
    page = record.path.with_suffix(".md").read_text(encoding="utf-8")
    for part in ("## Options", "## What flips it", "## Prices", "## Assumptions", "## Valid", about["question"], MODEL):
        assert part in page


def test_the_same_decision_is_kept_once_and_another_price_is_another_record(tmp_path: Path, evidence: Evidence) -> None:
    first = kept(tmp_path, evidence, economics())
    before = first.path.read_bytes()
    assert kept(tmp_path, evidence, economics()).id == first.id
    assert first.path.read_bytes() == before
    assert [record.id for record in records(tmp_path)] == [first.id]
    # The table's prices may change without a change of the economics: then the id gets a number.
    row = json.loads(before)
    row["record"]["prices"][MODEL]["input_usd"] = 7.0
    first.path.chmod(0o644)
    first.path.write_text(json.dumps(row), encoding="utf-8")
    assert kept(tmp_path, evidence, economics()).id == f"{first.id}-2"


@pytest.mark.parametrize("place", ["choice", "question", "hash"])
def test_an_edited_record_is_refused(tmp_path: Path, evidence: Evidence, place: str) -> None:
    record = kept(tmp_path, evidence, economics())
    row = json.loads(record.path.read_text(encoding="utf-8"))
    if place == "choice":
        row["choice"] = "human"
    elif place == "question":
        row["record"]["question"] += "?"
    else:
        row["record"]["content_hash"] = "0" * 64
    record.path.chmod(0o644)
    record.path.write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(DataError, match="changed after it was kept"):
        load(tmp_path, record.id)
    with pytest.raises(DataError, match="changed after it was kept"):
        records(tmp_path)


def test_a_record_is_found_by_the_beginning_of_its_id_and_damage_is_told(tmp_path: Path, evidence: Evidence) -> None:
    record = kept(tmp_path, evidence, economics())
    assert load(tmp_path, record.id[:5]).id == record.id
    with pytest.raises(DataError, match=record.id):
        load(tmp_path, "zzz")
    (tmp_path / "decisions" / "torn.json").write_text('{"id": ', encoding="utf-8")
    with pytest.raises(DataError, match="damaged"):
        load(tmp_path, "torn")


def test_what_changed_is_told_old_and_new(tmp_path: Path, evidence: Evidence) -> None:
    dear = {"finetune": {"setup_usd": 9000}}
    old = kept(tmp_path, evidence, economics(options=dear, items_per_month=50_000))
    new = kept(tmp_path, evidence, economics(options=dear, items_per_month=100), supersedes=old.id)
    found = changes(old.row, new.row)
    assert found["economics"] == {"items_per_month": [50_000, 100]}
    assert old.row["choice"] != new.row["choice"]
    assert found["choice"]["choice"] == [old.row["choice"], new.row["choice"]]
    assert "evidence" not in found
    assert "prices" not in found
    assert any(line.strip().startswith("the choice:") for line in lines_of(found))
    assert changes(old.row, old.row) == {}
    assert lines_of({}) == ["Nothing changed."]
    assert [record.id for record in current(records(tmp_path))] == [new.id]
    assert f"It replaces {old.id}." in new.page


def test_a_decision_holds_until_something_it_rests_on_moves(tmp_path: Path, evidence: Evidence) -> None:
    priced = economics()
    record = kept(tmp_path, evidence, priced)
    assert models_of([record]) == [MODEL]
    assert broken(record, today(priced)) == []
    assert "valid until" in broken(record, today(priced, datetime.date.today() + datetime.timedelta(days=400)))[0]
    little = economics(prices={"tokens": {MODEL: {"input_usd": 1.2, "output_usd": 2.0}}})
    assert broken(record, today(little)) == []
    much = economics(prices={"tokens": {MODEL: {"input_usd": 1.3, "output_usd": 1.0}}})
    assert [line.split(": ")[1].split()[0] for line in broken(record, today(much))] == [
        "input_usd",
        "cached_input_usd",
        "output_usd",
    ]
    gone = Today(datetime.date.today(), lambda model: None)
    assert broken(record, gone) == [f"{MODEL}: its price is no longer known"]


def test_a_shutdown_within_the_horizon_ends_a_decision_unless_it_was_reckoned_with(
    tmp_path: Path, evidence: Evidence
) -> None:
    soon, later = (datetime.date.today() + datetime.timedelta(days=days) for days in (90, 900))
    record = kept(tmp_path, evidence, economics())
    assert str(soon) in broken(record, today(economics(), shutdowns={MODEL: soon}))[0]
    assert broken(record, today(economics(), shutdowns={MODEL: later})) == []
    known = economics(options={"prompt": {"end_of_life": soon.isoformat(), "migration_usd": 10}})
    assert broken(kept(tmp_path, evidence, known), today(known, shutdowns={MODEL: soon})) == []


def test_a_volume_beyond_the_flip_ends_a_decision(tmp_path: Path, evidence: Evidence) -> None:
    """Tuned costs 9,000 to make, and saves from some volume on: below that, the choice is another one."""
    priced = economics(items_per_month=50_000, options={"finetune": {"setup_usd": 9000}})
    record = kept(tmp_path, evidence, priced)
    low = record.about["validity"]["items_per_month"]["low"]
    assert 0 < low < 50_000
    assert broken(record, today(priced, items_per_month=low * 1.1)) == []
    assert "items a month" in broken(record, today(priced, items_per_month=low * 0.9))[0]


def test_reopening_stands_beside_the_record_and_repeats_nothing(tmp_path: Path, evidence: Evidence) -> None:
    record = kept(tmp_path, evidence, economics())
    before = record.path.read_bytes()
    reopen(reopen(record, ["the price moved"]), ["the price moved"])
    again = load(tmp_path, record.id)
    assert [note["reasons"] for note in again.reopened] == [["the price moved"]]
    assert "**Reopened" in again.page
    assert record.path.read_bytes() == before
    assert len(records(tmp_path)) == 1


def test_a_list_goes_on_past_a_damaged_record_and_names_it(tmp_path: Path, evidence: Evidence) -> None:
    record = kept(tmp_path, evidence, economics())
    (tmp_path / "decisions" / "other.json").write_text("{}")
    found, broken = readable(tmp_path)
    assert [one.id for one in found] == [record.id]
    assert len(broken) == 1
    assert "other.json: damaged" in broken[0]
    with pytest.raises(DataError, match=r"other\.json: damaged"):
        records(tmp_path)


def test_changes_tell_quantities_as_one_and_leave_defaults_of_a_new_option_out(
    tmp_path: Path, evidence: Evidence
) -> None:
    wide = {"p10": 1000, "p50": 2000, "p90": 4000}
    old = kept(tmp_path, evidence, economics())
    new = kept(tmp_path, evidence, economics(items_per_month=wide, options={"finetune": {"setup_usd": 900}}))
    told = [line for line in lines_of(changes(old.row, new.row)) if "economics" in line]
    assert told == [
        "  economics: items_per_month: 2,000 -> 2,000 (1,000 to 4,000)",
        "  economics: options.finetune.setup_usd: none -> 900",
    ]
