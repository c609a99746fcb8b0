"""Erasing a person from a project: every store of customers' texts in one registry, and what goes around it.

Traffic names its people. Everything else knows rows: those made of the person's traces, and rows of the tasks' own
files whose `group` is the person.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from tasklift.cache import ContentCache
from tasklift.data.erase import erase_group, rows_of_group
from tasklift.data.read import to_example
from tasklift.data.versions import Versions
from tasklift.errors import ArtifactError, TaskliftError
from tasklift.jobs.erase_prompts import PromptStore
from tasklift.measure import erasure as measured
from tasklift.operate.erasure import traffic_stores
from tasklift.operate.people import Rows, forget_noted, merged, note_rows, noted_rows, person_key, traffic_rows
from tasklift.operate.release import Releases
from tasklift.operate.route import ARTIFACTS
from tasklift.operate.traffic import WINDOW_S
from tasklift.project import Project
from tasklift.strategies import erasure as fitted
from tasklift_platform.database import Database
from tasklift_platform.erasure import Certificate, ErasureRegistry
from tasklift_platform.watch import bump

#: A server tries open erasures again this often, in seconds.
RETRY_S = 600.0
_log = logging.getLogger(__name__)
Items = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class RowStore:
    """A store that knows rows, and people by them only.

    Attributes:
        name: of the store.
        rows: person -> rows about them.
        remove: takes rows out; returns how many things were changed.
        show: what it holds of rows.
    """

    name: str
    rows: Callable[[str], Awaitable[Rows]]
    remove: Callable[[Rows], Awaitable[int]]
    show: Callable[[Rows], Items]

    async def erase(self, subject: str) -> int:
        """Take the person's rows out."""
        return await self.remove(await self.rows(subject))

    async def export(self, subject: str) -> Items:
        """What is held of the person's rows."""
        return await asyncio.to_thread(self.show, await self.rows(subject))


@dataclass(frozen=True)
class Erasing:
    """All stores of a project, and erasing people from them.

    Attributes:
        project: whose stores.
        database: of its traffic.
        settle: returns when traces of answers that were given before are in the database.
    """

    project: Project
    database: Database
    settle: Callable[[], Awaitable[None]] | None = None

    def registry(self) -> ErasureRegistry:
        """Every store, files last: rows about a person are found through traces and files."""
        found = ErasureRegistry(self.database)
        for store in traffic_stores(self.database):
            found.register(store)
        for name, remove, show in (
            ("artifacts", self._erase_artifacts, self._artifacts),
            ("evaluations", _threaded(self._erase_evaluations), self._evaluations),
            ("reports", _threaded(self._erase_reports), self._reports),
            ("caches", _threaded(self._clear_caches), lambda _: []),  # keyed by hashes: nothing can be read by row
        ):
            found.register(RowStore(name, self.rows, remove, show))
        found.register(PromptStore(self.project))
        found.register(VersionStore(self.project, self.rows))
        found.register(FileStore(self.project))
        return found

    async def erase(self, given: str, by: str) -> Certificate:
        """Erase a person everywhere. What cannot be erased now keeps the certificate open; see `finish`.

        Raises:
            ConfigError: the identifier is empty.
            DatabaseError: not even begun.
        """
        await (self.settle or _windows)()
        subject = person_key(given)
        await note_rows(self.database, subject, await self.rows(subject))
        made = await self.registry().erase(subject, by)
        await self._clean()
        return made

    async def finish(self) -> list[Certificate]:
        """Try again what is still open; what became of each."""
        found = await self.registry().retry_open()
        if found:
            await self._clean()
        return found

    async def keep_finishing(self, period_s: float = RETRY_S) -> None:
        """Try again from time to time, until cancelled."""
        while True:
            await asyncio.sleep(period_s)
            try:
                await self.finish()
            except (TaskliftError, SQLAlchemyError) as error:
                _log.warning("open erasures could not be tried again: %s", error)

    async def export(self, given: str) -> Mapping[str, Items]:
        """Everything that is held about a person, by store."""
        return await self.registry().export(person_key(given))

    async def rows(self, subject: str) -> Rows:
        """All rows about a person: noted when their erasure began, of traffic, of the tasks' files."""
        noted, seen = await noted_rows(self.database, subject), await traffic_rows(self.database, subject)
        kept = await asyncio.to_thread(file_rows, self.project, subject)
        return merged((noted, seen, kept))

    async def _clean(self) -> None:
        await forget_noted(self.database)
        await self.database.scrub("traces", "reviews", "feedback", "erasing", "erasures")

    async def _erase_artifacts(self, rows: Rows) -> int:
        """Cut, or remove, what was made with the rows, and have the workers read their candidates again."""
        in_use = await self._in_production()
        changed, problems = await asyncio.to_thread(self._change_artifacts, rows, in_use)
        if changed:
            async with self.database.write() as connection:
                await bump(connection, ARTIFACTS)
        if problems:
            raise ArtifactError("; ".join(problems))
        return changed

    def _change_artifacts(self, rows: Rows, in_use: frozenset[str]) -> tuple[int, list[str]]:
        changed, problems = 0, []
        for task, ids in rows.items():
            for folder, _ in list(fitted.artifacts_with(self.project.state, ids, self._labels(task))):
                changed += 1
                try:
                    is_used = folder.name in in_use and folder.parent == self.project.state / "artifacts"
                    fitted.erase_rows(folder, ids, is_used)
                except ArtifactError as error:
                    problems.append(str(error))
        return changed, problems

    async def _in_production(self) -> frozenset[str]:
        releases, found = Releases(self.database, lambda _: None), set()
        for task in await releases.versions():
            release = await releases.current(task)
            routes = release.routes.values() if release else ()
            found |= {arm.candidate for route in routes for arm in (route.stable, route.challenger) if arm}
        return frozenset(found)

    def _labels(self, task: str) -> frozenset[str]:
        known = self.project.tasks.get(task)
        return frozenset(known.task.labels) if known else frozenset()

    def _artifacts(self, rows: Rows) -> Items:
        return [
            {"candidate": folder.name, "made_with": found, "texts": fitted.texts_in(folder, ids)}
            for task, ids in rows.items()
            for folder, found in fitted.artifacts_with(self.project.state, ids, self._labels(task))
        ]

    def _erase_evaluations(self, rows: Rows) -> int:
        folders = [
            (folder, ids)
            for task, ids in rows.items()
            for folder in measured.evaluations_with(self.project.state, task, ids)
        ]
        for folder, ids in folders:
            measured.erase_rows(folder, ids)
        return len(folders)

    def _evaluations(self, rows: Rows) -> Items:
        return [
            found
            for task, ids in rows.items()
            for folder in measured.evaluations_with(self.project.state, task, ids)
            for found in measured.predictions_of(folder, ids)
        ]

    def _erase_reports(self, rows: Rows) -> int:
        found = self._report_paths(rows)
        for path in found:
            path.unlink(missing_ok=True)
        return len(found)

    def _reports(self, rows: Rows) -> Items:
        return [{"report": str(path)} for path in self._report_paths(rows)]

    def _report_paths(self, rows: Rows) -> list[Path]:
        state = self.project.state
        return sorted({path for task, ids in rows.items() for path in measured.reports_with(state, task, ids)})

    def _clear_caches(self, rows: Rows) -> int:
        """Keys are hashes of requests that nobody can make again, so all of it goes: it can be computed again.
        Answers in production are never cached, so only rows that something was made with can be in it."""
        if not rows:
            return 0
        gone = 0
        for path in sorted((self.project.state / "cache").glob("*.sqlite")):
            with ContentCache(path) as cache:
                gone += len(cache)
                cache.clear()
        return gone


