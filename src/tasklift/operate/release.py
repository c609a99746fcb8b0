"""Releases: which candidate answers a task, as a history that is only ever appended to.

Each row holds the whole state after it. Two operators at once both try to write the same version; the
database lets one of them, the other gets a `ConflictError`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from tasklift.errors import ConflictError, ReleaseError
from tasklift.operate.tables import releases
from tasklift_platform import audit
from tasklift_platform.database import Database
from tasklift_platform.watch import bump

#: The counter that workers watch.
REVISION = "releases"
#: The overlay that stands for every request without a release of its own.
ALL = ""
#: Makes sure, before a release, that a candidate can be loaded; raises a `TaskliftError` where it cannot.
Check = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Arm:
    """One candidate in production.

    Attributes:
        candidate: its fingerprint.
        name: its strategy, for readers.
        decision: id of the decision behind it; None where there was none.
        version: the release that brought it.
    """

    candidate: str
    name: str
    decision: str | None = None
    version: int = 0


@dataclass(frozen=True, slots=True)
class Guards:
    """Limits under which the challenger stays; None: not looked at.

    Attributes:
        max_error_share: highest tolerated share of failed answers.
        max_invalid_share: highest tolerated share of answers that are none of the allowed ones.
        max_latency_s: at most 5% of answers may take longer (a limit on p95).
        min_agreement: lowest tolerated share of answers that a label confirms.
        alpha: probability that a guard trips although the limit holds.
    """

    max_error_share: float | None = 0.05
    max_invalid_share: float | None = 0.02
    max_latency_s: float | None = None
    min_agreement: float | None = None
    alpha: float = 0.05

    def __post_init__(self) -> None:
        for name in ("max_error_share", "max_invalid_share", "min_agreement", "alpha"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise ReleaseError(f"guard {name}={value} must lie between 0 and 1")
        if self.max_latency_s is not None and self.max_latency_s <= 0:
            raise ReleaseError(f"guard max_latency_s={self.max_latency_s} must be positive")


@dataclass(frozen=True, slots=True)
class Route:
    """Who answers the requests of one overlay.

    Attributes:
        stable: answers, unless the challenger does.
        challenger: on trial: answers `share` of the callers, or all of them unseen (`shadow`).
        share: 0 to 1.
        shadow: the challenger's answers are kept and compared, never sent.
        guards: limits of the trial.
        suspended: why the certificate of the stable candidate no longer holds; '': it does. Until another candidate
            comes, all answers are left to people.
    """

    stable: Arm
    challenger: Arm | None = None
    share: float = 0.0
    shadow: bool = False
    guards: Guards = field(default_factory=Guards)
    suspended: str = ""

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """The inverse of `asdict`."""
        challenger = Arm(**row["challenger"]) if row["challenger"] else None
        rest = {"stable": Arm(**row["stable"]), "challenger": challenger, "guards": Guards(**row["guards"])}
        return cls(**{**row, **rest})


@dataclass(frozen=True, slots=True)
class Release:
    """One action and the state after it.

    Attributes:
        version: 1, 2, 3 ... of the task.
        at: Unix seconds.
        by: who did it; `guard` where no person did.
        action: release, promote, rollback or suspend.
        overlay: which overlay it was about; '' for all.
        reason: in words.
        routes: overlay -> route.
    """

    task: str
    version: int
    at: float
    by: str
    action: str
    overlay: str
    reason: str
    routes: Mapping[str, Route]

    def route(self, overlay: str = ALL) -> Route | None:
        """The route of an overlay: its own, else the one for all."""
        return self.routes.get(overlay) or self.routes.get(ALL)

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Trial:
    """How a candidate is to be released.

    Attributes:
        share: of the callers, 0 to 1; None: it answers everything at once.
        shadow: it answers unseen.
        overlay: only for this overlay.
        guards: limits of the trial.
    """

    share: float | None = None
    shadow: bool = False
    overlay: str = ALL
    guards: Guards = field(default_factory=Guards)

    def __post_init__(self) -> None:
        if self.share is not None and not 0 < self.share < 1:
            raise ReleaseError(
                f"a canary share of {self.share:.0%} makes no canary; give more than 0% and less than 100%"
            )
        if self.share is not None and self.shadow:
            raise ReleaseError("a release is a canary or a shadow, not both; leave one of them out")


class Releases:
    """The releases of all tasks in one database.

    Args:
        database: where the tables are.
        check: called with a fingerprint before it is released.
    """

    def __init__(self, database: Database, check: Check) -> None:
        self._database, self._check = database, check

    async def current(self, task: str) -> Release | None:
        """The newest release of the task; None before the first."""
        found = await self.history(task, 1)
        return found[0] if found else None

    async def history(self, task: str, limit: int | None = None) -> list[Release]:
        """Releases of a task, newest first."""
        query = select(releases).where(releases.c.task == task).order_by(releases.c.version.desc()).limit(limit)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [_from_row(row) for row in rows]

    async def versions(self) -> dict[str, int]:
        """Task -> newest version: what workers poll."""
        query = select(releases.c.task, func.max(releases.c.version)).group_by(releases.c.task)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return {task: version for task, version in rows}  # noqa: C416 - rows are no plain pairs

    async def release(self, task: str, arm: Arm, trial: Trial, by: str) -> Release:
        """Put a candidate into production, whole or on trial.

        Raises:
            ArtifactError: it is gone or damaged; what is in production stays.
            ReleaseError: there is nothing that a trial could be compared with, or its certificate was suspended.
            ConflictError: somebody else released at the same moment.
        """
        self._check(arm.candidate)
        before = await self.current(task)
        if suspended := await self._suspension(task, arm.candidate):
            raise ReleaseError(
                f"{task}: the certificate of {arm.name} {arm.candidate[:12]} was suspended ({suspended}); "
                "`tasklift retrain`, or an evaluation on new rows, makes a candidate with a new one"
            )
        version = before.version + 1 if before else 1
        arm = replace(arm, version=version)
        known = before.route(trial.overlay) if before else None
        if trial.share is None and not trial.shadow:
            route = Route(arm)
            reason = f"{arm.name} answers everything"
        else:
            if known is None:
                raise ReleaseError(f"{task}: nothing is in production yet; the first release cannot be on trial")
            if known.stable.candidate == arm.candidate:
                raise ReleaseError(f"{task}: {arm.name} {arm.candidate[:12]} is what answers already")
            route = Route(known.stable, arm, trial.share or 0.0, trial.shadow, trial.guards, known.suspended)
            reason = f"{arm.name} in the shadow" if trial.shadow else f"{arm.name} for {route.share:.0%} of the callers"
        return await self._append(before, task, by, ("release", trial.overlay, reason), route)

    async def promote(self, task: str, by: str, overlay: str = ALL) -> Release:
        """The challenger becomes what answers everything.

        Raises:
            ReleaseError: no challenger is on trial.
            ArtifactError: it is gone or damaged.
            ConflictError: somebody else acted at the same moment.
        """
        before, route = await self._existing(task, overlay)
        if route.challenger is None:
            raise ReleaseError(f"{task}: no candidate is on trial; `tasklift release {task} --candidate F --canary 5%`")
        self._check(route.challenger.candidate)
        said = ("promote", overlay, f"{route.challenger.name} answers everything")
        suspended = await self._suspension(task, route.challenger.candidate)
        return await self._append(before, task, by, said, Route(route.challenger, suspended=suspended))

    async def rollback(
        self, task: str, by: str, overlay: str = ALL, reason: str = "", expect: int | None = None
    ) -> Release:
        """End the trial; without one, go back to what answered before the present candidate came.

        Args:
            expect: only where this is still the newest version: a guard must not undo what it has not seen.

        Raises:
            ReleaseError: there is nothing to go back to.
            ArtifactError: what it would go back to is gone or damaged.
            ConflictError: somebody else acted at the same moment.
        """
        before, route = await self._existing(task, overlay)
        if expect is not None and before.version != expect:
            raise ConflictError(f"{task}: release {before.version} came after {expect}; nothing was rolled back")
        if route.challenger is not None:
            said = f"{route.challenger.name} {route.challenger.candidate[:12]} is taken back"
            after = Route(route.stable, suspended=route.suspended)
        else:
            arm = await self._before(task, overlay, route.stable)
            self._check(arm.candidate)
            said = f"{arm.name} {arm.candidate[:12]} answers again"
            after = Route(arm, suspended=await self._suspension(task, arm.candidate))
        words = f"{said}: {reason}" if reason else said
        return await self._append(before, task, by, ("rollback", overlay, words), after)

    async def suspend(self, task: str, by: str, overlay: str, reason: str, expect: int | None = None) -> Release:
        """Say that the certificate of the stable candidate no longer holds: its answers are left to people.

        Args:
            expect: only where this is still the newest version.

        Raises:
            ReleaseError: nothing is released.
            ConflictError: somebody else acted at the same moment.
        """
        before, route = await self._existing(task, overlay)
        if expect is not None and before.version != expect:
            raise ConflictError(f"{task}: release {before.version} came after {expect}; nothing was suspended")
        return await self._append(before, task, by, ("suspend", overlay, reason), replace(route, suspended=reason))

    async def _suspension(self, task: str, candidate: str) -> str:
        """Why the certificate of a candidate was suspended, whenever that was; '' where it was not. A certificate is
        a part of its candidate, so only another candidate brings a new one."""
        for row in await self.history(task):
            for route in row.routes.values():
                if route.suspended and route.stable.candidate == candidate:
                    return route.suspended
        return ""

    async def _existing(self, task: str, overlay: str) -> tuple[Release, Route]:
        before = await self.current(task)
        route = before.route(overlay) if before else None
        if before is None or route is None:
            raise ReleaseError(f"{task}: nothing is released yet; `tasklift release {task} --candidate F`")
        return before, route

    async def _before(self, task: str, overlay: str, stable: Arm) -> Arm:
        for row in await self.history(task):
            route = row.route(overlay)
            if row.version < stable.version and route is not None and route.stable.candidate != stable.candidate:
                return route.stable
        raise ReleaseError(f"{task}: nothing answered before {stable.name} {stable.candidate[:12]}")

    async def _append(
        self, before: Release | None, task: str, by: str, said: tuple[str, str, str], route: Route
    ) -> Release:
        action, overlay, reason = said
        routes = {**(before.routes if before else {}), overlay: route}
        version = before.version + 1 if before else 1
        made = Release(task, version, time.time(), by, action, overlay, reason, routes)
        row = {**asdict(made), "routes": json.dumps({name: asdict(one) for name, one in routes.items()})}
        try:
            async with self._database.write() as connection:
                await connection.execute(insert(releases), [row])
                await bump(connection, REVISION)
                await audit.append(connection, by, f"release.{action}", f"{task}:{version}", {"reason": reason})
        except IntegrityError as error:
            raise ConflictError(
                f"{task}: somebody else made release {version} at the same moment; see `tasklift status`, then decide"
            ) from error
        return made


def _from_row(row: Mapping[Any, Any]) -> Release:
    routes = {name: Route.from_json(one) for name, one in json.loads(row["routes"]).items()}
    return Release(**{**row, "routes": routes})
