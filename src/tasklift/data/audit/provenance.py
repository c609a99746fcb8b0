"""Where rows come from, under which licence, and which of them are kept too long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from tasklift.data.audit.finding import Finding, named
from tasklift.data.audit.policy import DataPolicy
from tasklift.data.split import moment_of
from tasklift.dataset import Example

CHECK = "provenance"
NOWHERE = "(none)"


def sources_of(rows: Sequence[Example]) -> dict[str, int]:
    """Source -> rows, the largest first."""
    return dict(Counter(row.source or NOWHERE for row in rows).most_common())


def provenance(rows: Sequence[Example], policy: DataPolicy, today: datetime) -> list[Finding]:
    """Rows without a source, sources without a licence or without leave to be used, rows past their time."""
    findings = []
    without = tuple(row.id for row in rows if not row.source)
    if without:
        findings.append(
            Finding(
                CHECK,
                "warning" if len(without) < len(rows) else "note",
                f"{len(without)} rows do not say where they come from ({named(without)})",
                "map a column to `source` when you import, and describe it in data.toml under [sources]",
                without,
            )
        )
    unknown = tuple(name for name in sources_of(rows) if name != NOWHERE and name not in policy.sources)
    if unknown:
        findings.append(
            Finding(
                CHECK,
                "warning",
                f"{len(unknown)} sources have no licence in data.toml ({named(unknown)})",
                "add [sources.NAME] with `licence`",
                tuple(row.id for row in rows if row.source in unknown),
                {"sources": list(unknown)},
            )
        )
    barred = [name for name, source in policy.sources.items() if not source.commercial]
    held = tuple(row.id for row in rows if row.source in barred)
    if held:
        findings.append(
            Finding(
                CHECK,
                "error",
                f"{len(held)} rows come from sources that no product may be trained on ({named(sorted(barred))})",
                "take them out, or measure with them only",
                held,
            )
        )
    findings += _expired(rows, policy, today)
    return findings


def expired_places(rows: Sequence[Example], policy: DataPolicy, today: datetime) -> list[int]:
    """Places of rows whose time is longer ago than their source allows.

    Raises:
        DataError: a row of such a source has a time that is not ISO 8601.
    """
    limits = {name: s.retention_days for name, s in policy.sources.items() if s.retention_days is not None}
    now = today if today.tzinfo else today.replace(tzinfo=UTC)
    return [
        at
        for at, row in enumerate(rows)
        if row.source in limits and row.time and moment_of(row) < now - timedelta(days=float(limits[row.source]))
    ]


def _expired(rows: Sequence[Example], policy: DataPolicy, today: datetime) -> list[Finding]:
    limited = [name for name, source in policy.sources.items() if source.retention_days is not None]
    old = tuple(rows[at].id for at in expired_places(rows, policy, today))
    untimed = tuple(row.id for row in rows if row.source in limited and not row.time)
    findings = []
    if old:
        findings.append(
            Finding(
                CHECK,
                "error",
                f"{len(old)} rows are older than their source allows ({named(old)})",
                "`tasklift data clean` takes them out; `tasklift data erase` also from earlier versions",
                old,
            )
        )
    if untimed:
        findings.append(
            Finding(
                CHECK,
                "warning",
                f"{len(untimed)} rows of a source with a time limit have no `time` ({named(untimed)})",
                "map a column to `time` when you import",
                untimed,
            )
        )
    return findings
