"""Which candidate answers a request: by release, overlay and caller; watched while workers run."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tasklift.errors import TaskliftError
from tasklift.operate.release import REVISION, Arm, Release, Releases, Route
from tasklift.strategy import Candidate
from tasklift_platform.errors import DatabaseError
from tasklift_platform.watch import Watch

#: How often a worker asks its watch for a new release: well below the second in which a rollback has to work.
POLL_S = 0.1
#: The counter of changes to artifacts: rows of a person were taken out.
ARTIFACTS = "artifacts"
#: A candidate that was read again goes on answering what it has begun, for this long.
RETIRE_S = 60.0
#: Candidates that no route needs any more stay loaded, so that a rollback needs no loading.
KEPT = 4

#: From the name of a task and a fingerprint to a candidate.
Load = Callable[[str, str], Candidate]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LiveArm:
    """An arm of a release with its candidate in memory."""

    arm: Arm
    candidate: Candidate


@dataclass(frozen=True, slots=True)
class LiveRoute:
    """A route whose candidates are loaded."""

    route: Route
    stable: LiveArm
    challenger: LiveArm | None


@dataclass(frozen=True, slots=True)
class Live:
    """What a worker has in memory of one task.

    Attributes:
        version: of the release that it follows.
        routes: overlay -> route.
        refused: why the newest release, or its challenger, is not followed; '' where it is.
    """

    version: int
    routes: Mapping[str, LiveRoute]
    refused: str = ""

    def route(self, overlay: str) -> LiveRoute | None:
        """The overlay's own route, else the one for all."""
        return self.routes.get(overlay) or self.routes.get("")


def is_challenged(route: LiveRoute, task: str, caller: str) -> bool:
    """Does the challenger answer this caller? The same caller always gets the same answer, and one who had
    the challenger at 5% has it at 20% too."""
    if route.challenger is None or route.route.shadow:
        return False
    seen = f"{task}\x1f{route.challenger.arm.candidate}\x1f{caller}".encode(errors="replace")
    place = int.from_bytes(hashlib.blake2b(seen, digest_size=8).digest(), "big") / 2**64
    return place < route.route.share


@dataclass
class Router:
    """Follows the releases of all tasks.

    Args:
        releases: where they are.
        load: raises a `TaskliftError` where the candidate is gone or damaged.
    """

    releases: Releases
    load: Load
    live: dict[str, Live] = field(default_factory=dict)
    _loaded: dict[tuple[str, str], Candidate] = field(default_factory=dict)
    _watching: asyncio.Task[None] | None = None
    _retiring: set[asyncio.Task[None]] = field(default_factory=set)

    async def refresh(self) -> None:
        """Follow every release that is newer than what is in memory.

        Raises:
            DatabaseError: the database cannot be read; what is in memory stays.
        """
        for task, version in (await self.releases.versions()).items():
            known = self.live.get(task)
            if known is None or known.version != version:
                release = await self.releases.current(task)
                if release is not None:
                    self.live[task] = await self._follow(release, known)
        await self._forget()

    async def reload(self) -> None:
        """Read every candidate from its artifact again: rows were taken out of some. Those that no route needs are
        dropped.

        Raises:
            DatabaseError: the database cannot be read; what is in memory stays.
        """
        current = [await self.releases.current(task) for task in self.live]
        old, self._loaded = self._loaded, {}
        for release in current:
            if release is not None:
                self.live[release.task] = await self._follow(release, self.live.get(release.task))
        kept = {id(arm.candidate) for arm in self._arms()}
        for candidate in old.values():
            if id(candidate) not in kept:
                task = asyncio.create_task(_retire(candidate))
                self._retiring.add(task)
                task.add_done_callback(self._retiring.discard)

    def follow(self, watch: Watch) -> None:
        """Refresh in the background, whenever `watch` sees a new release, until `aclose`."""
        self._watching = asyncio.create_task(self._keep_up(watch))

    async def aclose(self) -> None:
        """Stop watching and close every candidate."""
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        for task in self._retiring:
            task.cancel()
        for candidate in self._loaded.values():
            await candidate.aclose()
        self._loaded.clear()

    async def _keep_up(self, watch: Watch) -> None:
        seen, read = -1, None
        while True:
            try:
                await watch.fresh()
                revision, artifacts = watch.revision(REVISION), watch.revision(ARTIFACTS)
                if revision != seen:
                    await self.refresh()
                    seen = revision
                if read is not None and artifacts != read:
                    await self.reload()
                read = artifacts
            except DatabaseError as error:
                _log.warning("releases cannot be read (%s); those in memory go on", error)
            await asyncio.sleep(POLL_S)

    async def _follow(self, release: Release, before: Live | None) -> Live:
        """The release in memory; a route whose stable candidate cannot be loaded stays as it was."""
        routes: dict[str, LiveRoute] = {}
        problems = []
        for overlay, route in release.routes.items():
            try:
                stable = await self._arm(release.task, route.stable)
            except TaskliftError as error:
                problems.append(str(error))
                if before and overlay in before.routes:
                    routes[overlay] = before.routes[overlay]
                continue
            try:
                challenger = await self._arm(release.task, route.challenger) if route.challenger else None
            except TaskliftError as error:
                problems.append(str(error))
                challenger = None
            routes[overlay] = LiveRoute(route, stable, challenger)
        for problem in problems:
            _log.error("release %d of %s is not followed: %s", release.version, release.task, problem)
        return Live(release.version, routes, "; ".join(problems))

    async def _arm(self, task: str, arm: Arm) -> LiveArm:
        place = (task, arm.candidate)
        if place not in self._loaded:
            self._loaded[place] = await asyncio.to_thread(self.load, *place)
        return LiveArm(arm, self._loaded[place])

    def _arms(self) -> list[LiveArm]:
        return [arm for live in self.live.values() for arm in _arms_of(live)]

    async def _forget(self) -> None:
        """Close the candidates that no release needs, but for the newest few."""
        needed = {(task, arm.arm.candidate) for task, live in self.live.items() for arm in _arms_of(live)}
        idle = [name for name in self._loaded if name not in needed]
        for name in idle[: max(0, len(idle) - KEPT)]:
            await self._loaded.pop(name).aclose()


def _arms_of(live: Live) -> list[LiveArm]:
    return [arm for route in live.routes.values() for arm in (route.stable, route.challenger) if arm is not None]


async def _retire(candidate: Candidate) -> None:
    """Close it when what it has begun is done."""
    await asyncio.sleep(RETIRE_S)
    await candidate.aclose()
