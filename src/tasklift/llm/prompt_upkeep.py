"""Signs that a prompt is getting hard to maintain: how often it is changed, and how long it grows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tasklift.llm.prompt_versions import Prompts, Version

_DAY_S = 86400.0
#: A history shorter than this says nothing about a year.
LEAST_DAYS = 30.0
#: Notes of versions that no person made for a changed rule begin so.
NOT_BY_HAND = "optimised"
#: A prompt that is changed more often a month, is longer, or has grown by this factor, is called hard to maintain.
MOST_A_MONTH, MOST_CHARS, MOST_GROWTH = 4.0, 6000, 2.0


@dataclass(frozen=True)
class Edits:
    """How all prompts of a task changed.

    Attributes:
        count: versions beyond the first of each prompt, by hand.
        days: since the first version.
        chars: of the longest prompt now.
        first_chars: of the same when it was first kept.
    """

    count: int
    days: float
    chars: int
    first_chars: int

    @property
    def per_year(self) -> float | None:
        """Changes a year; None where the history is too short to tell."""
        return self.count / self.days * 365 if self.days >= LEAST_DAYS else None

    def signs(self) -> list[str]:
        """What makes it hard to maintain; empty where nothing does."""
        found = []
        a_month = self.count / max(self.days, LEAST_DAYS) * 30
        if a_month > MOST_A_MONTH:
            found.append(f"changed {a_month:.1f} times a month")
        if self.chars > MOST_CHARS:
            found.append(f"{self.chars} characters long")
        if self.chars > MOST_GROWTH * self.first_chars:
            found.append(f"{self.chars / self.first_chars:.1f} times as long as when it was begun")
        return found

    def line(self) -> str:
        """For a reader."""
        return f"counted: {self.count} changes of prompts in {self.days:.0f} days"

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return asdict(self) | {"per_year": self.per_year, "signs": self.signs()}


def edits_of(prompts: Prompts, now: float | None = None) -> Edits | None:
    """What the kept versions of a task tell; None where there are none."""
    by_name = {name: by_hand(prompts.versions(name)) for name in prompts.names()}
    histories = [versions for versions in by_name.values() if versions]
    if not histories:
        return None
    longest = max(histories, key=lambda versions: len(versions[0].prompt.to_file()))
    first = min(versions[-1].at for versions in histories)
    return Edits(
        sum(len(versions) - 1 for versions in histories),
        ((time.time() if now is None else now) - first) / _DAY_S,
        len(longest[0].prompt.to_file()),
        len(longest[-1].prompt.to_file()),
    )


def by_hand(versions: Sequence[Version]) -> list[Version]:
    """Those that a person wrote, newest first."""
    return [one for one in versions if not one.note.startswith(NOT_BY_HAND)]
