"""The shipped rows: size, mix, near-duplicates and difficulty, and that their datasheet states what is true."""

from __future__ import annotations

import re
import statistics
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from tasklift.data.read import read_dataset
from tasklift.dataset import Dataset, overlapping_texts, text_key
from tasklift.project import Project, TaskFile
from tasklift.strategies.baseline import Baseline
from tasklift.strategy import Context

FOLDER = Path(__file__).parent.parent / "examples" / "support_triage"
CHANNELS = {"email": "e-mail", "whatsapp": "WhatsApp", "messenger": "Messenger", "instagram": "Instagram"} | {
    "telegram": "Telegram"
}


@pytest.fixture(scope="module")
def task() -> TaskFile:
    return Project.open(FOLDER).task("support_triage")


@pytest.fixture(scope="module")
def rows(task: TaskFile) -> Dataset:
    return read_dataset(FOLDER / "tasks" / "support_triage" / "data.jsonl", task.task)


@pytest.fixture(scope="module")
def sheet() -> str:
    """The datasheet, white space folded."""
    return " ".join((FOLDER / "README.md").read_text(encoding="utf-8").split())


def lengths(rows: Dataset) -> dict[str, list[int]]:
    """Channel -> words in each of its messages."""
    found: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        found[row.slice["channel"]].append(len(row.input["text"].split()))
    return found


def near_duplicates(texts: list[str], size: int = 5, limit: float = 0.5) -> set[int]:
    """Indices of texts whose word n-grams overlap with those of an earlier text beyond `limit` (Jaccard)."""
    having: dict[tuple[str, ...], list[int]] = defaultdict(list)
    sizes: list[int] = []
    found: set[int] = set()
    for index, text in enumerate(texts):
        words = re.findall(r"\w+", text.casefold())
        grams = {tuple(words[at : at + size]) for at in range(max(1, len(words) - size + 1))}
        sizes.append(len(grams))
        shared = Counter(other for gram in grams for other in having[gram])
        if any(n / (len(grams) + sizes[other] - n) > limit for other, n in shared.items()):
            found.add(index)
        for gram in grams:
            having[gram].append(index)
    return found


def test_there_are_enough_rows_and_labels(rows: Dataset, task: TaskFile) -> None:
    assert len(rows) >= 1500
    assert len(task.labels) >= 12
    assert {"spam", "out_of_scope"} <= set(task.labels)
    assert set(rows.outputs) == set(task.labels)
    assert task.task.labels == task.labels


def test_all_channels_and_a_second_language_are_there(rows: Dataset) -> None:
    assert set(lengths(rows)) == set(CHANNELS)
    languages = Counter(row.slice["language"] for row in rows)
    assert set(languages) == {"en", "de"}
    assert 0.08 < languages["de"] / len(rows) < 0.12


def test_every_label_and_slice_is_on_both_sides(rows: Dataset, task: TaskFile) -> None:
    train, test = rows.where("train"), rows.where("test")
    assert len(train) + len(test) == len(rows)
    assert set(train.outputs) == set(test.outputs) == set(task.labels)
    for name in task.slices:
        assert {row.slice[name] for row in train} == {row.slice[name] for row in test}


def test_no_text_carries_two_labels(rows: Dataset) -> None:
    labels: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        labels[text_key(row.input)].add(row.output)
    assert [text for text, found in labels.items() if len(found) > 1] == []
    assert not any("more than one label" in line for line in rows.warnings)


def test_hardly_a_test_text_stands_in_train(rows: Dataset) -> None:
    assert len(overlapping_texts(rows.where("train"), rows.where("test"))) <= 2


def test_near_duplicates_are_rare(rows: Dataset) -> None:
    texts = [row.input["text"] for row in rows]
    assert len(near_duplicates(texts)) < 0.02 * len(rows)


def test_near_duplicates_would_be_found() -> None:
    text = "my kettle has been leaking since Tuesday and nobody at your shop has answered me so far"
    assert near_duplicates([text, "something else entirely, in seven words", text.replace("far", "much")]) == {2}


async def test_the_task_is_neither_trivial_nor_noise(rows: Dataset, task: TaskFile) -> None:
    candidate = Baseline().fit(task.task, rows.where("train"))
    test = rows.where("test")
    predictions = await candidate.predict(test.inputs, Context())
    right = sum(prediction.output == label for prediction, label in zip(predictions, test.outputs, strict=True))
    assert 0.60 < right / len(test) < 0.88


def test_the_datasheet_states_the_counts(rows: Dataset, sheet: str) -> None:
    german = sum(row.slice["language"] == "de" for row in rows)
    counts = (len(rows), len(rows.where("train")), len(rows.where("test")), german)
    assert counts == (1750, 1400, 350, 175)
    assert "1,750 messages: 1,400 for training, 350 for the final figures" in sheet
    assert f"A tenth ({german}) is German" in sheet


def test_the_datasheet_states_the_labels(rows: Dataset, sheet: str) -> None:
    counts = Counter(rows.outputs)
    ordered = [label for label, _ in counts.most_common()]
    most, least = ordered[0], ordered[-1]
    assert len(counts) == 17
    assert f"Seventeen labels, between {counts[least]} (`{least}`) and {counts[most]} (`{most}`) messages" in sheet
    assert f"`spam` ({counts['spam']}) and `out_of_scope` ({counts['out_of_scope']})" in sheet


def test_the_datasheet_states_the_lengths(rows: Dataset, sheet: str) -> None:
    found = lengths(rows)
    assert {len(words) for words in found.values()} == {350}
    assert "Five channels with 350 messages each" in sheet
    stated = ", ".join(f"{name} {statistics.median(found[channel]):g}" for channel, name in CHANNELS.items())
    assert f"median length in words: {stated};" in sheet
    everything = [words for some in found.values() for words in some]
    assert (min(everything), max(everything)) == (1, 351)
    assert "from one word to a page (351 words)" in sheet


def test_the_datasheet_names_the_rows_that_were_read_differently(rows: Dataset, task: TaskFile, sheet: str) -> None:
    labels = {row.id: row.output for row in rows}
    listed = re.findall(r"\| (\w+-\d+) \| (\w+) \| (\w+) \|", sheet)
    assert len(listed) == 4
    for identity, first, second in listed:
        assert labels[identity] == first
        assert second in task.labels


def test_the_datasheet_names_every_file(sheet: str) -> None:
    named = re.findall(r"\| `([\w./]+)`", sheet)
    assert len(named) >= 5
    assert [name for name in named if not (FOLDER / name).exists()] == []


def test_the_economics_of_the_example_differ(task: TaskFile) -> None:
    project = Project.open(FOLDER)
    own = FOLDER / "tasks" / "support_triage"
    volumes = [
        project.economics(task, path).items_per_month.p50
        for path in (own / "economics.toml", own / "economics" / "prototype.toml", own / "economics" / "audited.toml")
    ]
    assert all(volume > 0 for volume in volumes)
    assert any(one != other for one, other in pairwise(volumes))