@dataclass(frozen=True)
class FileStore:
    """The tasks' own files: rows whose `group` is the person."""

    project: Project
    name: str = "rows"

    async def erase(self, subject: str) -> int:
        """Take the rows out; how many."""
        return await asyncio.to_thread(self._erase, subject)

    async def export(self, subject: str) -> Items:
        """The rows as they stand in the files."""
        return await asyncio.to_thread(self._rows, subject)

    def _erase(self, subject: str) -> int:
        sources = _sources(self.project)
        return sum(erase_group(path, fields, subject) for _, path, fields in sources)

    def _rows(self, subject: str) -> Items:
        return [
            {"task": task, "row": dict(row)}
            for task, path, fields in _sources(self.project)
            for row in rows_of_group(path, fields, subject).values()
        ]


@dataclass(frozen=True)
class VersionStore:
    """Kept versions of the tasks' rows, and their records of what was changed.

    Attributes:
        project: whose versions.
        rows: person -> rows about them.
        name: of the store.
    """

    project: Project
    rows: Callable[[str], Awaitable[Rows]]
    name: str = "versions"

    async def erase(self, subject: str) -> int:
        """Take the person's rows out of every version; out of how many."""
        return await asyncio.to_thread(self._erase, await self.rows(subject))

    async def export(self, subject: str) -> Items:
        """Which rows which version holds."""
        return await asyncio.to_thread(self._held, await self.rows(subject))

    def _erase(self, rows: Rows) -> int:
        held = len(self._held(rows))
        for task, ids in rows.items():
            _versions(self.project, task).erase(lambda row, ids=ids: row.id in ids)  # type: ignore[misc]
        return held

    def _held(self, rows: Rows) -> Items:
        held = []
        for task, ids in rows.items():
            versions = _versions(self.project, task)
            for version in versions.all():
                theirs = versions.named_in(version, lambda row, ids=ids: row.id in ids)  # type: ignore[misc]
                if theirs:
                    held.append({"task": task, "version": version.id, "rows": sorted(theirs)})
        return held


def _versions(project: Project, task: str) -> Versions:
    return Versions(project.state / "datasets" / task)


def file_rows(project: Project, subject: str) -> Rows:
    """Ids of the rows in the tasks' files, and in their earlier versions, whose `group` is the person."""
    found: dict[str, frozenset[str]] = {}
    for name in project.tasks:
        versions = _versions(project, name)
        earlier = (versions.named_in(version, lambda row: row.group == subject) for version in versions.all())
        found[name] = frozenset[str]().union(*earlier)
    for name, path, fields in _sources(project):
        task = project.tasks[name].task
        rows = rows_of_group(path, fields, subject)
        ids = frozenset(to_example(row, task, fields, f"row-{line}").id for line, row in rows.items())
        found[name] = found.get(name, frozenset()) | ids
    return {name: ids for name, ids in found.items() if ids}


def _sources(project: Project) -> list[tuple[str, Path, Mapping[str, str]]]:
    """Task, file, mapping of every task that has a file."""
    return [
        (name, project.folder / "tasks" / name / task.data.file, task.data.fields)
        for name, task in project.tasks.items()
        if task.data is not None
    ]


def _threaded(remove: Callable[[Rows], int]) -> Callable[[Rows], Awaitable[int]]:
    async def run(rows: Rows) -> int:
        return await asyncio.to_thread(remove, rows)

    return run


async def _windows() -> None:
    """Beside a running server: its workers write their traces within their window."""
    await asyncio.sleep(2 * WINDOW_S)
