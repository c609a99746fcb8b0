"""What people answered: one line an answer, forced to the disk before the next row is asked for."""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

from tasklift.errors import DataError

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Answer:
    """One answer of one person.

    Attributes:
        row: id of the row.
        annotator: who answered.
        label: what they said; None: skipped, or taken back.
        seconds: from showing the row to the answer.
        suggested: what was suggested, and shown as a suggestion; None: nothing was.
        at: when, local time.
    """

    row: str
    annotator: str
    label: str | None
    seconds: float
    suggested: str | None = None
    at: str = ""


class Answers:
    """The answers of one task. Lines are only appended; the later answer of a person to a row counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._all = self._read()

    def add(self, answer: Answer) -> None:
        """Keep an answer; when this returns, a kill or a power cut loses it no more.

        Raises:
            DataError: the disk refused.
        """
        stamped = Answer(**{**asdict(answer), "at": answer.at or time.strftime("%Y-%m-%dT%H:%M:%S")})
        line = json.dumps({"schema_version": SCHEMA_VERSION, **asdict(stamped)}, ensure_ascii=False) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            torn = self.path.exists() and not self.path.read_bytes().endswith(b"\n") and self.path.stat().st_size > 0
            with self.path.open("a", encoding="utf-8") as out:
                out.write(("\n" if torn else "") + line)
                out.flush()
                os.fsync(out.fileno())
        except OSError as error:
            raise DataError(f"{self.path}: cannot be written ({error.strerror or error}); free some space") from error
        self._all.append(stamped)

    def current(self) -> dict[str, dict[str, Answer]]:
        """Row -> annotator -> their last answer, skips included."""
        found: dict[str, dict[str, Answer]] = defaultdict(dict)
        for answer in self._all:
            found[answer.row][answer.annotator] = answer
        return dict(found)

    def agreed(self) -> dict[str, str]:
        """Row -> label, of rows on which all who answered agree."""
        said = {row: {one.label for one in by.values() if one.label} for row, by in self.current().items()}
        return {row: next(iter(labels)) for row, labels in said.items() if len(labels) == 1 and None not in labels}

    def torn(self) -> dict[str, dict[str, str]]:
        """Row -> annotator -> label, of rows on which people differ."""
        found = {}
        for row, by in self.current().items():
            labels = {name: one.label for name, one in by.items() if one.label}
            if len(set(labels.values())) > 1:
                found[row] = labels
        return found

    def doubly(self) -> list[tuple[str, str]]:
        """Labels of the first two people who labelled a row, for each row that two labelled, in their order."""
        pairs = []
        for by in self.current().values():
            labels = [one.label for _, one in sorted(by.items()) if one.label]
            if len(labels) > 1:
                pairs.append((labels[0], labels[1]))
        return pairs

    def seconds(self) -> dict[str, list[float]]:
        """Annotator -> seconds of each of their answers that stands."""
        found: dict[str, list[float]] = defaultdict(list)
        for by in self.current().values():
            for name, one in by.items():
                if one.label:
                    found[name].append(one.seconds)
        return dict(found)

    def suggestions(self) -> tuple[int, int]:
        """How many answers had a suggestion, and how many took it."""
        shown = [one for by in self.current().values() for one in by.values() if one.label and one.suggested]
        return len(shown), sum(one.label == one.suggested for one in shown)

    def __len__(self) -> int:
        return sum(1 for by in self.current().values() for one in by.values() if one.label)

    def _read(self) -> list[Answer]:
        """Every whole line; one that a crash cut short is left out, and its row asked again."""
        found = []
        for line in self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else ():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if row.pop("schema_version", None) != SCHEMA_VERSION:
                raise DataError(f"{self.path}: written by another version; this one reads {SCHEMA_VERSION}")
            found.append(Answer(**row))
        return found
