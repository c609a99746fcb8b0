"""What is in production, how it does, and what waits for people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasklift.errors import ArtifactError
from tasklift.operate.guard import Guard
from tasklift.operate.load import promised_risk
from tasklift.operate.monitor import Audit, TrialFigures
from tasklift.operate.release import Release, Releases
from tasklift.operate.review import counts
from tasklift.operate.traffic import lost_traces
from tasklift.strategies.artifact import read_card
from tasklift.task import Task
from tasklift_platform.database import Database


@dataclass(frozen=True, slots=True)
class Status:
    """One task in production.

    Attributes:
        release: the newest; None before the first.
        trials: overlay -> figures of its trial.
        audits: overlay -> audit of its certificate.
        certificates: overlay -> certificate, as it was issued.
        reviews: open, answered; and labels that callers gave.
        lost: traces that were ever lost, of all tasks.
    """

    task: str
    release: Release | None
    trials: Mapping[str, TrialFigures]
    audits: Mapping[str, Audit]
    certificates: Mapping[str, Mapping[str, Any]]
    reviews: Mapping[str, int]
    lost: int

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return {
            "task": self.task,
            "release": None if self.release is None else self.release.to_json(),
            "trials": {name: figures.to_json() for name, figures in self.trials.items()},
            "certificates": {name: dict(one) for name, one in self.certificates.items()},
            "audits": {name: asdict(audit) for name, audit in self.audits.items()},
            "reviews": dict(self.reviews),
            "traces_lost": self.lost,
        }


async def status_of(database: Database, state: Path, task: Task) -> Status:
    """How a task stands."""

    def risk_of(fingerprint: str) -> float | None:
        try:
            return promised_risk(state, fingerprint)
        except ArtifactError:  # gone: the workers that have it in memory go on
            return None

    releases = Releases(database, lambda _: None)
    guard = Guard(database, releases, risk_of, {task.name: task})
    release = await releases.current(task.name)
    trials, audits, certificates = {}, {}, {}
    for overlay, route in release.routes.items() if release else ():
        if release and (figures := await guard.trial(release, overlay, route)):
            trials[overlay] = figures
        audit = await guard.audit(task.name, route)
        if audit is not None:
            audits[overlay] = audit
            certificates[overlay] = read_card(state / "artifacts" / route.stable.candidate).notes["certificate"]
    waiting = await counts(database, task.name)
    return Status(task.name, release, trials, audits, certificates, waiting, await lost_traces(database))


def trial_lines(figures: TrialFigures, alpha: float) -> list[str]:
    """A trial for a reader."""
    lines = []
    for name, found in (("stable", figures.stable), ("challenger", figures.challenger)):
        p95 = "-" if found.p95_s is None else f"{1000 * found.p95_s:.0f} ms"
        right = (
            "no label yet"
            if not found.labelled
            else f"{found.labelled - found.wrong} of {found.labelled} labelled right"
        )
        lines.append(
            f"{name:11} {found.answers} answers, {found.errors} failed, {found.deferred} deferred, p95 {p95}, {right}"
        )
    if figures.agreement is not None:
        lines.append(f"same answer in {figures.agreement:.0%} of the pairs")
    for test, log_e in figures.log_e.items():
        lines.append(
            f"evidence against the challenger, {test}: {math.exp(min(log_e, 700)):.3g} (alarm at {1 / alpha:g})"
        )
    return lines


def certificate_line(certificate: Mapping[str, Any], audit: Audit, suspended: str) -> str:
    """A certificate for a reader."""
    sure = 1 - certificate["delta"]
    promise = f"risk <= {certificate['alpha']:.0%} with probability {sure:.0%}, from {certificate['n']} rows"
    seen = f"audit: {audit.wrong} of {audit.audited} wrong"
    if suspended:
        return (
            f"certificate SUSPENDED ({suspended}): every answer is left to people until another candidate is released"
        )
    return f"certificate {promise}; {seen}"
