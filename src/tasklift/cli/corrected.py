"""Rows that people corrected in production, for commands that also work without traffic."""

from __future__ import annotations

from tasklift.cli.serve import with_database
from tasklift.dataset import Example
from tasklift.operate.review import corrected_rows
from tasklift.project import Project, TaskFile
from tasklift_platform.database import Database


def corrected(project: Project, task: TaskFile, database: str | None) -> list[Example]:
    """Those whose text was kept."""

    async def run(opened: Database) -> list[Example]:
        rows, _ = await corrected_rows(opened, task.task)
        return list(rows)

    return with_database(project.folder, database, run)
