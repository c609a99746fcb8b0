"""What every check returns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tasklift.dataset import Example

#: `error`: figures would be wrong or nothing can be trained; `warning`: somebody should look; `note`: good to know.
Severity = Literal["error", "warning", "note"]
#: Ids that a message names; all of them stand in `Finding.rows`.
NAMED = 5


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    Attributes:
        check: name of the check.
        severity: how bad it is.
        message: what is wrong, with figures.
        remedy: what to do about it; "" where nothing has to be done.
        rows: ids of the rows it is about, the worst first.
        detail: figures and, for single rows, reasons.
    """

    check: str
    severity: Severity
    message: str
    remedy: str = ""
    rows: tuple[str, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return {
            "check": self.check,
            "severity": self.severity,
            "message": self.message,
            "remedy": self.remedy,
            "rows": list(self.rows),
            "detail": dict(self.detail),
        }


def text_of_row(row: Example) -> str:
    """The text fields of a row, joined in the order of their names."""
    return "\n".join(str(row.input[name]) for name in sorted(row.input) if isinstance(row.input[name], str))


def label_of(row: Example) -> str:
    """The expected output as one word or as JSON; "" where there is none."""
    if row.output is None:
        return ""
    return row.output if isinstance(row.output, str) else json.dumps(row.output, sort_keys=True, ensure_ascii=False)


def named(ids: Sequence[str]) -> str:
    """The first few ids, for a message."""
    return ", ".join(ids[:NAMED]) + (", ..." if len(ids) > NAMED else "")
