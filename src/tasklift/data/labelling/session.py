"""One person labelling: which row is next, what they answered, where they stand. The page and the terminal share it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasklift.data.audit.finding import text_of_row
from tasklift.data.labelling.answers import Answer, Answers
from tasklift.data.labelling.choose import choose
from tasklift.dataset import Dataset, Example
from tasklift.errors import DataError

#: Rows that are chosen together, and after so many answers again with what was learnt.
BATCH = 20
#: Every so manieth row is one that somebody else has labelled, so that agreement can be told.
OVERLAP_EVERY = 5
Embed = Callable[[Sequence[str]], Any]
Suggest = Callable[[Example], str | None]


@dataclass(frozen=True)
class Asked:
    """A row to be labelled.

    Attributes:
        row: its id.
        input: its fields.
        suggested: what the prompted option says; None: nothing is suggested.
        done, left: how many this person has labelled, and how many wait.
    """

    row: str
    input: Mapping[str, Any]
    suggested: str | None
    done: int
    left: int


class Session:
    """One person's way through the rows that carry no label.

    Args:
        data: all rows; those with an output are what is known at the start. Test rows are not chosen by a model:
            they are asked for in their own order, so that they stay a fair sample.
        labels: what may be answered.
        suggest: row -> label, or None for no suggestion.

    Raises:
        DataError: no row waits for a label.
    """

    def __init__(
        self,
        data: Dataset,
        labels: Sequence[str],
        answers: Answers,
        annotator: str,
        embed: Embed,
        suggest: Suggest = lambda row: None,
    ) -> None:
        self.labels, self.answers, self.annotator, self._suggest = tuple(labels), answers, annotator, suggest
        self._rows = {row.id: row for row in data}
        waiting = [row for row in data if row.output is None]
        if not waiting:
            raise DataError(f"{data.name}: every row carries a label; import rows without `output` to label them")
        self._fixed = [row.id for row in waiting if row.split == "test"]
        self._chosen = [row for row in data if row.split != "test"]
        self._vectors = np.asarray(embed([text_of_row(row) for row in self._chosen]))
        self._queue: list[str] = []
        self._history: list[str] = []
        self._lock = threading.RLock()

    def next(self) -> Asked | None:
        """The row to ask for; the same one until it is answered. None: nothing is left for this person."""
        with self._lock:
            if not self._queue:
                self._queue = self._refill()
            if not self._queue:
                return None
            row = self._rows[self._queue[0]]
            done, left = self._progress()
            suggested = self._suggest(row)
            return Asked(row.id, row.input, suggested if suggested in self.labels else None, done, left)

    def answer(self, row: str, label: str | None, seconds: float, suggested: str | None = None) -> None:
        """Keep an answer; None skips the row.

        Raises:
            DataError: no such row or label; nothing is kept.
        """
        if row not in self._rows or self._rows[row].output is not None:
            raise DataError(f"no row {row!r} waits for a label")
        if label is not None and label not in self.labels:
            raise DataError(f"unknown label {label!r}; the task knows {', '.join(self.labels[:8])}")
        with self._lock:
            self.answers.add(Answer(row, self.annotator, label, round(max(seconds, 0.0), 2), suggested))
            self._history.append(row)
            self._queue = [one for one in self._queue if one != row]

    def undo(self) -> str | None:
        """Take the last answer of this sitting back; its row is asked again. None: there is none."""
        with self._lock:
            if not self._history:
                return None
            row = self._history.pop()
            self.answers.add(Answer(row, self.annotator, None, 0.0))
            self._queue = [row, *(one for one in self._queue if one != row)]
            return row

    def _refill(self) -> list[str]:
        said = self.answers.current()
        mine = {row for row, by in said.items() if self.annotator in by}
        agreed = self.answers.agreed()
        known = {}
        for at, row in enumerate(self._chosen):
            label = row.output if row.output is not None else agreed.get(row.id)
            if isinstance(label, str):
                known[at] = label
        seen = known | {at: "" for at, row in enumerate(self._chosen) if row.id in said}
        fixed = [row for row in self._fixed if row not in mine][:BATCH]
        fresh = fixed or [self._chosen[at].id for at in self._informative(known, set(seen))]
        others = [row for row in said if row not in mine and any(one.label for one in said[row].values())]
        return _mixed(fresh, others, OVERLAP_EVERY)[:BATCH] or others[:BATCH]

    def _informative(self, known: dict[int, str], seen: set[int]) -> list[int]:
        left = [at for at in range(len(self._chosen)) if at not in seen]
        places = [*left, *known]
        labels = {len(left) + n: label for n, label in enumerate(known.values())}
        return [places[at] for at in choose(self._vectors[places], labels, BATCH)] if left else []

    def _progress(self) -> tuple[int, int]:
        said = self.answers.current()
        done = sum(1 for by in said.values() if self.annotator in by and by[self.annotator].label)
        waiting = sum(1 for row in self._rows.values() if row.output is None and row.id not in said)
        return done, waiting


def _mixed(fresh: Sequence[str], others: Sequence[str], every: int) -> list[str]:
    """Every so manieth of the rows is one of the others."""
    out, again = [], list(others)
    for place, row in enumerate(fresh):
        if again and place % every == 0:
            out.append(again.pop(0))
        out.append(row)
    return out
