from __future__ import annotations

import sqlalchemy as sa

from tasklift_platform.bulk import given, insert_rows
from tasklift_platform.database import Database
from tasklift_platform.tables import revisions


async def test_many_rows_go_in_at_once_and_those_that_are_there_are_left_out(database: Database) -> None:
    rows = [{"name": f"r{n} \N{SNOWMAN} '\"", "revision": 2**40 + n} for n in range(500)]
    async with database.write() as connection:
        made = await insert_rows(connection, revisions, rows[:300], returning=[revisions.c.name])
        again = await insert_rows(connection, revisions, rows, unless_there=True, returning=[revisions.c.name])
        assert await insert_rows(connection, revisions, []) == []
        assert await insert_rows(connection, revisions, rows[:2], unless_there=True) == []
    assert (len(made), len(again)) == (300, 200)


async def test_given_rows_can_be_joined_and_updated_by(database: Database) -> None:
    rows = [{"name": name, "revision": n} for n, name in enumerate("abc")]
    async with database.write() as connection:
        await insert_rows(connection, revisions, rows)
        asked = given(
            connection, [revisions.c.name, revisions.c.revision], [{"name": "b", "revision": 9}, {"name": "z"}]
        )
        changed = sa.update(revisions).where(revisions.c.name == asked.c.name).values(revision=asked.c.revision)
        await connection.execute(changed)
        joined = sa.join(revisions, asked, revisions.c.name == asked.c.name)
        found = (await connection.execute(sa.select(revisions.c.name, revisions.c.revision).select_from(joined))).all()
    assert [tuple(row) for row in found] == [("b", 9)]
