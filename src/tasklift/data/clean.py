"""Cleaning a set by what its audit found: every row that is removed or changed is named with its reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from tasklift.data.audit.duplicates import majority_answer
from tasklift.data.audit.finding import label_of
from tasklift.data.audit.leakage import leaking_places
from tasklift.data.audit.pii import has_to_go, redacted_row
from tasklift.data.audit.policy import DataPolicy
from tasklift.data.audit.provenance import expired_places
from tasklift.data.audit.report import Audit
from tasklift.data.versions import Change
from tasklift.dataset import Dataset, Example

_Remove = Callable[[int, str], None]


@dataclass(frozen=True)
class Rules:
    """What is done beyond what makes no figure worse.

    Attributes:
        labels: rows whose label is likely wrong: `keep`, `remove`, or `relabel` with what the models suggest.
        near: of near-duplicates in one split, keep only the first.
        unlabelled: take out rows without an answer.
    """

    labels: Literal["keep", "remove", "relabel"] = "keep"
    near: bool = False
    unlabelled: bool = False


def clean(
    data: Dataset, found: Audit, policy: DataPolicy, rules: Rules, today: datetime | None = None
) -> tuple[Dataset, list[Change]]:
    """The cleaned rows and what was done to each that is gone or different.

    Always: one of equal texts is kept, with the answer that most of them give; training rows that repeat (nearly) a
    row of another split go; rows past their retention go; personal data is handled as the policy says. The first
    reason to remove a row is the one that is named.
    """
    rows = data.examples
    gone = _gone(rows, found, policy, rules, today or datetime.now(UTC))
    suggested = (
        {one.row: one.suggested for one in found.judged.suspects}
        if found.judged is not None and rules.labels == "relabel"
        else {}
    )
    changes, kept = [], []
    for at, row in enumerate(rows):
        if at in gone:
            changes.append(Change(row.id, "removed", gone[at], row.to_json()))
            continue
        fresh, why = redacted_row(row, policy), []
        if fresh is not row:
            why.append("personal data: redacted by data.toml")
        if row.id in suggested:
            fresh = replace(fresh, output=suggested[row.id])
            why.append(f"label errors: {row.output!r} became {suggested[row.id]!r}")
        if why:
            changes.append(Change(row.id, "changed", "; ".join(why), row.to_json(), fresh.to_json()))
        kept.append(fresh)
    return data.part(kept, f"cleaned: {len(changes)} rows removed or changed"), changes


def _gone(rows: Sequence[Example], found: Audit, policy: DataPolicy, rules: Rules, today: datetime) -> dict[int, str]:
    """Place -> why the row goes; the first reason stays."""
    gone: dict[int, str] = {}

    def remove(at: int, why: str) -> None:
        gone.setdefault(at, why)

    for at in expired_places(rows, policy, today):
        remove(at, f"retention: older than {policy.sources[str(rows[at].source)].retention_days} days")
    for at, row in enumerate(rows):
        if kinds := has_to_go(row, policy):
            remove(at, f"personal data: {', '.join(kinds)}, which data.toml removes")
    for at in leaking_places(rows, found.alike.near):
        remove(at, "leakage: the text stands, or nearly stands, in another split")
    for group in found.alike.exact:
        _keep_one(rows, [at for at in group if at not in gone], remove)
    if rules.near:
        _keep_first_of_near(rows, found, gone, remove)
    if rules.labels == "remove" and found.judged is not None:
        reasons = {one.row: one.reason() for one in found.judged.suspects}
        for at, row in enumerate(rows):
            if row.id in reasons:
                remove(at, f"label errors: {reasons[row.id]}")
    if rules.unlabelled:
        for at, row in enumerate(rows):
            if row.output is None:
                remove(at, "unlabelled: no answer")
    return gone


def _keep_one(rows: Sequence[Example], group: Sequence[int], remove: _Remove) -> None:
    """Of equal texts the first with the commonest answer; on a tie none, since nobody knows which is right."""
    if len(group) < 2:
        return
    labelled = [at for at in group if rows[at].output is not None]
    if not labelled:
        for at in group[1:]:
            remove(at, f"duplicates: repeats the text of {rows[group[0]].id}")
        return
    answer = majority_answer(rows, labelled)
    if answer is None:
        for at in group:
            remove(at, "duplicates: equal texts carry different answers, as often one as the other")
        return
    stays = next(at for at in labelled if label_of(rows[at]) == answer)
    for at in group:
        if at != stays:
            remove(at, f"duplicates: repeats the text of {rows[stays].id}")


def _keep_first_of_near(rows: Sequence[Example], found: Audit, gone: dict[int, str], remove: _Remove) -> None:
    """Of near-duplicates with one answer in one split the first; different answers are for people to look at."""
    for group in found.alike.near:
        first: dict[tuple[str | None, str], int] = {}
        for at in group:
            if at in gone:
                continue
            key = (rows[at].split, label_of(rows[at]))
            if key in first:
                remove(at, f"duplicates: nearly repeats the text of {rows[first[key]].id}")
            first.setdefault(key, at)
