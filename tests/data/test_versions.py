"""Versions of rows: kept once, undone row by row, erased everywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tasklift.data.people import affected, erase, is_of
from tasklift.data.versions import Versions, difference, undone, version_of
from tasklift.dataset import Dataset, Example, write_jsonl
from tasklift.errors import ConfigError, DataError


@pytest.fixture
def kept(tmp_path: Path) -> Versions:
    return Versions(tmp_path / "datasets" / "colours")


def shorter(data: Dataset) -> Dataset:
    """Without the first row, and with the second one changed."""
    return data.part([replace(data.examples[1], output="blue"), *data.examples[2:]], "shorter")


def test_equal_rows_are_one_version(kept: Versions, colour_rows: Dataset) -> None:
    first = kept.keep(colour_rows, "read")
    assert kept.keep(colour_rows, "again") == first
    assert [one.id for one in kept.all()] == [version_of(colour_rows)]
    assert kept.rows(first) == colour_rows.examples


def test_changes_are_undone_where_they_stood(kept: Versions, colour_rows: Dataset) -> None:
    parent = kept.keep(colour_rows, "read")
    after = shorter(colour_rows)
    made = kept.keep(after, "cleaned", parent.id, difference(colour_rows, after, "a test"))
    assert {(one.row, one.action) for one in made.changes} == {
        (colour_rows.examples[0].id, "removed"),
        (colour_rows.examples[1].id, "changed"),
    }
    assert undone(after, kept.rows(parent), made).examples == colour_rows.examples
    only = undone(after, kept.rows(parent), made, [colour_rows.examples[0].id])
    assert only.examples[0] == colour_rows.examples[0]
    assert only.examples[1].output == "blue"
    with pytest.raises(DataError, match="did not change row 'nobody'"):
        undone(after, kept.rows(parent), made, ["nobody"])


def test_a_person_is_erased_from_the_file_every_version_and_every_record(
    kept: Versions, colour_rows: Dataset, tmp_path: Path
) -> None:
    owned = Dataset(
        (*colour_rows.examples, Example("x", {"text": "call Ida Holm on the red phone"}, "red", group="customer-9"))
    )
    parent = kept.keep(owned, "read")
    after = owned.part(owned.examples[:-1], "without the last")
    kept.keep(after, "cleaned", parent.id, difference(owned, after, "a test"))
    file = tmp_path / "data.jsonl"
    write_jsonl(owned, file)
    found = erase(owned, file, kept, is_of("customer-9"))
    assert found.rows == ("x",)
    assert set(found.versions) == {one.id for one in kept.all()}
    assert f"{owned.origin[:16]}:x" in found.keys
    texts = [path.read_text(encoding="utf-8") for path in tmp_path.rglob("*") if path.is_file()]
    assert not any("Ida Holm" in text for text in texts)
    assert affected(after, kept, is_of("customer-9")).versions == {}
    assert kept.get(parent.id).erased == 1


def test_an_erased_row_cannot_come_back(kept: Versions, colour_rows: Dataset) -> None:
    parent = kept.keep(colour_rows, "read")
    after = shorter(colour_rows)
    made = kept.keep(after, "cleaned", parent.id, difference(colour_rows, after, "a test"))
    gone = colour_rows.examples[0].id
    kept.erase(lambda row: row.id == gone)
    with pytest.raises(DataError, match="erased since"):
        undone(after, kept.rows(kept.get(parent.id)), kept.get(made.id), [gone])


def test_a_short_name_would_erase_others(colour_rows: Dataset) -> None:
    with pytest.raises(ConfigError, match="too short"):
        is_of("a")


def test_an_unknown_version_names_those_that_there_are(kept: Versions, colour_rows: Dataset) -> None:
    made = kept.keep(colour_rows, "read")
    with pytest.raises(DataError, match=made.id):
        kept.get("ffff")
