"""One database, SQLite or Postgres by URL: short transactions, one writer on SQLite, errors that say what to do.

    database = await Database.open("sqlite:///state/server.db")
    async with database.write() as connection:
        await connection.execute(...)

SQLite runs in WAL mode: readers never wait, writers take turns. In one process they queue for the single
writing connection; processes wait for each other at BEGIN IMMEDIATE, so a transaction that began can not
fail half-way because another one was quicker.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

from tasklift.errors import ConfigError
from tasklift_platform.database_errors import translated
from tasklift_platform.errors import DatabaseError

T = TypeVar("T")

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}


@dataclass(frozen=True, slots=True)
class DatabaseOptions:
    """How to use one database.

    Attributes:
        synchronous: SQLite only. "full" waits for the disk at every commit: nothing acknowledged is lost even
            when the power fails. "normal" survives a killed process, but may lose the last commits when the
            machine goes down; the file stays whole either way. Postgres follows its own synchronous_commit.
        busy_timeout_s: how long a writer waits for its turn.
        connections: at most this many at once: Postgres in all, SQLite for reading (one more writes).
        connect_timeout_s: Postgres only: how long to wait for a connection.
        statement_timeout_s: Postgres only: longest statement; migrations of large tables need more.
    """

    synchronous: Literal["normal", "full"] = "full"
    busy_timeout_s: float = 15.0
    connections: int = 5
    connect_timeout_s: float = 5.0
    statement_timeout_s: float = 30.0

    def __post_init__(self) -> None:
        if self.synchronous not in ("normal", "full"):
            raise ConfigError(f"synchronous must be 'normal' or 'full', not {self.synchronous!r}")
        for name in ("busy_timeout_s", "connections", "connect_timeout_s", "statement_timeout_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0, not {getattr(self, name)!r}")


class now_s(GenericFunction[float]):
    """The database's clock in Unix seconds, in SQL: machines with wrong clocks agree on it.

    On Postgres the time of the call, not of the transaction's beginning. On SQLite in milliseconds.
    """

    type = sa.Double()
    inherit_cache = True


@compiles(now_s, "sqlite")
def _now_sqlite(*_: Any, **__: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now_s, "postgresql")
def _now_postgresql(*_: Any, **__: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


class Database:
    """A pool of connections to one database. Made by `open`, closed by `aclose`; belongs to one event loop."""

    def __init__(self, url: sa.URL, writer: AsyncEngine, reader: AsyncEngine) -> None:
        self.url = url
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self._writer, self._reader = writer, reader

    @classmethod
    async def open(cls, url: str, options: DatabaseOptions | None = None) -> Database:
        """Connect, and prove that the database answers.

        Args:
            url: `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://user:password@host/name`.
                The file and its folder are made where they are missing, readable by the owner only.
            options: how to use it.

        Raises:
            ConfigError: the address cannot be used.
            DatabaseError: it does not answer.
        """
        options = options or DatabaseOptions()
        address = parse_url(url)
        database = cls(address, *(_sqlite if address.get_backend_name() == "sqlite" else _postgres)(address, options))
        try:
            async with database.read() as connection:
                await connection.execute(sa.select(now_s()))
        except DatabaseError:
            await database.aclose()
            raise
        return database

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that cannot write: one moment's view of the data.

        Raises:
            DatabaseError: see `write`.
        """
        with translated(self.url):
            async with self._reader.begin() as connection:
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed at the end of the block and rolled back when it raises.

        Keep it short and await nothing else inside: on SQLite every other writer is waiting.

        Raises:
            DatabaseLostError, DatabaseBusyError, DiskFullError, DatabaseDamagedError: nothing was stored; only
                where the connection broke during the commit itself it is not known.
            sqlalchemy.exc.IntegrityError: a constraint was violated; the caller knows what that means.
        """
        with translated(self.url):
            async with self._writer.begin() as connection:
                yield connection

    async def run(self, action: Callable[[AsyncConnection], Awaitable[T]], *, patience_s: float = 10.0) -> T:
        """`action` in a write transaction; again, for up to `patience_s`, where the database was lost or busy.

        It may run twice though the first run was committed, so it has to be idempotent: insert with an id made
        beforehand and ON CONFLICT DO NOTHING, for instance.

        Raises:
            DatabaseError: it did not work, and waiting longer is of no use.
        """
        loop = asyncio.get_running_loop()
        until, pause_s = loop.time() + patience_s, 0.05
        while True:
            try:
                async with self.write() as connection:
                    return await action(connection)
            except DatabaseError as error:
                if not error.is_transient or loop.time() + pause_s > until:
                    raise
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(1.0, pause_s * 2)

    async def scrub(self, *tables: str, patience_s: float = 5.0) -> bool:
        """Leave nothing readable of rows that were deleted before: SQLite's log of changes is emptied, dead rows of
        `tables` are removed from Postgres' pages. False where others were in the way for `patience_s`; it happens
        by itself later.

        Raises:
            DatabaseError: the database failed.
        """
        until = time.monotonic() + patience_s
        command = "PRAGMA wal_checkpoint(TRUNCATE)" if self.is_sqlite else f"VACUUM {', '.join(tables)}"
        with translated(self.url):
            while True:
                async with self._writer.connect() as connection:
                    raw: Any = (
                        await connection.get_raw_connection()
                    ).driver_connection  # neither runs in a transaction
                    done = await raw.execute(command)
                    is_busy = self.is_sqlite and bool((await done.fetchone())[0])
                if not is_busy or time.monotonic() > until:
                    return not is_busy
                await asyncio.sleep(0.05)

    async def now_s(self) -> float:
        """The database's clock, in Unix seconds."""
        async with self.read() as connection:
            return float((await connection.execute(sa.select(now_s()))).scalar_one())

    async def aclose(self) -> None:
        """Close every connection."""
        await self._reader.dispose()
        if self._writer is not self._reader:
            await self._writer.dispose()

    def __repr__(self) -> str:
        return f"Database({self.url.render_as_string(hide_password=True)!r})"


