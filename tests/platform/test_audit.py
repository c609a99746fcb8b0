from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa

from tasklift_platform import audit
from tasklift_platform.database import Database
from tasklift_platform.errors import AuditError

UNGUARD = {
    True: ["DROP TRIGGER audit_log_no_update", "DROP TRIGGER audit_log_no_delete"],
    False: ["ALTER TABLE audit_log DISABLE TRIGGER USER"],
}


async def note(database: Database, count: int) -> None:
    for n in range(count):
        async with database.write() as connection:
            await audit.append(connection, "key:1", "release.promote", f"task-{n % 2}", {"n": n, "why": "größer"})


async def meddle(database: Database, statement: str) -> None:
    async with database.write() as connection:
        for guard in UNGUARD[database.is_sqlite]:
            await connection.execute(sa.text(guard))
        await connection.execute(sa.text(statement))


async def test_entries_are_read_in_order_and_verify(database: Database) -> None:
    await note(database, 5)
    found = [entry async for entry in audit.entries(database)]
    assert [entry.seq for entry in found] == [1, 2, 3, 4, 5]
    assert found[3].details == {"n": 3, "why": "größer"}
    assert [entry.seq async for entry in audit.entries(database, after=2, target="task-0")] == [3, 5]
    assert await audit.verify(database) == 5
    assert await audit.verify(database, await audit.head(database)) == 5


async def test_an_empty_log_verifies(database: Database) -> None:
    assert await audit.verify(database, await audit.head(database)) == 0


async def test_entries_made_at_once_have_no_gaps(database: Database) -> None:
    await asyncio.gather(*(note(database, 4) for _ in range(5)))
    assert await audit.verify(database) == 20


async def test_what_was_rolled_back_leaves_no_entry(database: Database) -> None:
    async def half(connection: object) -> None:
        await audit.append(connection, "a", "b", "c")  # type: ignore[arg-type]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.run(half)
    await note(database, 1)
    assert await audit.verify(database) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET actor = 'somebody else'",
        "DELETE FROM audit_log",
        "INSERT OR REPLACE INTO audit_log SELECT seq, at, 'x', action, target, details, previous, hash FROM audit_log",
        "TRUNCATE audit_log",
    ],
)
async def test_the_database_refuses_to_change_an_entry(database: Database, statement: str) -> None:
    if statement.startswith("INSERT OR") and not database.is_sqlite:
        statement = statement.replace("INSERT OR REPLACE", "INSERT") + (
            " ON CONFLICT (seq) DO UPDATE SET actor = excluded.actor"
        )
    if statement.startswith("TRUNCATE") and database.is_sqlite:
        statement = "DELETE FROM audit_log WHERE seq >= 0"
    await note(database, 2)
    with pytest.raises(sa.exc.DBAPIError, match="append-only"):
        await database.run(lambda connection: connection.execute(sa.text(statement)))
    assert await audit.verify(database) == 2


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE audit_log SET actor = 'x' WHERE seq = 3", "entry 3 does not fit"),
        ("DELETE FROM audit_log WHERE seq = 3", "entry 3 is missing"),
        ("DELETE FROM audit_log WHERE seq > 4", "noted audit entry 5 is gone.*ends at 4"),
        ("DELETE FROM audit_log", "noted audit entry 5 is gone"),
    ],
)
async def test_meddling_by_who_may_drop_triggers_is_found(database: Database, statement: str, message: str) -> None:
    await note(database, 5)
    noted = await audit.head(database)
    await meddle(database, statement)
    with pytest.raises(AuditError, match=message):
        await audit.verify(database, noted)
