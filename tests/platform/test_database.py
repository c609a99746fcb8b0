from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from tasklift.errors import ConfigError
from tasklift_platform.database import Database, DatabaseOptions, now_s, parse_url
from tasklift_platform.errors import (
    DatabaseBusyError,
    DatabaseDamagedError,
    DatabaseError,
    DatabaseLostError,
    DiskFullError,
)
from tasklift_platform.scratch import ScratchPostgres
from tasklift_platform.tables import revisions


def insert(name: str) -> sa.Insert:
    return sa.insert(revisions).values(name=name, revision=1)


async def names(database: Database) -> list[str]:
    async with database.read() as connection:
        return list((await connection.execute(sa.select(revisions.c.name).order_by("name"))).scalars())


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:///a.db", "sqlite+aiosqlite"),
        ("postgresql://u:p@h/d", "postgresql+asyncpg"),
        ("postgres://u:p@h/d", "postgresql+asyncpg"),
        ("postgresql+asyncpg://u:p@h/d", "postgresql+asyncpg"),
    ],
)
def test_plain_urls_get_their_async_driver(url: str, driver: str) -> None:
    assert parse_url(url).drivername == driver


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://h/d", "sqlite://", "sqlite:///:memory:"])
def test_a_url_that_cannot_be_used_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ConfigError, match=r"sqlite:///file\.db"):
        parse_url(url)


def test_a_password_is_in_no_message() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url("mysql://user:hunter2@host/name")
    assert "hunter2" not in str(caught.value)


