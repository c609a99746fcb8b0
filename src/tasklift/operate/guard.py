"""Guards: look at every trial again and again, and take a challenger back when a limit is broken."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from tasklift.errors import ConflictError, TaskliftError
from tasklift.operate.monitor import Audit, TrialFigures, audit_of, trial_figures
from tasklift.operate.release import Release, Releases, Route
from tasklift.task import Task
from tasklift_platform.database import Database

#: Pause between two looks, in seconds; each worker looks, and at most one of them acts.
PERIOD_S = 1.0
#: Who acted, in the history.
GUARD = "guard"

#: The highest risk that the certificate of a candidate promises; None: it has none.
RiskOf = Callable[[str], float | None]
_log = logging.getLogger(__name__)


@dataclass
class Guard:
    """Watches the trials of all tasks.

    Args:
        database: where the traffic is.
        releases: what is rolled back.
        risk_of: fingerprint -> promised risk.
        tasks: name -> task.
    """

    database: Database
    releases: Releases
    risk_of: RiskOf
    tasks: Mapping[str, Task]
    period_s: float = PERIOD_S
    _running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look in the background until `aclose`."""
        self._running = asyncio.create_task(self._run())

    async def aclose(self) -> None:
        """Stop looking."""
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self.period_s * random.uniform(0.8, 1.2))
            for task in self.tasks:
                try:
                    await self.look(task)
                except (TaskliftError, SQLAlchemyError) as error:
                    _log.warning("the guard of %s could not look: %s", task, error)

    async def look(self, task: str) -> Release | None:
        """Look once; the release that it made, None where there was no reason."""
        release = await self.releases.current(task)
        if release is None:
            return None
        for overlay, route in release.routes.items():
            reason = await self._broken(release, overlay, route)
            with contextlib.suppress(ConflictError):  # an operator, or another worker, was quicker
                if reason:
                    _log.warning("%s: the challenger is taken back: %s", task, reason)
                    return await self.releases.rollback(task, GUARD, overlay, reason, release.version)
                refuted = await self._refuted(task, route)
                if refuted:
                    _log.warning("%s: the certificate is suspended: %s", task, refuted)
                    return await self.releases.suspend(task, GUARD, overlay, refuted, release.version)
        return None

    async def _broken(self, release: Release, overlay: str, route: Route) -> str:
        """Why the challenger has to go; '' where it may stay."""
        figures = await self.trial(release, overlay, route)
        if figures is None:
            return ""
        alarms = figures.alarms(route.guards.alpha)
        return "; ".join(described(name, figures, route) for name in alarms)

    async def _refuted(self, task: str, route: Route) -> str:
        audit = await self.audit(task, route)
        if audit is None or route.suspended or audit.log_e < -math.log(route.guards.alpha):
            return ""
        return f"{audit.wrong} of {audit.audited} audited answers were wrong, {audit.risk:.0%} is promised at most"

    async def audit(self, task: str, route: Route) -> Audit | None:
        """The audit of the stable candidate; None where it has no certificate."""
        risk = self.risk_of(route.stable.candidate)
        return None if risk is None else await audit_of(self.database, self.tasks[task], route.stable.candidate, risk)

    async def trial(self, release: Release, overlay: str, route: Route) -> TrialFigures | None:
        """The figures of a trial since it began; None where nothing is on trial."""
        if route.challenger is None:
            return None
        found = await self.releases.history(release.task)
        since = next((one.at for one in found if one.version == route.challenger.version), 0.0)
        return await trial_figures(self.database, self.tasks[release.task], release, overlay, route, since)


def described(name: str, figures: TrialFigures, route: Route) -> str:
    """An alarm in words."""
    found, guards = figures.challenger, route.guards
    if name == "errors":
        return f"{found.errors} of {found.answers} answers failed, {guards.max_error_share:.0%} are allowed"
    if name == "invalid answers":
        return f"{found.invalid} of {found.answers} answers were invalid, {guards.max_invalid_share:.0%} are allowed"
    if name == "p95 latency":
        return f"{found.slow} of {found.answers} answers took longer than {guards.max_latency_s:g} s, 5% may"
    if name == "agreement":
        return (
            f"{found.wrong} of {found.labelled} labelled answers were wrong, {guards.min_agreement:.0%} must be right"
        )
    if figures.pairs is not None:
        pairs, worse, better = figures.pairs
        return f"of {pairs} labelled pairs it alone was wrong in {worse}, the stable one alone in {better}"
    stable = figures.stable
    return (
        f"{found.wrong} of its {found.labelled} labelled answers were wrong, "
        f"{stable.wrong} of {stable.labelled} of the stable one"
    )
