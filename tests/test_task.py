"""A task: what its file may say, which answers it allows, and what enters its hash."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tasklift.economics import Economics, Gates, exactly
from tasklift.errors import DataError
from tasklift.task import Label, Output, Task

QUEUES = {"billing": "Charges", "technical": "Something is broken", "order status": "Where is it"}


def triage(output: Output | None = None, **rest: Any) -> Task:
    settings = {"name": "triage", "instruction": "Sort it.", "output": output or Label(labels=QUEUES)}
    return Task(**(settings | rest))


def test_labels_keep_their_order() -> None:
    assert list(triage().labels) == ["billing", "technical", "order status"]


@pytest.mark.parametrize("name", ["Triage", "1triage", "tri age", "tri-age", "../triage", "", "triage\n", "träge"])
def test_a_name_that_could_not_be_a_folder_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="lower-case letters, digits and underscores"):
        triage(name=name)


@pytest.mark.parametrize("labels", [{}, {"only": "One"}])
def test_fewer_than_two_labels_are_refused(labels: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="at least two labels"):
        Label(labels=labels)


@pytest.mark.parametrize("label", ["", "  ", " billing", "billing ", "bil\nling"])
def test_a_label_that_no_row_could_carry_is_refused(label: str) -> None:
    with pytest.raises(ValidationError, match="is empty, has outer spaces or a line break") as caught:
        Label(labels={label: "Charges", "technical": "Broken"})
    assert repr(label) in str(caught.value)


def test_out_of_scope_must_be_a_label() -> None:
    assert Label(labels=QUEUES, out_of_scope="billing").out_of_scope == "billing"
    with pytest.raises(ValidationError, match="out_of_scope names 'other', which is not one of the labels"):
        Label(labels=QUEUES, out_of_scope="other")


def test_an_empty_instruction_is_refused() -> None:
    with pytest.raises(ValidationError, match="instruction"):
        triage(instruction="")


def test_a_task_needs_an_input_field() -> None:
    with pytest.raises(ValidationError, match="input_fields"):
        triage(input_fields=())


def test_a_task_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        triage().name = "other"  # type: ignore[misc]


def test_known_labels_are_allowed() -> None:
    for label in QUEUES:
        triage().check_output(label)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("Billing", "billing"),
        (" billing ", "billing"),
        ("order_status", "order status"),
        ("Order-Status", "order status"),
        ("biling", "billing"),
        ("tecnical", "technical"),
    ],
)
def test_an_unknown_label_is_answered_with_the_nearest(given: str, meant: str) -> None:
    with pytest.raises(DataError) as caught:
        triage().check_output(given)
    assert str(caught.value) == f"unknown label {given!r}; did you mean {meant!r}?"


def test_an_unknown_label_like_no_other_is_answered_with_what_there_is() -> None:
    with pytest.raises(DataError, match="unknown label 'spam'; the task knows 3 labels: billing, technical, order st"):
        triage().check_output("spam")


def test_a_long_list_of_labels_is_cut() -> None:
    many = triage(Label(labels={f"queue_{letter}": "" for letter in "abcdefghijkl"}))
    with pytest.raises(DataError, match=r"knows 12 labels: queue_a, .*queue_h, \.\.\.$"):
        many.check_output("nothing alike")


@pytest.mark.parametrize("output", [None, 3, True, 1.5, ["billing"], {"label": "billing"}, ""])
def test_an_answer_that_is_no_label_is_refused_whatever_its_type(output: Any) -> None:
    with pytest.raises(DataError, match="unknown label") as caught:
        triage().check_output(output)
    assert repr(output) in str(caught.value)


def test_the_hash_changes_with_what_decides_answers() -> None:
    first = triage().content_hash
    assert triage().content_hash == first
    assert triage(instruction="Sort it well.").content_hash != first
    assert triage(input_fields=("subject", "body")).content_hash != first
    assert triage(Label(labels=QUEUES | {"billing": "Invoices"})).content_hash != first
    assert triage(Label(labels=QUEUES, out_of_scope="billing")).content_hash != first


def test_the_hash_ignores_what_only_judges_answers() -> None:
    judged = triage(
        gates=Gates(min_metric=0.9), economics=Economics(items_per_month=exactly(10)), metrics=("macro_f1",)
    )
    assert judged.content_hash == triage().content_hash


def test_the_main_text_is_the_first_input_field() -> None:
    task = triage(input_fields=("subject", "body"))
    assert task.main_text({"body": "b", "subject": "s"}) == "s"
    assert task.main_text({"body": "b"}) == ""
    assert task.main_text({"subject": 5}) == ""
