"""Rows that production found hard, for commands that also work without traffic."""

from __future__ import annotations

from tasklift.cli.serve import with_database
from tasklift.operate import hard_rows
from tasklift.operate.hard_rows import HardRow
from tasklift.project import Project, TaskFile
from tasklift_platform.database import Database


def of_production(project: Project, task: TaskFile, database: str | None, unsure: float) -> tuple[list[HardRow], int]:
    """Those whose text was kept, and how many more there are."""

    async def run(opened: Database) -> tuple[list[HardRow], int]:
        return await hard_rows.hard_rows(opened, task.task, unsure)

    return with_database(project.folder, database, run)