async def test_what_is_written_is_read(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(insert("a"))
    assert await names(database) == ["a"]


async def test_a_block_that_raises_stores_nothing(database: Database) -> None:
    async def half(connection: AsyncConnection) -> None:
        await connection.execute(insert("a"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.run(half)
    assert await names(database) == []


async def test_a_reading_transaction_cannot_write(database: Database) -> None:
    with pytest.raises(DatabaseError, match="write"):
        async with database.read() as connection:
            await connection.execute(insert("a"))


async def test_a_violated_constraint_stays_an_integrity_error(database: Database) -> None:
    await database.run(lambda connection: connection.execute(insert("a")))
    with pytest.raises(sa.exc.IntegrityError):
        await database.run(lambda connection: connection.execute(insert("a")))


async def test_many_writers_at_once_lose_no_write(database: Database) -> None:
    async def add(n: int) -> None:
        async with database.write() as connection:
            await connection.execute(insert(f"{n:03}"))

    await asyncio.gather(*(add(n) for n in range(60)))
    assert len(await names(database)) == 60


async def test_cancelled_writers_leave_the_database_usable(database: Database) -> None:
    async def add(n: int) -> None:
        async with database.write() as connection:
            await connection.execute(insert(f"{n:03}"))

    for n in range(20):
        task = asyncio.create_task(add(n))
        await asyncio.sleep(0.0004 * n)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await add(999)
    assert "999" in await names(database)


async def test_the_clock_is_the_databases_and_in_unix_seconds(database: Database) -> None:
    assert await database.now_s() == pytest.approx(time.time(), abs=2.0)
    async with database.read() as connection:
        later = (await connection.execute(sa.select(now_s() - 5.0 < now_s()))).scalar_one()
    assert later


async def test_sqlite_files_are_for_the_owner_only_and_in_wal_mode(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "x.db"
    database = await Database.open(f"sqlite:///{path}", DatabaseOptions(synchronous="normal"))
    async with database.write() as connection:
        pragmas = ("journal_mode", "synchronous", "foreign_keys")
        values = [(await connection.exec_driver_sql(f"PRAGMA {name}")).scalar() for name in pragmas]
    await database.aclose()
    assert values == ["wal", 1, 1]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_two_processes_write_one_sqlite_file_in_turns(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import asyncio, sys
        import sqlalchemy as sa
        from tasklift_platform.database import Database

        async def main():
            database = await Database.open(sys.argv[1])
            for _ in range(100):
                async with database.write() as connection:
                    n = (await connection.execute(sa.text("SELECT n FROM counter"))).scalar()
                    await connection.execute(sa.text("UPDATE counter SET n = :n"), {"n": n + 1})
            await database.aclose()

        asyncio.run(main())
    """)
    url = f"sqlite:///{tmp_path / 'x.db'}"
    database = await Database.open(url)
    async with database.write() as connection:
        await connection.execute(sa.text("CREATE TABLE counter (n INTEGER)"))
        await connection.execute(sa.text("INSERT INTO counter VALUES (0)"))
    processes = [await asyncio.create_subprocess_exec(sys.executable, "-c", script, url) for _ in range(2)]
    assert [await process.wait() for process in processes] == [0, 0]
    async with database.read() as connection:
        assert (await connection.execute(sa.text("SELECT n FROM counter"))).scalar() == 200
    await database.aclose()


async def test_a_writer_that_waits_too_long_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    database = await Database.open(f"sqlite:///{path}", DatabaseOptions(busy_timeout_s=0.05))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseBusyError, match="another process is writing"):
        async with database.write():
            pass
    other.close()
    await database.aclose()


async def test_a_full_disk_is_named_and_stores_nothing(tmp_path: Path) -> None:
    database = await Database.open(f"sqlite:///{tmp_path / 'x.db'}")
    async with database.write() as connection:
        await connection.execute(sa.text("CREATE TABLE t (x TEXT)"))
        await connection.exec_driver_sql("PRAGMA max_page_count = 8")
    with pytest.raises(DiskFullError, match="free some space") as caught:
        async with database.write() as connection:
            await connection.execute(sa.text("INSERT INTO t VALUES (:x)"), {"x": "y" * 100_000})
    assert "x.db" not in caught.value.public
    async with database.write() as connection:
        assert (await connection.execute(sa.text("SELECT count(*) FROM t"))).scalar() == 0
        await connection.execute(sa.text("INSERT INTO t VALUES ('small')"))
    await database.aclose()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"this is a letter to my aunt " * 100)
    with pytest.raises(DatabaseDamagedError, match="not a database"):
        await Database.open(f"sqlite:///{path}")


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file/x\.db"):
        await Database.open(f"sqlite:///{tmp_path / 'file' / 'x.db'}")


async def test_no_postgres_there_is_a_lost_database(tmp_path: Path) -> None:
    with pytest.raises(DatabaseLostError, match="is it running"):
        await Database.open("postgresql://u:hunter2@127.0.0.1:1/x")
    with pytest.raises(DatabaseLostError, match="is it running"):
        await Database.open(f"postgresql://u@/x?host={tmp_path}")


async def test_a_lost_database_is_told_without_its_password(postgres: ScratchPostgres) -> None:
    url = postgres.new_database().replace("tasklift@", "tasklift:hunter2@")
    database = await Database.open(url)
    assert "hunter2" not in repr(database)
    await database.aclose()
    with pytest.raises(DatabaseLostError) as caught:
        await Database.open("postgresql://u:hunter2@127.0.0.1:1/x")
    assert "hunter2" not in str(caught.value)
    assert "127.0.0.1" not in caught.value.public
    postgres.recycle(url)


async def test_a_missing_postgres_database_says_how_to_make_it(postgres: ScratchPostgres) -> None:
    with pytest.raises(DatabaseError, match="CREATE DATABASE"):
        await Database.open(f"postgresql://tasklift@/absent?host={postgres.folder}")


async def test_a_statement_and_a_lock_that_take_too_long_are_busy(postgres: ScratchPostgres) -> None:
    url = postgres.new_database()
    database = await Database.open(url, DatabaseOptions(statement_timeout_s=0.3, busy_timeout_s=0.1))
    with pytest.raises(DatabaseBusyError, match="took too long"):
        await database.run(lambda connection: connection.execute(sa.text("SELECT pg_sleep(2)")), patience_s=0)
    lock = sa.text("SELECT pg_advisory_xact_lock(1)")
    async with database.write() as connection:
        await connection.execute(lock)
        with pytest.raises(DatabaseBusyError, match="lock was held"):
            await database.run(lambda other: other.execute(lock), patience_s=0)
    await database.aclose()


async def test_writes_go_on_after_postgres_crashed_and_came_back(postgres: ScratchPostgres) -> None:
    database = await Database.open(postgres.new_database())
    async with database.write() as connection:
        await connection.execute(sa.text("CREATE TABLE t (id INT PRIMARY KEY)"))

    async def add(n: int) -> None:
        statement = sa.text("INSERT INTO t VALUES (:n) ON CONFLICT DO NOTHING")
        await database.run(lambda connection: connection.execute(statement, {"n": n}), patience_s=20)

    async def crash() -> None:
        await asyncio.sleep(0.05)
        await asyncio.to_thread(postgres.stop)
        await asyncio.to_thread(postgres.start)

    async def load() -> None:
        for n in range(300):
            await add(n)
            await asyncio.sleep(0.001)

    await asyncio.gather(crash(), load())
    async with database.read() as connection:
        assert (await connection.execute(sa.text("SELECT count(*) FROM t"))).scalar() == 300
    await database.aclose()


def test_importing_the_platform_reads_nothing_and_loads_no_model(tmp_path: Path) -> None:
    code = (
        "import sys, tasklift_platform.database, tasklift_platform.keys;"
        "print([m for m in ('torch', 'numpy', 'sklearn', 'tasklift.task') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=dict(os.environ), check=True
    )
    assert done.stdout.strip() == "[]"
