"""What a task's `data.toml` says: what happens to personal data, and where rows come from."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from tasklift.data.audit.pii_kinds import DETECTORS
from tasklift.schema import Schema, parse, read_toml

#: keep: count only. redact: put the kind in its place. remove: take the row out.
Handling = Literal["keep", "redact", "remove"]


class Source(Schema):
    """Where rows come from, by the `source` of a row.

    Attributes:
        licence: SPDX name, or words such as "internal" or "customers' consent, 2026".
        url: where they were found.
        commercial: may a product be trained on them?
        personal: do they come from people, so that erasing has to reach them?
        retention_days: days after a row's `time` until it has to go; None: no limit.
        notes: anything else that a reader should know.
    """

    licence: str = Field(min_length=1)
    url: str = ""
    commercial: bool = True
    personal: bool = False
    retention_days: int | None = Field(default=None, gt=0)
    notes: str = ""


class DataPolicy(Schema):
    """`tasks/<name>/data.toml`.

    Attributes:
        pii: kind of personal data -> what `data clean` does with it; kinds that are not named are kept.
        sources: name, as in the `source` of rows -> what is known about it.
        notes: what the set is for and how it was collected, for the datasheet.
    """

    schema_version: Literal[1] = 1
    pii: dict[str, Handling] = Field(default_factory=dict)
    sources: dict[str, Source] = Field(default_factory=dict)
    notes: str = ""

    @field_validator("pii")
    @classmethod
    def _known_kinds(cls, pii: dict[str, Handling]) -> dict[str, Handling]:
        for kind in pii:
            if kind not in DETECTORS:
                raise ValueError(f"no kind of personal data is called {kind!r}; there are {', '.join(DETECTORS)}")
        return pii


def read_policy(task_folder: Path) -> DataPolicy:
    """The policy beside task.toml; an empty one where there is none.

    Raises:
        ConfigError: the file says something impossible.
    """
    path = task_folder / "data.toml"
    return parse(DataPolicy, read_toml(path), str(path)) if path.exists() else DataPolicy()
