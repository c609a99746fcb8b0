"""`tasklift release`, `promote`, `rollback`, `status`, `history`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tasklift.cli import show
from tasklift.cli.operator import operator
from tasklift.cli.serve import with_database
from tasklift.errors import ConfigError, DataError, ReleaseError
from tasklift.measure.store import EvaluationFolder
from tasklift.measure.stored import newest_evaluation
from tasklift.operate.load import find_candidate, load_for_production, name_of
from tasklift.operate.release import ALL, Arm, Guards, Release, Releases, Route, Trial
from tasklift.operate.status import Status, certificate_line, status_of, trial_lines
from tasklift.project import Project
from tasklift_platform.database import Database


def release(
    task: str | None,
    folder: Path,
    candidate: str,
    trial: tuple[str | None, bool, str, Mapping[str, float | None]],
    decision: str | None,
    database: str | None,
    as_json: bool,
) -> int:
    """Put a candidate into production; `trial` holds share, shadow, overlay, guards as they were typed."""
    project, wanted = Project.open(folder), trial_of(*trial)
    name = project.task(task).name
    fingerprint = chosen_candidate(project, name, candidate)
    arm = Arm(fingerprint, name_of(project.state, fingerprint), decision or _newest_decision(project, name))
    if decision is not None and not (project.state / "decisions" / f"{decision}.json").exists():
        raise ReleaseError(f"no stored decision is called {decision!r}; leave --decision out, or run `tasklift decide`")
    made = with_database(
        folder, database, lambda found: releases(project, found).release(name, arm, wanted, operator())
    )
    return _print_release(made, as_json)


def promote(task: str | None, folder: Path, overlay: str, database: str | None, as_json: bool) -> int:
    """The challenger answers everything."""
    project = Project.open(folder)
    name = project.task(task).name
    made = with_database(folder, database, lambda found: releases(project, found).promote(name, operator(), overlay))
    return _print_release(made, as_json)


def rollback(task: str | None, folder: Path, overlay: str, reason: str, database: str | None, as_json: bool) -> int:
    """Back to what answered before."""
    project = Project.open(folder)
    name = project.task(task).name
    made = with_database(
        folder, database, lambda found: releases(project, found).rollback(name, operator(), overlay, reason)
    )
    return _print_release(made, as_json)


def history(task: str | None, folder: Path, database: str | None, as_json: bool) -> int:
    """Who released what, when; newest first."""
    project = Project.open(folder)
    name = project.task(task).name
    found = with_database(folder, database, lambda opened: releases(project, opened).history(name))
    if as_json:
        show.print_json({"task": name, "releases": [one.to_json() for one in found]})
        return 0
    for one in found:
        print(_line(one))
    if not found:
        print(f"{name}: nothing was released yet")
    return 0


def released(project: Project, database: str | None) -> frozenset[str]:
    """Fingerprints of every candidate that is or was in production or on trial."""

    async def run(opened: Database) -> frozenset[str]:
        found = [one for task in project.tasks for one in await releases(project, opened).history(task)]
        arms = [arm for one in found for route in one.routes.values() for arm in (route.stable, route.challenger)]
        return frozenset(arm.candidate for arm in arms if arm is not None)

    return with_database(project.folder, database, run)


def uses(project: Project, database: str | None) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Fingerprint -> where it answers now (task, release, part), and in which earlier releases it stood."""

    async def run(opened: Database) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        now: dict[str, list[str]] = {}
        before: dict[str, list[str]] = {}
        known = releases(project, opened)
        for task, newest in (await known.versions()).items():
            for one in await known.history(task):
                where = now if one.version == newest else before
                for candidate, part in _parts(one).items():
                    where.setdefault(candidate, []).append(f"{task} release {one.version} ({part})")
        return now, before

    return with_database(project.folder, database, run)


def status(task: str | None, folder: Path, database: str | None, as_json: bool) -> int:
    """What is in production, how the trial stands, what waits."""
    project = Project.open(folder)
    tasks = [project.task(task)] if task else list(project.tasks.values())

    async def run(opened: Database) -> list[Status]:
        return [await status_of(opened, project.state, one.task) for one in tasks]

    found = with_database(folder, database, run)
    if as_json:
        show.print_json({"tasks": [one.to_json() for one in found]})
    else:
        print("\n".join(line for one in found for line in status_lines(one)))
    return 0


