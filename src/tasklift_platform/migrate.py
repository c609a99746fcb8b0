"""Bring a database's tables to this version, or say why not. Alembic inside, without its files and command line.

An application has its own folder of migrations and its own version table; the platform's come first. All of it
is one transaction on both databases: an upgrade that was cut off has not happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from tasklift_platform.database import Database, DatabaseOptions
from tasklift_platform.errors import SchemaError

_LOCK = 7_236_182_451  # any number: workers that start together upgrade one after the other


@dataclass(frozen=True, slots=True)
class Migrations:
    """One application's history of tables.

    Attributes:
        name: in messages, and in the name of the version table, `<name>_version`.
        folder: holds `versions/`, with one module for each step.
    """

    name: str
    folder: Path

    @property
    def version_table(self) -> str:
        """Where the database notes how far it is."""
        return f"{self.name}_version"


PLATFORM = Migrations("platform", Path(__file__).parent / "migrations")


async def open_upgraded(
    url: str, applications: Sequence[Migrations], options: DatabaseOptions | None = None
) -> Database:
    """The database at `url` with the tables of this version.

    Raises:
        ConfigError: the address cannot be used.
        DatabaseError: it does not answer, or a newer version wrote it.
    """
    database = await Database.open(url, options)
    try:
        await upgrade(database, applications)
    except BaseException:
        await database.aclose()
        raise
    return database


async def upgrade(database: Database, applications: Sequence[Migrations] = ()) -> list[str]:
    """Bring the platform's tables and those of `applications` to this version.

    Returns:
        the revisions that were applied, oldest first; nothing where all was up to date.

    Raises:
        SchemaError: the database was written by a newer version.
        DatabaseError: it could not be done; nothing was changed.
    """
    async with database.write() as connection:
        if not database.is_sqlite:
            await connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        applied: list[str] = []
        for migrations in (PLATFORM, *applications):
            applied += await connection.run_sync(_upgrade, migrations, repr(database))
    return applied


async def check(database: Database, applications: Sequence[Migrations] = ()) -> None:
    """Raise unless the tables are exactly those of this version; changes nothing.

    Raises:
        SchemaError: older or newer.
    """
    async with database.read() as connection:
        for migrations in (PLATFORM, *applications):
            await connection.run_sync(_check, migrations, repr(database))


def _script(migrations: Migrations) -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(migrations.folder).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")  # a folder's name may hold a colon or a space
    return ScriptDirectory.from_config(config)


def _current(connection: sa.Connection, migrations: Migrations, script: ScriptDirectory, where: str) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table": migrations.version_table})
    current = context.get_current_revision()
    known = {step.revision for step in script.walk_revisions()}
    if current is not None and current not in known:
        raise SchemaError(
            f"{where}: its {migrations.name} tables are at {current}, this version knows up to "
            f"{script.get_current_head()}: they were written by a newer version; install that one again, or go "
            "back to a backup"
        )
    return current


def _check(connection: sa.Connection, migrations: Migrations, where: str) -> None:
    script = _script(migrations)
    current, head = _current(connection, migrations, script, where), script.get_current_head()
    if current != head:
        raise SchemaError(f"{where}: its {migrations.name} tables are at {current or 'nothing'}, not {head}: upgrade")


def _upgrade(connection: sa.Connection, migrations: Migrations, where: str) -> list[str]:
    script = _script(migrations)
    current, head = _current(connection, migrations, script, where), script.get_current_head()
    if head is None or current == head:
        return []
    steps = [step.revision for step in script.iterate_revisions(head, current or "base")]
    environment = EnvironmentContext(
        Config(),
        script,
        fn=lambda revision, _: script._upgrade_revs(head, revision),
    )
    with environment:
        environment.configure(connection=connection, version_table=migrations.version_table)
        with environment.begin_transaction():
            environment.run_migrations()
    return steps[::-1]
