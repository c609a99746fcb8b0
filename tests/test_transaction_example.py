"""The example of bank statements: what its datasheet states is true, and it runs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tasklift.data.audit.policy import read_policy
from tasklift.data.audit.report import audit
from tasklift.data.read import read_dataset
from tasklift.project import Project
from tasklift.strategies.frozen import FrozenEncoder

FOLDER = Path(__file__).parent.parent / "examples" / "transaction_labelling"
TASK = FOLDER / "tasks" / "transaction_labelling"


def test_the_datasheet_states_the_counts() -> None:
    task = Project.open(FOLDER).task(None)
    rows = read_dataset(TASK / "data.jsonl", task.task)
    sheet = " ".join((FOLDER / "README.md").read_text(encoding="utf-8").split())
    counts = Counter(rows.outputs)
    assert (
        f"{len(rows)} lines, {len(rows.where('train'))} for training and {len(rows.where('test'))} for the final"
        in sheet
    )
    assert set(counts) == set(task.task.labels)
    assert (counts["groceries"], min(counts.values())) == (26, 3)
    assert sum(n < 10 for n in counts.values()) == 18


def test_its_audit_finds_no_error() -> None:
    task = Project.open(FOLDER).task(None)
    found = audit(read_dataset(TASK / "data.jsonl", task.task), task.task, read_policy(TASK))
    assert not [one.message for one in found.findings if one.severity == "error"]


def test_a_tuned_core_is_far_better_than_the_commonest_category() -> None:
    project = Project.open(FOLDER)
    train, test, _ = project.rows(project.task(None))
    candidate = FrozenEncoder().fit(project.task(None).task, train)
    said = candidate.probabilities([row.input["text"] for row in test]).argmax(axis=1)
    right = sum(candidate.labels[at] == row.output for at, row in zip(said, test, strict=True))
    assert right / len(test) > 2 * test.outputs.count("groceries") / len(test)
