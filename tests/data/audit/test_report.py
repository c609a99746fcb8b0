"""The audit as a whole, and cleaning by it, on rows with every kind of trouble."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from tasklift.data.audit.label_errors import judge_labels, label_findings, suspect_places
from tasklift.data.audit.policy import DataPolicy, Source
from tasklift.data.audit.report import Audit, audit
from tasklift.data.clean import Rules, clean
from tasklift.data.embed_static import StaticEmbedder
from tasklift.data.resplit import resplit
from tasklift.dataset import Dataset, Example
from tasklift.errors import ConfigError, DataError
from tasklift.schema import parse
from tasklift.task import Label, Number, Right, Task

TODAY = datetime(2026, 11, 24, tzinfo=UTC)


def rows(*some: tuple[str, str, str | None, str]) -> Dataset:
    return Dataset(tuple(Example(i, {"text": text}, label, split) for i, text, label, split in some), name="rows")


def checks(found: Audit) -> set[tuple[str, str]]:
    return {(one.check, one.severity) for one in found.findings}


def said(found: Audit, word: str) -> Sequence[str]:
    return next(one.rows for one in found.findings if word in one.message)


@pytest.fixture
def troubled() -> Dataset:
    return rows(
        ("a", "a ruby in the garden behind the old house", "red", "train"),
        ("b", "A ruby in the  garden behind the old house", "red", "train"),
        ("c", "a ruby in the garden behind the old house", "green", "train"),
        ("d", "the grass over there needs cutting again", "green", "train"),
        ("e", "The grass over there needs cutting again!", "green", "test"),
        ("f", "sky", "blue", "test"),
        ("g", "write to tom.reed@mail.example about the sky", None, "train"),
    )


def test_every_trouble_is_named_with_its_rows(colours: Task, troubled: Dataset) -> None:
    found = audit(troubled, colours, today=TODAY)
    assert said(found, "repeat the text") == ("b", "c")
    assert said(found, "more than one answer") == ("a", "b", "c")
    assert said(found, "of another split") == ("d",)
    assert said(found, "carry no answer") == ("g",)
    assert said(found, "personal data") == ("g",)
    assert found.has("error")
    assert found.labels == {"red": 2, "green": 3, "blue": 1}


def test_cleaning_names_every_row_and_its_reason(colours: Task, troubled: Dataset) -> None:
    policy = DataPolicy(pii={"email": "redact"})
    cleaned, changes = clean(troubled, audit(troubled, colours, policy, today=TODAY), policy, Rules(), TODAY)
    assert {one.row: (one.action, one.why.partition(":")[0]) for one in changes} == {
        "b": ("removed", "duplicates"),
        "c": ("removed", "duplicates"),
        "d": ("removed", "leakage"),
        "g": ("changed", "personal data"),
    }
    assert [row.id for row in cleaned] == ["a", "e", "f", "g"]
    assert cleaned.examples[-1].input == {"text": "write to [EMAIL] about the sky"}


def test_equal_texts_with_as_many_answers_each_all_go(colours: Task) -> None:
    torn = rows(("a", "teal", "green", "train"), ("b", "Teal", "blue", "train"), ("c", "moss", "green", "train"))
    cleaned, changes = clean(torn, audit(torn, colours, today=TODAY), DataPolicy(), Rules(), TODAY)
    assert [row.id for row in cleaned] == ["c"]
    assert len(changes) == 2


def test_one_label_only_is_an_error_and_single_rows_a_warning(colours: Task) -> None:
    only = audit(rows(("a", "ruby", "red", "train"), ("b", "brick wall", "red", "train")), colours, today=TODAY)
    assert ("balance", "error") in checks(only)
    lonely = audit(rows(("a", "ruby", "red", "train"), ("b", "frog", "green", "train")), colours, today=TODAY)
    assert said(lonely, "single row") == ("a", "b")


def test_labels_with_spaces_and_emoji_are_counted() -> None:
    task = Task(name="moods", instruction="Mood?", output=Label(labels={"very happy 🎉": "yes", "not 😡": "no"}))
    found = audit(rows(("a", "good", "very happy 🎉", "train"), ("b", "bad", "not 😡", "train")), task, today=TODAY)
    assert found.labels == {"very happy 🎉": 1, "not 😡": 1}


def test_a_wrong_label_is_found_with_the_models_reasons(colour_rows: Dataset) -> None:
    wrong = "red-ruby-1"
    changed = [replace(row, output="blue") if row.id == wrong else row for row in colour_rows]
    judged = judge_labels(changed, StaticEmbedder().encode)
    assert judged.suspects[0].row == wrong
    assert judged.suspects[0].suggested == "red"
    assert "nearest rows" in judged.suspects[0].reason()
    assert len(judged.rows) == len(changed)


def test_labels_with_too_few_texts_are_not_judged(colours: Task) -> None:
    few = rows(("a", "ruby", "red", "train"), ("b", "frog", "green", "train"))
    assert judge_labels(few.examples, StaticEmbedder().encode).unjudged == ("a", "b")


def test_models_that_are_mostly_wrong_accuse_no_label(colour_rows: Dataset, colours: Task) -> None:
    draw = random.Random(1)
    names = list(colours.labels)
    scrambled = Dataset(tuple(replace(row, output=draw.choice(names)) for row in colour_rows))
    judged = judge_labels(scrambled.examples, StaticEmbedder().encode)
    assert judged.is_blind
    assert judged.suspects == ()
    (finding,) = label_findings(judged)
    assert finding.severity == "note"
    assert "cannot be judged" in finding.message
    assert not judge_labels(colour_rows.examples, StaticEmbedder().encode).is_blind


def test_labels_far_less_probable_than_another_are_suspect() -> None:
    chances = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.96, 0.04], [0.99, 0.01]])
    assert suspect_places(chances, np.array([0, 0, 1, 1, 1])) == [4, 3]


def test_rows_past_their_time_and_barred_sources_are_errors(colours: Task) -> None:
    policy = DataPolicy(
        sources={
            "desk": Source(licence="internal", personal=True, retention_days=30),
            "paper": Source(licence="CC BY-NC 4.0", commercial=False),
        }
    )
    held = Dataset(
        (
            Example("old", {"text": "ruby"}, "red", source="desk", time="2026-09-01"),
            Example("new", {"text": "frog"}, "green", source="desk", time="2026-11-20T08:00:00Z"),
            Example("nc", {"text": "sky"}, "blue", source="paper"),
            Example("unknown", {"text": "denim"}, "blue", source="elsewhere"),
        )
    )
    found = audit(held, colours, policy, today=TODAY)
    assert said(found, "older than") == ("old",)
    assert said(found, "no product") == ("nc",)
    assert said(found, "no licence") == ("unknown",)
    cleaned, _ = clean(held, found, policy, Rules(), TODAY)
    assert "old" not in {row.id for row in cleaned}


def test_an_unknown_kind_of_personal_data_is_refused() -> None:
    with pytest.raises(ConfigError, match="no kind of personal data is called 'mail'"):
        parse(DataPolicy, {"pii": {"mail": "redact"}}, "data.toml")


def test_a_new_split_keeps_near_duplicates_and_groups_on_one_side(colour_rows: Dataset) -> None:
    grouped = Dataset(tuple(replace(row, group=row.id.rsplit("-", 1)[0]) for row in colour_rows))
    near = [[0, 20], [40, 41, 59]]
    cut = resplit(grouped, near, "label", (0.3, 0.2), seed=1, stratum=repr)
    split = [row.split for row in cut]
    assert split[0] == split[20]
    assert split[40] == split[41] == split[59]
    for group in {row.group for row in cut}:
        assert len({row.split for row in cut if row.group == group}) == 1
    assert set(split) == {"train", "validation", "test"}
    assert [row.split for row in resplit(grouped, near, "label", (0.3, 0.2), seed=1, stratum=repr)] == split


def test_a_new_split_keeps_the_mix_of_numbers_that_hardly_ever_repeat() -> None:
    scores = Number(kind="number", minimum=0, maximum=100)
    rows = Dataset(tuple(Example(f"r{n}", {"text": f"row {n}"}, n * 0.997) for n in range(100)))
    cut = resplit(rows, [], "label", (0.3, 0.0), stratum=scores.stratum)
    tested = [row.output for row in cut if row.split == "test"]
    assert len(tested) == 30
    assert [sum(low <= value < low + 20 for value in tested) for low in range(0, 100, 20)] == [6] * 5


def test_numbers_that_count_as_the_same_are_no_two_answers() -> None:
    task = Task(
        name="score",
        instruction="How much?",
        output=Number(kind="number", minimum=0, maximum=100),
    )
    text = "please call me about the forty vans that we would like to have checked this autumn"
    given = [(f"{text} soon", 50), (f"{text} soon", 58), (f"{text} now", 58)]
    rows = Dataset(tuple(Example(f"r{n}", {"text": said}, score) for n, (said, score) in enumerate(given)))
    assert not [one for one in audit(rows, task).findings if "answer" in one.message]
    narrow = task.model_copy(update={"right": Right(within=5)})
    said = [one.message for one in audit(rows, narrow).findings if "answer" in one.message]
    assert [line[:31] for line in said] == ["1 texts carry more than one ans", "1 pairs of near-duplicates have"]


def test_a_split_by_time_tests_on_the_latest(colour_rows: Dataset) -> None:
    timed = Dataset(tuple(replace(row, time=f"2026-01-{n % 28 + 1:02d}") for n, row in enumerate(colour_rows)))
    cut = resplit(timed, [], "time", (0.25, 0.0), stratum=repr)
    assert max(row.time or "" for row in cut if row.split == "train") <= min(
        row.time or "" for row in cut if row.split == "test"
    )
    with pytest.raises(DataError, match="share"):
        resplit(timed, [], "time", (0.6, 0.5), stratum=repr)
