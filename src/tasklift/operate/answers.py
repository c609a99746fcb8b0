"""Answers as the tables keep them, and which of them are right: by the task's own rule, as in an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasklift.errors import DataError
from tasklift.metrics.base import Cases
from tasklift.metrics.right import Accuracy
from tasklift.outputs.base import as_json
from tasklift.task import Task


def kept(answer: Any) -> str:
    """An answer as it is kept: a text as it is, everything else as JSON."""
    return answer if isinstance(answer, str) else as_json(answer)


def storable(text: str) -> str:
    """Text that every database takes: no NUL, no half surrogate pair."""
    return text.replace("\x00", "").encode(errors="replace").decode()


def taken(task: Task, given: str) -> str:
    """A person's answer as it is kept.

    Args:
        given: a label or a text as it is; several labels, a number or an object as JSON.

    Raises:
        DataError: the task does not allow it.
    """
    return storable(kept(task.output.read(given)))


def known(task: Task, text: str | None) -> Any:
    """A kept answer; None where there is none, or none that the task allows (any more)."""
    if text is None:
        return None
    try:
        return task.output.read(text)
    except DataError:
        return None


def are_right(task: Task, said: Sequence[str], wanted: Sequence[str]) -> list[bool]:
    """[n] does what was said count as right beside what a person said? Both as they are kept.

    Where the task does not allow one of them any more, they are right where they are the same text.
    """
    pairs = list(zip(said, wanted, strict=True))
    right = {pair: pair[0] == pair[1] for pair in pairs}
    read = {pair: (known(task, pair[0]), known(task, pair[1])) for pair in right}  # once, however often it comes
    judged = {pair: values for pair, values in read.items() if None not in values}
    if judged:
        answers, expected = zip(*judged.values(), strict=True)
        found = Accuracy().rows(Cases(answers, expected, task.output, task.right))
        right |= {pair: bool(one) for pair, one in zip(judged, found, strict=True)}
    return [right[pair] for pair in pairs]


def is_same(task: Task, one: str, other: str) -> bool:
    """Do two kept answers mean the same?"""
    values = known(task, one), known(task, other)
    return one == other or (None not in values and task.output.same(*values))
