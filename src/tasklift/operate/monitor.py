"""Figures of what is in production: failures, latency, agreement with labels, and whether the challenger is worse.

All tests may be looked at after every answer: they are e-processes, and alarm at 1 / alpha.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sqlalchemy import Select, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tasklift.operate.answers import are_right, is_same
from tasklift.operate.release import Guards, Release, Route
from tasklift.operate.tables import feedback, reviews, traces
from tasklift.stats.eprocess import log_e_paired, log_e_two_streams
from tasklift.stats.rates import log_e_above
from tasklift.task import Task
from tasklift_platform.database import Database

#: Failures that are the caller's own.
NOT_OURS = ("empty_input",)
INVALID = "invalid_output"
#: Share of slow answers that a limit on p95 allows.
SLOW_SHARE = 0.05
#: Latest answers from which p95 is read.
LATENCIES = 1000
#: Largest block of the stable stream that stands against one answer of the canary.
MOST_IN_BLOCK = 20


@dataclass(frozen=True, slots=True)
class ArmFigures:
    """What one arm did since the trial began.

    Attributes:
        answers: rows, those that failed too.
        errors, invalid, slow, deferred: of these.
        p95_s: of the latest rows; None without any.
        labelled: answered rows with a label; `wrong` of these, by the task's rule.
    """

    answers: int = 0
    errors: int = 0
    invalid: int = 0
    slow: int = 0
    deferred: int = 0
    p95_s: float | None = None
    labelled: int = 0
    wrong: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class TrialFigures:
    """A trial as it stands.

    Attributes:
        stable, challenger: figures of both.
        log_e: name of a test -> its log e-value; an alarm from `-log(alpha)` on.
        pairs: of a shadow: labelled pairs, pairs where the challenger alone was wrong, where the stable alone was.
        agreement: of a shadow: share of pairs with the same answer, label or not; None without any.
    """

    stable: ArmFigures
    challenger: ArmFigures
    log_e: Mapping[str, float]
    pairs: tuple[int, int, int] | None = None
    agreement: float | None = None

    def alarms(self, alpha: float) -> list[str]:
        """Names of the tests that have seen enough."""
        return [name for name, value in self.log_e.items() if value >= -math.log(alpha)]

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Audit:
    """The certificate of a layered candidate under test: audited rows that it had accepted.

    Attributes:
        risk: what the certificate promises at most.
        audited, wrong: rows that a person looked at.
        log_e: evidence that the risk is larger.
    """

    risk: float
    audited: int
    wrong: int
    log_e: float


async def trial_figures(
    database: Database, task: Task, release: Release, overlay: str, route: Route, since: float
) -> TrialFigures | None:
    """The figures of a challenger and of what it stands against, since its trial began; None without a challenger.

    The challenger's answers are told by the release that brought it, not by a clock: one that is set back must not
    blind the guard.

    Args:
        since: Unix seconds when the trial began.
    """
    if route.challenger is None:
        return None
    limit_s = route.guards.max_latency_s
    name = "shadow" if route.shadow else "canary"
    async with database.read() as connection:
        base = select(traces).where(traces.c.task == release.task)
        if overlay:
            base = base.where(traces.c.overlay == overlay)
        other = base.where(traces.c.arm == name, traces.c.release == route.challenger.version)
        first = (await connection.execute(select(func.min(other.subquery().c.at)))).scalar_one()
        since = since if first is None else min(since, first)
        stable = base.where(
            traces.c.arm == "stable", traces.c.candidate == route.stable.candidate, traces.c.at >= since
        )
        counted = [await _counted(connection, query, limit_s) for query in (stable, other)]
        labels = await _labels(connection, release.task, since)
        if route.shadow:
            return await _shadow_figures(connection, task, other, counted, labels, route.guards)
        streams = [await _rights(connection, task, query, labels) for query in (stable, other)]
    figures = [_with_labels(found, rights) for found, rights in zip(counted, streams, strict=True)]
    log_e = _limits(figures[1], route.guards)
    log_e["labelled agreement"] = _two_streams(streams[0], streams[1], route.share)
    return TrialFigures(figures[0], figures[1], log_e)


async def audit_of(database: Database, task: Task, candidate: str, risk: float) -> Audit:
    """The audit of a candidate's accepted rows; wrong is what the task's rule says, as in the certificate.

    Only random audits count: people look at unsure rows for a reason.
    """
    accepted = (
        select(traces.c.output, reviews.c.answer)
        .join(traces, traces.c.id == reviews.c.trace)
        .where(reviews.c.task == task.name, reviews.c.reason == "audit", reviews.c.answer.is_not(None))
        .where(traces.c.candidate == candidate, traces.c.output.is_not(None))
    )
    async with database.read() as connection:
        rows = [(said, wanted) for said, wanted in (await connection.execute(accepted)).all()]
    wrong = len(rows) - sum(_right(task, rows))
    return Audit(risk, len(rows), wrong, float(log_e_above(wrong, len(rows), risk)))


async def _counted(connection: AsyncConnection, base: Select[Any], limit_s: float | None) -> ArmFigures:
    rows = base.subquery()

    def count(condition: Any) -> Any:
        return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)

    ours = rows.c.error.is_not(None) & rows.c.error.not_in(NOT_OURS)
    query = select(
        func.count(),
        count(ours),
        count(rows.c.error == INVALID),
        count(rows.c.latency_s > limit_s) if limit_s is not None else func.coalesce(func.sum(0), 0),
        count(rows.c.deferred),
    ).select_from(rows)
    figures = (await connection.execute(query)).one()
    latest = select(rows.c.latency_s).order_by(rows.c.at.desc()).limit(LATENCIES)
    latencies = (await connection.execute(latest)).scalars().all()
    p95_s = float(np.quantile(latencies, 0.95)) if latencies else None
    answers, errors, invalid, slow, deferred = (int(value) for value in figures)
    return ArmFigures(answers, errors, invalid, slow, deferred, p95_s)


async def _labels(connection: AsyncConnection, task: str, since: float) -> dict[str, str]:
    """Trace -> the right answer: a person's, else the latest that a caller gave."""
    said = select(feedback.c.trace, feedback.c.label).where(feedback.c.task == task, feedback.c.at >= since)
    said = said.where(feedback.c.label.is_not(None)).order_by(feedback.c.at)
    asked = select(reviews.c.trace, reviews.c.answer).where(reviews.c.task == task, reviews.c.at >= since)
    asked = asked.where(reviews.c.answer.is_not(None))
    found: dict[str, str] = {}
    for query in (said, asked):
        found.update({trace: str(label) for trace, label in (await connection.execute(query)).all()})
    return found


