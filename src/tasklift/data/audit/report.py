"""All checks of a set together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tasklift.data.audit.balance import balance, counts_of
from tasklift.data.audit.duplicates import Alike, alike, duplicates
from tasklift.data.audit.finding import Finding
from tasklift.data.audit.label_errors import Embed, Judged, judge_labels, label_findings
from tasklift.data.audit.language import languages_of, length_and_language, lengths_of
from tasklift.data.audit.leakage import leakage
from tasklift.data.audit.pii import personal_data
from tasklift.data.audit.policy import DataPolicy
from tasklift.data.audit.provenance import provenance, sources_of
from tasklift.dataset import Dataset, Example
from tasklift.task import Label, Number, Task

_ORDER = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True)
class Audit:
    """What is known about a set.

    Attributes:
        rows: how many.
        content_hash: of the set.
        labels: answer -> rows.
        splits: split -> rows.
        lengths: words a text, at some quantiles.
        languages: code -> rows.
        sources: source -> rows.
        findings: the worst first.
        alike: groups of equal and nearly equal rows.
        judged: cross-validated labels; None where they were not asked for, or the output is no single label.
    """

    rows: int
    content_hash: str
    labels: dict[str, int]
    splits: dict[str, int]
    lengths: dict[str, float]
    languages: dict[str, int]
    sources: dict[str, int]
    findings: tuple[Finding, ...]
    alike: Alike
    judged: Judged | None = None

    def has(self, severity: str) -> bool:
        """Is there a finding of that severity?"""
        return any(one.severity == severity for one in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Plain fields, without the places of single rows that findings name by id."""
        names = ("rows", "content_hash", "labels", "splits", "lengths", "languages", "sources")
        return {name: getattr(self, name) for name in names} | {
            "findings": [one.to_json() for one in self.findings],
            "unjudged": list(self.judged.unjudged) if self.judged else None,
        }


def audit(
    data: Dataset,
    task: Task,
    policy: DataPolicy | None = None,
    embed: Embed | None = None,
    today: datetime | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Audit:
    """Run every check.

    Args:
        embed: texts to vectors, for likely label errors; None: they are not looked for.
        today: for retention; None: now.
        report: told before each check that takes a while.

    Raises:
        DataError: a time that retention depends on is not ISO 8601.
    """
    policy, rows = policy or DataPolicy(), data.examples
    known = task.output.labels if isinstance(task.output, Label) else None
    report(f"comparing {len(rows)} texts")
    found = alike(rows)
    languages = languages_of(rows)
    findings = [
        *balance(rows, known),
        *duplicates(rows, found, _tolerance(task)),
        *leakage(rows, found),
        *length_and_language(rows, languages),
        *personal_data(rows, policy),
        *provenance(rows, policy, today or datetime.now(UTC)),
    ]
    judged = None
    if embed is not None and known is not None:
        report("cross-validating labels")
        judged = judge_labels(rows, embed)
        findings += label_findings(judged)
    return Audit(
        len(rows),
        data.content_hash,
        counts_of(rows),
        _splits(rows),
        lengths_of(rows),
        dict(Counter(languages).most_common()),
        sources_of(rows),
        tuple(sorted(findings, key=lambda one: _ORDER[one.severity])),
        found,
        judged,
    )


def _tolerance(task: Task) -> float:
    return task.output.tolerance(task.right.within) if isinstance(task.output, Number) else 0.0


def _splits(rows: Sequence[Example]) -> dict[str, int]:
    return dict(Counter(row.split or "(none)" for row in rows).most_common())
