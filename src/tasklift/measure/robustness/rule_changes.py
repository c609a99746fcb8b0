"""Rule changes on rows whose answers are known: a new label, two labels merged, a definition that changes.

They are made from training rows only; test rows are never touched.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from tasklift.dataset import Dataset, Example
from tasklift.task import Label, Task

Kind = Literal["new_label", "merged_labels", "changed_definition"]
#: A word that moves a part of a label has to occur in this share of its rows.
SPLITTING = (0.25, 0.75)
#: Rows of a label below which nothing can be learnt about it.
FEWEST = 5


@dataclass(frozen=True)
class RuleChange:
    """One change.

    Attributes:
        kind: what changes.
        words: the same for a reader.
        before: the task as it was.
        after: the task as it is.
        old: row -> the row as it was labelled before; None: there was no such row.
        new: row -> the row as it is labelled now.
        touched: does the row's old label say nothing about its new one, so that a person has to label it?
    """

    kind: Kind
    words: str
    before: Task
    after: Task
    old: Callable[[Example], Example | None]
    new: Callable[[Example], Example]
    touched: Callable[[Example], bool]

    def rows_before(self, rows: Dataset) -> Dataset:
        """Rows as they were."""
        kept = [old for row in rows if (old := self.old(row)) is not None]
        return rows.part(kept, f"before: {self.words}")

    def rows_after(self, rows: Dataset) -> Dataset:
        """Rows as they are now."""
        return rows.part([self.new(row) for row in rows], f"after: {self.words}")

    def rows_with(self, rows: Dataset, labels: int) -> Dataset:
        """What there is to learn from after the change: all rows that keep their label or get it by a rule, and the
        first `labels` of those that a person has to label."""
        touched = [row for row in rows if self.touched(row)][:labels]
        chosen = {row.id for row in touched}
        kept = [self.new(row) for row in rows if row.id in chosen or not self.touched(row)]
        return rows.part(kept, f"after: {self.words}, {labels} labels")


def rule_changes(task: Task, rows: Dataset) -> list[RuleChange]:
    """One change of each kind that these rows allow: the labels in the middle of the ranking by frequency change.

    Args:
        rows: labelled; their labels decide which change.
    """
    counts = Counter(rows.outputs)
    out_of_scope = task.output.out_of_scope if isinstance(task.output, Label) else None
    ranked = [name for name, n in counts.most_common() if n >= FEWEST and name != out_of_scope]
    found = []
    if len(ranked) >= 1 and len(task.labels) >= 3:
        found.append(new_label(task, ranked[len(ranked) // 2]))
    if len(ranked) >= 2 and len(task.labels) >= 3:
        middle = len(ranked) // 2
        found.append(merged_labels(task, ranked[middle - 1], ranked[middle]))
    changed = next((one for name in ranked if (one := _changed(task, rows, name, ranked)) is not None), None)
    return [*found, changed] if changed is not None else found


def new_label(task: Task, label: str) -> RuleChange:
    """`label` comes into being: until now there were no such rows."""
    known = {name: meaning for name, meaning in task.labels.items() if name != label}
    return RuleChange(
        "new_label",
        f"the label {label} is new",
        _with_labels(task, known),
        task,
        lambda row: None if row.output == label else row,
        lambda row: row,
        lambda row: row.output == label,
    )


def merged_labels(task: Task, first: str, second: str) -> RuleChange:
    """Two labels become one: no row has to be labelled again."""
    both = f"{first}_or_{second}"
    labels = {name: meaning for name, meaning in task.labels.items() if name not in (first, second)}
    labels[both] = f"{task.labels[first]}; or: {task.labels[second]}"
    return RuleChange(
        "merged_labels",
        f"{first} and {second} become one",
        task,
        _with_labels(task, labels),
        lambda row: row,
        lambda row: replace(row, output=both) if row.output in (first, second) else row,
        lambda row: False,
    )


def _changed(task: Task, rows: Dataset, label: str, others: list[str]) -> RuleChange | None:
    """Rows of `label` that hold a certain word belong elsewhere from now on; None where no word splits them."""
    mine = [row for row in rows if row.output == label]
    words = Counter(word for row in mine for word in _words(task, row))
    low, high = (share * len(mine) for share in SPLITTING)
    splitting = [word for word, n in words.most_common() if low <= n <= high and len(word) > 2]
    target = next((name for name in others if name != label), None)
    if not splitting or target is None:
        return None
    word = splitting[0]
    labels = {
        **task.labels,
        label: f"{task.labels[label]}, unless it mentions {word!r}",
        target: f"{task.labels[target]}; or, if it mentions {word!r}: {task.labels[label]}",
    }

    def moved(row: Example) -> Example:
        return replace(row, output=target) if row.output == label and word in _words(task, row) else row

    return RuleChange(
        "changed_definition",
        f"{label} that mentions {word!r} is {target} from now on",
        task,
        _with_labels(task, labels),
        lambda row: row,
        moved,
        lambda row: row.output == label,
    )


def _words(task: Task, row: Example) -> set[str]:
    return set(re.findall(r"\w+", task.main_text(row.input).casefold()))


def _with_labels(task: Task, labels: dict[str, str]) -> Task:
    output = task.output
    out_of_scope = output.out_of_scope if isinstance(output, Label) else None
    return task.model_copy(update={"output": Label(labels=labels, out_of_scope=out_of_scope)})
