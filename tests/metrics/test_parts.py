"""Where answers go wrong, by label and by field."""

from __future__ import annotations

import pytest
from sklearn.metrics import precision_recall_fscore_support

from tasklift.metrics.base import Cases
from tasklift.metrics.parts import parts_of
from tasklift.task import JsonOutput, Label, Labels, Number, Right

LABELS = {"a": "A", "b": "B", "c": "C", "d": "D"}


def test_labels_are_those_of_scikit_learn() -> None:
    expected = ["a", "a", "a", "b", "b", "c"]
    said = ["a", "b", "a", "b", None, "b"]
    found = parts_of(Cases(said, expected, Label(labels=LABELS), Right()))
    names = ["a", "b", "c"]
    theirs = precision_recall_fscore_support(expected, [y or "none" for y in said], labels=names, zero_division=0)
    for at, name in enumerate(names):
        (part,) = [one for one in found if one.name == name]
        assert (part.precision or 0, part.recall, part.f1) == pytest.approx(tuple(row[at] for row in theirs[:3]))
        assert part.support == theirs[3][at]
    assert [part.name for part in found] == ["c", "b", "a"]  # the worst first; nobody said or meant d
    assert found[0].precision is None


def test_several_labels_count_one_by_one() -> None:
    output = Labels(kind="labels", labels=LABELS)
    found = {
        part.name: part for part in parts_of(Cases([["a", "b"], [], None], [["a"], ["c"], ["a"]], output, Right()))
    }
    assert (found["a"].support, found["a"].given, found["a"].right) == (2, 1, 1)
    assert (found["b"].recall, found["b"].precision, found["b"].f1) == (None, 0, 0)
    assert (found["c"].recall, found["c"].precision) == (0, None)


def test_fields_are_named_by_their_path_and_lists_count_by_entry() -> None:
    schema = {
        "type": "object",
        "properties": {
            "who": {"type": "object", "properties": {"name": {"type": "string"}}},
            "tags": {"type": "array", "items": {"type": "string"}},
            "sum": {"type": "number"},
        },
    }
    said = [{"who": {"name": " Ann "}, "tags": ["x", "y"], "sum": 3}, {"tags": []}]
    expected = [{"who": {"name": "Ann"}, "tags": ["y", "z"], "sum": 4}, {"sum": 1, "tags": ["x"]}]
    found = parts_of(Cases(said, expected, JsonOutput(kind="json", json_schema=schema), Right()))
    counts = {part.name: (part.support, part.given, part.right) for part in found}
    assert counts == {"sum": (2, 1, 0), "tags": (3, 2, 1), "who.name": (1, 1, 1)}
    assert [part.name for part in found] == ["sum", "tags", "who.name"]
    assert found[0].to_json() == {
        "name": "sum", "support": 2, "given": 1, "right": 0, "precision": 0, "recall": 0, "f1": 0
    }  # fmt: skip


def test_numbers_have_no_parts() -> None:
    assert parts_of(Cases([1], [1], Number(kind="number"), Right())) == []
