"""Many rows in one statement and one parameter: JSON that the database takes apart.

With a parameter for each value, SQLite's driver takes the interpreter lock again for every row, and Postgres' has a
limit of 32,767 of them. Rows hold texts, numbers, booleans and None; bytes do not go through JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as insert_postgres
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

#: SQLite would read INSERT ... SELECT ... ON CONFLICT as a join without a WHERE between them.
_ALWAYS = sa.literal_column("1") == sa.literal_column("1")


def given(
    connection: AsyncConnection,
    columns: Sequence[sa.Column[Any]],
    rows: Iterable[Mapping[str, Any]],
    name: str = "given",
) -> sa.Subquery:
    """`rows` as something to select from, join with or update by.

    Args:
        columns: names and types of what each row holds; a row that lacks one has NULL there.
        name: of the subquery.
    """
    sqlite = connection.dialect.name == "sqlite"
    if sqlite:
        fields = ", ".join(f"json_extract(value, '$.{column.name}') AS {column.name}" for column in columns)
        source = f"json_each(:{name}_rows)"
    else:
        kinds = ", ".join(f"{column.name} {column.type.compile(connection.dialect)}" for column in columns)
        fields = ", ".join(column.name for column in columns)
        source = f"json_to_recordset(CAST(:{name}_rows AS json)) AS each_row({kinds})"
    text = sa.text(f"SELECT {fields} FROM {source}")  # noqa: S608 - names of our own columns
    text = text.bindparams(sa.bindparam(f"{name}_rows", json.dumps(list(rows)), sa.Text))
    return text.columns(*(sa.column(column.name, column.type) for column in columns)).subquery(name)


async def insert_rows(
    connection: AsyncConnection,
    table: sa.Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    unless_there: bool = False,
    returning: Sequence[sa.Column[Any]] = (),
) -> list[sa.Row[Any]]:
    """Insert all of `rows`, which have the same keys.

    Args:
        unless_there: rows that would violate a unique constraint are left out.
        returning: columns of the rows that were inserted; their order is not that of `rows`.
    """
    if not rows:
        return []
    names = list(rows[0])
    source = given(connection, [table.c[name] for name in names], rows)
    insert = (insert_sqlite if connection.dialect.name == "sqlite" else insert_postgres)(table)
    statement = insert.from_select(names, sa.select(source).where(_ALWAYS))
    if unless_there:
        statement = statement.on_conflict_do_nothing()
    if not returning:
        await connection.execute(statement)
        return []
    return list((await connection.execute(statement.returning(*returning))).all())
