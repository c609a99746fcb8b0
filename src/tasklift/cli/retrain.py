"""`tasklift retrain`."""

from __future__ import annotations

from pathlib import Path

from tasklift.cli import show
from tasklift.cli.serve import with_database
from tasklift.errors import ReleaseError
from tasklift.jobs.retrain import Retrained
from tasklift.jobs.retrain import retrain as run
from tasklift.operate.release import ALL, Releases
from tasklift.project import Project
from tasklift.stats.intervals import Interval
from tasklift_platform.database import Database


def retrain(task: str | None, folder: Path, strategy: str | None, database: str | None, as_json: bool) -> int:
    """Train on corrections, compare, offer."""
    project = Project.open(folder)
    found = project.task(task)

    async def work(opened: Database) -> Retrained:
        release = await Releases(opened, lambda _: None).current(found.name)
        route = release.route(ALL) if release else None
        if route is None:
            raise ReleaseError(f"{found.name}: nothing is in production yet, so there is nothing to retrain")
        return await run(project, opened, found, route.stable.candidate, strategy)

    made = with_database(folder, database, work)
    if as_json:
        show.print_json(made.to_json())
    else:
        print("\n".join(retrained_lines(made, folder)))
    return 0


def retrained_lines(made: Retrained, folder: Path) -> list[str]:
    """What came of it, for a reader."""
    lines = [
        f"{made.task}: {made.strategy} {made.candidate[:12]}, trained on {made.trained_on} corrected rows more "
        f"({made.replaced} rows of the task replaced); {made.fresh} are kept for the fresh test"
    ]
    lines += [f"  not used: {count}, {reason}" for reason, count in made.left_out.items()]
    for name, test in made.tests.items():
        change = "" if test.difference is None else f", {100 * test.difference.value:+.1f} points, p = {test.p:.3f}"
        lines.append(f"  {name} test, {test.rows} rows: {_share(test.before)} -> {_share(test.after)}{change}")
    where = "" if folder == Path() else f" -p {folder}"
    if made.is_offered:
        command = f"tasklift release {made.task} --candidate {made.candidate[:12]} --canary 10%{where}"
        lines.append(f"Nothing was released. Next: {command}")
    else:
        lines.append("Not offered: it is worse on the frozen test.")
    return lines


def _share(found: Interval | None) -> str:
    return "-" if found is None else f"{found.value:.1%} [{found.low:.1%}, {found.high:.1%}]"
