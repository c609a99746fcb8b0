"""The tables that migrations make are those of this version, on both databases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from tasklift_inbox.runtime import Runtime
from tasklift_inbox.tables import METADATA
from tasklift_platform.tables import METADATA as PLATFORM


async def test_migrations_make_exactly_the_tables_of_this_version(runtime: Runtime) -> None:
    others = {*PLATFORM.tables, "platform_version", "inbox_version"}

    def ours(item: object, name: str | None, kind: str, *_: object) -> bool:
        return not (kind == "table" and name in others)

    def differences(connection: sa.Connection) -> list[object]:
        options = {"version_table": "inbox_version", "include_object": ours, "compare_server_default": False}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), METADATA))

    async with runtime.database.read() as connection:
        assert await connection.run_sync(differences) == []