def status_lines(found: Status) -> list[str]:
    """A task in production for a reader."""
    if found.release is None:
        return [f"{found.task}: nothing is released yet"]
    lines = [f"{found.task}: release {found.release.version}, {when(found.release.at)}, by {found.release.by}"]
    for overlay, route in found.release.routes.items():
        lines += [f"overlay {overlay}"] if overlay else []
        lines += [f"  {line}" for line in route_lines(route)]
        if overlay in found.trials:
            lines += [f"  {line}" for line in trial_lines(found.trials[overlay], route.guards.alpha)]
        if overlay in found.audits:
            line = certificate_line(found.certificates[overlay], found.audits[overlay], route.suspended)
            lines.append(f"  {line}")
    waiting = found.reviews
    lines.append(
        f"  reviews: {waiting['open']} open, {waiting['answered']} answered; {waiting['labels']} labels by callers"
    )
    return lines + ([f"  traces lost: {found.lost}"] if found.lost else [])


def releases(project: Project, database: Database) -> Releases:
    """The releases of a project; candidates are loaded for a try before they are released."""
    return Releases(database, lambda fingerprint: load_for_production(project.state, fingerprint))


def chosen_candidate(project: Project, task: str, given: str) -> str:
    """The fingerprint that `given` means: the name of a candidate in the newest evaluation, or the beginning of a
    fingerprint.

    Raises:
        ReleaseError: nothing of the kind.
    """
    try:
        identity = newest_evaluation(project.state, task)
    except DataError:
        return find_candidate(project.state, given)
    manifest = EvaluationFolder(project.state / "evaluations" / identity).manifest() or {}
    named = {row["name"]: row["fingerprint"] for row in manifest.get("candidates", [])}
    return str(named[given]) if given in named else find_candidate(project.state, given)


def trial_of(canary: str | None, shadow: bool, overlay: str, guards: Mapping[str, float | None]) -> Trial:
    """A trial from the options of the command line.

    Raises:
        ConfigError: the share cannot be read.
    """
    given = {key: value for key, value in guards.items() if value is not None}
    return Trial(None if canary is None else share_of(canary), shadow, overlay or ALL, replace(Guards(), **given))


def share_of(text: str) -> float:
    """ "5%" or "0.05" as a share."""
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise ConfigError(f"--canary {text!r} is no share; write it like 5%") from None


def route_lines(route: Route) -> list[str]:
    """A route in words."""
    lines = [f"stable      {_arm(route.stable)}"]
    if route.challenger is not None:
        how = "in the shadow" if route.shadow else f"{route.share:.0%} of the callers"
        lines.append(f"challenger  {_arm(route.challenger)}, {how}")
    return lines


def when(at: float) -> str:
    """Unix seconds for a reader, UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(at))


def _parts(one: Release) -> dict[str, str]:
    """Fingerprint -> what it does in a release: stable or challenger, and for which overlay."""
    found: dict[str, list[str]] = {}
    for overlay, route in one.routes.items():
        suspended = ", certificate suspended" if route.suspended else ""
        for part, arm in ((f"stable{suspended}", route.stable), ("challenger", route.challenger)):
            if arm is not None:
                found.setdefault(arm.candidate, []).append(f"{part}, overlay {overlay}" if overlay else part)
    return {candidate: "; ".join(parts) for candidate, parts in found.items()}


def _arm(arm: Arm) -> str:
    decision = f", decision {arm.decision[:12]}" if arm.decision else ", no decision behind it"
    return f"{arm.name} {arm.candidate[:12]} since release {arm.version}{decision}"


def _line(one: Release) -> str:
    overlay = f" [{one.overlay}]" if one.overlay else ""
    return f"{one.version:4}  {when(one.at)}  {one.by}  {one.action}{overlay}: {one.reason}"


def _print_release(made: Release, as_json: bool) -> int:
    if as_json:
        show.print_json(made.to_json())
    else:
        print(f"{made.task}: release {made.version}: {made.reason}")
    return 0


def _newest_decision(project: Project, task: str) -> str | None:
    """Id of the newest stored decision of the task's newest evaluation."""
    try:
        evaluation = newest_evaluation(project.state, task)
    except DataError:
        return None
    paths = sorted((project.state / "decisions").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    found = [path for path in paths if f'"evaluation": "{evaluation}"' in path.read_text(encoding="utf-8")]
    return found[-1].stem if found else None
