"""Rows: what identifies them, how parts remember their origin, leakage, and the file format."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from tasklift.data.read import read_dataset
from tasklift.data.split import split_dataset
from tasklift.dataset import Dataset, Example, overlapping_texts, refuse_leakage, text_key, write_jsonl
from tasklift.errors import DataError, LeakageError, TaskliftError
from tasklift.measure.evaluation import evaluate
from tasklift.strategies.baseline import Majority
from tasklift.task import Task


def changed(data: Dataset, **values: object) -> Dataset:
    """The same rows with other values in the first one, as if read anew."""
    first, *rest = data.examples
    return Dataset((replace(first, **values), *rest), name=data.name)  # type: ignore[arg-type]


def test_the_hash_depends_on_content_alone(colour_rows: Dataset) -> None:
    again = Dataset(colour_rows.examples, name="other name", lineage=("read elsewhere",), warnings=("odd",))
    assert again.content_hash == colour_rows.content_hash
    assert colour_rows.part(colour_rows, "all of it").content_hash == colour_rows.content_hash


@pytest.mark.parametrize(
    "values",
    [{"id": "new"}, {"input": {"text": "a ruby in the cellar"}}, {"output": "blue"}, {"group": "anna"}],
)
def test_the_hash_changes_with_content(colour_rows: Dataset, values: dict[str, object]) -> None:
    assert changed(colour_rows, **values).content_hash != colour_rows.content_hash


def test_the_hash_changes_with_the_order_of_rows(colour_rows: Dataset) -> None:
    assert Dataset(colour_rows.examples[::-1]).content_hash != colour_rows.content_hash


def test_the_hash_ignores_where_a_row_came_from(colour_rows: Dataset) -> None:
    noted = changed(colour_rows, source="export of May", time="2026-05-01", split="train", slice={"channel": "mail"})
    assert noted.content_hash == colour_rows.content_hash


def test_the_order_of_input_fields_does_not_matter() -> None:
    one = Dataset((Example("1", {"subject": "s", "body": "b"}, "x"),))
    other = Dataset((Example("1", {"body": "b", "subject": "s"}, "x"),))
    assert one.content_hash == other.content_hash


def test_parts_remember_how_they_came_to_be(colour_rows: Dataset) -> None:
    read = replace(colour_rows, lineage=("read colours.jsonl",), warnings=("odd",))
    train, _ = split_dataset(read, 0.5, seed=3)
    inner, _ = split_dataset(train, 0.5)
    assert inner.lineage == (
        "read colours.jsonl",
        "split by label at 0.5, seed 3, first",
        "split by label at 0.5, seed 0, first",
    )
    assert inner.origin == colour_rows.content_hash
    assert inner.warnings == ()


def test_rows_cannot_be_changed(colour_rows: Dataset) -> None:
    with pytest.raises(FrozenInstanceError):
        colour_rows.examples[0].output = "blue"  # type: ignore[misc]


def test_named_splits_are_found_and_others_listed() -> None:
    rows = [Example(str(n), {"text": str(n)}, "x", split=s) for n, s in enumerate(["train", "test", "train", None])]
    data = Dataset(tuple(rows), name="mine")
    assert [row.id for row in data.where("train")] == ["0", "2"]
    with pytest.raises(DataError, match=r"mine: no row has split 'dev'; found: \(none\), test, train"):
        data.where("dev")


def test_evaluating_trained_rows_is_refused(colour_rows: Dataset) -> None:
    train = colour_rows.part(colour_rows.examples[:40], "first 40")
    rows = colour_rows.part(colour_rows.examples[38:], "last 22")
    with pytest.raises(LeakageError) as caught:
        refuse_leakage(train.keys, rows, "baseline")
    message = str(caught.value)
    assert message.startswith("baseline was made with 2 of these 22 rows")
    assert colour_rows.examples[38].id in message
    assert "Evaluate on rows it has not seen" in message
    assert isinstance(caught.value, DataError)


def test_rows_that_share_only_their_ids_are_no_leakage(colour_rows: Dataset) -> None:
    """Two files may both number their rows from 1."""
    numbered = [
        Dataset((Example("1", {"text": text}, "red"), Example("2", {"text": text * 2}, "red"))) for text in "ab"
    ]
    assert not numbered[0].keys & numbered[1].keys
    refuse_leakage(numbered[0].keys, numbered[1], "baseline")
    train, test = split_dataset(colour_rows, 0.7)
    refuse_leakage(train.keys, test, "baseline")


def test_test_texts_that_stand_in_train_are_counted() -> None:
    train = Dataset((Example("1", {"text": "Where is my  parcel?"}, "a"), Example("2", {"text": "thanks"}, "b")))
    test = Dataset((Example("3", {"text": "where is MY parcel? "}, "a"), Example("4", {"text": "thank"}, "b")))
    assert overlapping_texts(train, test) == {"3"}


def test_an_evaluation_refuses_trained_rows_and_counts_trained_texts(colours: Task, colour_rows: Dataset) -> None:
    train, test = split_dataset(colour_rows, 0.7)
    with pytest.raises(LeakageError, match="was made with 60 of these 60 rows"):
        evaluate(colours, {"majority": Majority()}, colour_rows, colour_rows)
    again = replace(train.examples[0], id="the same text under another id")
    found = evaluate(colours, {"majority": Majority()}, train, test.part((*test, again), "one more"))
    assert found.overlap == {again.id}


def test_equal_texts_are_equal_in_all_fields() -> None:
    assert text_key({"subject": "A", "body": "b\nc"}) == text_key({"body": "B  c", "subject": "a"})
    assert text_key({"subject": "a", "body": "b"}) != text_key({"subject": "b", "body": "a"})
    assert text_key({"subject": "a b", "body": ""}) != text_key({"subject": "a", "body": "b"})


def test_what_is_written_is_read_back(tmp_path: Path, colours: Task, colour_rows: Dataset) -> None:
    full = changed(
        colour_rows,
        input={"text": 'zwei\nZeilen, "Anführung" 🎂 \u2028 Ende'},
        split="train",
        slice={"channel": "mail"},
        group="anna",
        source="export",
        time="2026-05-01T10:00:00Z",
    )
    write_jsonl(full, tmp_path / "rows.jsonl")
    read = read_dataset(tmp_path / "rows.jsonl", colours)
    assert read.examples == full.examples
    assert read.content_hash == full.content_hash


def test_empty_fields_are_left_out_of_the_file(tmp_path: Path) -> None:
    write_jsonl(Dataset((Example("1", {"text": "é"}, "red"),)), tmp_path / "rows.jsonl")
    (line,) = (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    assert "é" in line
    assert json.loads(line) == {"id": "1", "input": {"text": "é"}, "output": "red"}


def test_a_missing_folder_is_made(tmp_path: Path, colour_rows: Dataset) -> None:
    write_jsonl(colour_rows, tmp_path / "new" / "rows.jsonl")
    assert len((tmp_path / "new" / "rows.jsonl").read_text().splitlines()) == 60


def test_a_row_that_cannot_be_written_leaves_the_old_file_alone(tmp_path: Path, colour_rows: Dataset) -> None:
    path = tmp_path / "rows.jsonl"
    write_jsonl(colour_rows, path)
    before = path.read_bytes()
    last = replace(colour_rows.examples[-1], source="half of a character: \ud83d")
    with pytest.raises(UnicodeEncodeError):
        write_jsonl(Dataset((*colour_rows.examples[:-1], last)), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, colour_rows: Dataset) -> None:
    target = tmp_path / "rows.jsonl"
    target.mkdir()
    with pytest.raises(TaskliftError, match=r"rows\.jsonl: cannot be written: Is a directory"):
        write_jsonl(colour_rows, target)
    assert list(tmp_path.iterdir()) == [target]
    (tmp_path / "file").write_text("")
    with pytest.raises(TaskliftError, match="cannot be written"):
        write_jsonl(colour_rows, tmp_path / "file" / "rows.jsonl")