async def _rights(connection: AsyncConnection, task: Task, base: Select[Any], labels: Mapping[str, str]) -> list[bool]:
    """Of labelled answers, in time: was it right?"""
    rows = base.where(traces.c.output.is_not(None)).subquery()
    query = select(rows.c.id, rows.c.output).order_by(rows.c.at)
    if not labels:
        return []
    found = (await connection.execute(query)).all()
    return _right(task, [(output, labels[trace]) for trace, output in found if trace in labels])


def _right(task: Task, rows: Sequence[tuple[str, str]]) -> list[bool]:
    """Of what was said and what a person said: was it right?"""
    return are_right(task, [said for said, _ in rows], [wanted for _, wanted in rows])


async def _shadow_figures(
    connection: AsyncConnection,
    task: Task,
    base: Select[Any],
    counted: Sequence[ArmFigures],
    labels: Mapping[str, str],
    guards: Guards,
) -> TrialFigures:
    shadow, stable = base.subquery(), traces.alias()
    both = select(shadow.c.pair, shadow.c.output, stable.c.output).join(stable, stable.c.id == shadow.c.pair)
    both = both.where(shadow.c.output.is_not(None), stable.c.output.is_not(None))
    rows = (await connection.execute(both)).all()
    labelled = [(theirs, ours, labels[pair]) for pair, theirs, ours in rows if pair in labels]
    right = _right(task, [(ours, wanted) for _, ours, wanted in labelled])
    right_too = _right(task, [(theirs, wanted) for theirs, _, wanted in labelled])
    worse = sum(ours and not theirs for ours, theirs in zip(right, right_too, strict=True))
    better = sum(theirs and not ours for ours, theirs in zip(right, right_too, strict=True))
    figures = [_with_labels(counted[0], right), _with_labels(counted[1], right_too)]
    log_e = _limits(figures[1], guards)
    log_e["labelled agreement"] = float(log_e_paired(worse, worse + better, "more"))
    agreement = sum(is_same(task, theirs, ours) for _, theirs, ours in rows) / len(rows) if rows else None
    return TrialFigures(figures[0], figures[1], log_e, (len(labelled), worse, better), agreement)


def _with_labels(figures: ArmFigures, rights: Sequence[bool]) -> ArmFigures:
    return ArmFigures(**{**asdict(figures), "labelled": len(rights), "wrong": len(rights) - sum(rights)})


def _limits(found: ArmFigures, guards: Guards) -> dict[str, float]:
    """Evidence that each limit is broken."""
    limits = {
        "errors": (found.errors, found.answers, guards.max_error_share),
        "invalid answers": (found.invalid, found.answers, guards.max_invalid_share),
        "p95 latency": (found.slow, found.answers, SLOW_SHARE if guards.max_latency_s is not None else None),
        "agreement": (found.wrong, found.labelled, None if guards.min_agreement is None else 1 - guards.min_agreement),
    }
    return {name: float(log_e_above(k, n, share)) for name, (k, n, share) in limits.items() if share is not None}


def _two_streams(stable: Sequence[bool], canary: Sequence[bool], share: float) -> float:
    """Evidence that the canary is wrong more often than the stable candidate: labelled answers in blocks, as
    traffic is split; what fills no block waits."""
    size = min(MOST_IN_BLOCK, max(1, round((1 - share) / share)))
    blocks = min(len(stable) // size, len(canary))
    if blocks == 0:
        return 0.0
    wrong = [size - sum(stable[at * size : (at + 1) * size]) for at in range(blocks)]
    found = log_e_two_streams(wrong, [int(not right) for right in canary[:blocks]], (size, 1), "more")
    return float(found[-1])