def parse_url(url: str) -> sa.URL:
    """The address with its async driver.

    Raises:
        ConfigError: no URL, another kind of database, or SQLite without a file.
    """
    try:
        address = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise ConfigError("the database URL cannot be read; write sqlite:///file.db or postgresql://...") from None
    driver = _DRIVERS.get(address.drivername)
    if driver is None:
        raise ConfigError(f"no database is called {address.drivername!r}; write sqlite:///file.db or postgresql://...")
    if driver.startswith("sqlite") and address.database in (None, "", ":memory:"):
        raise ConfigError("a database in memory cannot be shared by connections; write sqlite:///file.db")
    return address.set(drivername=driver)


def _sqlite(address: sa.URL, options: DatabaseOptions) -> tuple[AsyncEngine, AsyncEngine]:
    _make_file(Path(address.database or ""))  # `_address` has refused one without a file
    arguments = {"timeout": options.busy_timeout_s}
    pool = {"pool_timeout": options.busy_timeout_s, "max_overflow": 0}
    writer = create_async_engine(address, connect_args=arguments, pool_size=1, **pool)
    reader = create_async_engine(address, connect_args=arguments, pool_size=options.connections, **pool)
    for engine, is_writer in ((writer, True), (reader, False)):
        _prepare_sqlite(engine, options, is_writer)
    return writer, reader


def _prepare_sqlite(engine: AsyncEngine, options: DatabaseOptions, is_writer: bool) -> None:
    pragmas = [
        f"PRAGMA busy_timeout = {int(options.busy_timeout_s * 1000)}",
        "PRAGMA journal_mode = WAL",
        f"PRAGMA synchronous = {options.synchronous}",
        "PRAGMA secure_delete = ON",  # what is deleted is overwritten: erasing a person leaves no bytes in free pages
        "PRAGMA foreign_keys = ON",
        "PRAGMA query_only = " + ("OFF" if is_writer else "ON"),
    ]

    @sa.event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver begins no transactions of its own: `begin` below does
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(pragma)
        cursor.close()

    @sa.event.listens_for(engine.sync_engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")


def _make_file(path: Path) -> None:
    """Made beforehand, so that others never have a moment to read it; WAL files take over its mode."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise ConfigError(f"the database {path} cannot be opened: {error.strerror}") from error


def _postgres(address: sa.URL, options: DatabaseOptions) -> tuple[AsyncEngine, AsyncEngine]:
    engine = create_async_engine(
        address,
        pool_size=options.connections,
        max_overflow=0,
        pool_timeout=options.busy_timeout_s,
        pool_pre_ping=True,  # after a restart of the server nobody meets a dead connection
        connect_args={
            "timeout": options.connect_timeout_s,
            "command_timeout": options.statement_timeout_s + 5.0,  # for a server that does not even say no
            "server_settings": {
                "application_name": "tasklift",
                "lock_timeout": str(int(options.busy_timeout_s * 1000)),
                "statement_timeout": str(int(options.statement_timeout_s * 1000)),
            },
        },
    )
    return engine, engine.execution_options(postgresql_readonly=True)
