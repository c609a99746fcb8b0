"""What the drivers raise, in words that say what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy import exc

from tasklift_platform.errors import (
    DatabaseBusyError,
    DatabaseDamagedError,
    DatabaseError,
    DatabaseLostError,
    DiskFullError,
)

#: Primary result code of SQLite -> what it means, and what to do.
_SQLITE: dict[int, tuple[type[DatabaseError], str]] = {
    sqlite3.SQLITE_FULL: (DiskFullError, "free some space"),
    sqlite3.SQLITE_IOERR: (DatabaseError, "the disk may be full or broken: check it"),
    sqlite3.SQLITE_BUSY: (DatabaseBusyError, "another process is writing for too long"),
    sqlite3.SQLITE_LOCKED: (DatabaseBusyError, "another connection is writing for too long"),
    sqlite3.SQLITE_READONLY: (DatabaseError, "it is not writable: check its owner and mode, or write in `write`"),
    sqlite3.SQLITE_CANTOPEN: (DatabaseError, "check its folder's owner and mode"),
    sqlite3.SQLITE_CORRUPT: (DatabaseDamagedError, "it is damaged: restore a backup"),
    sqlite3.SQLITE_NOTADB: (DatabaseDamagedError, "this file is not a database: name another one"),
}
#: SQLSTATE of Postgres, or its first two letters (a class) -> the same.
_POSTGRES: dict[str, tuple[type[DatabaseError], str]] = {
    "53100": (DiskFullError, "free some space on the database server"),
    "08": (DatabaseLostError, "is it running?"),
    "57P": (DatabaseLostError, "it is stopping or starting: try again"),
    "53": (DatabaseLostError, "it has no room for another connection: raise max_connections"),
    "40": (DatabaseBusyError, "two transactions were in each other's way: try again"),
    "55P03": (DatabaseBusyError, "a lock was held for too long"),
    "57014": (DatabaseBusyError, "the statement took too long"),
    "25006": (DatabaseError, "it takes no writes here: name the primary server, or write in `write`"),
    "28": (DatabaseError, "check user and password in the URL"),
    "3D000": (DatabaseError, "make it first: CREATE DATABASE"),
    "XX001": (DatabaseDamagedError, "it is damaged: restore a backup"),
    "XX002": (DatabaseDamagedError, "an index is damaged: REINDEX"),
}


@contextmanager
def translated(url: sa.URL) -> Iterator[None]:
    """Inside the block, failures of the database become a DatabaseError; mistakes in SQL stay what they are."""
    try:
        yield
    except exc.TimeoutError as error:
        raise DatabaseBusyError(f"{_name(url)}: every connection is in use; make transactions shorter") from error
    except exc.DBAPIError as error:
        found = _meaning(error)
        if found is None:
            raise
        kind, todo = found
        raise kind(f"{_name(url)}: {_first_line(error.orig)}; {todo}") from error
    except OSError as error:  # TimeoutError is one, and Postgres' driver raises it bare
        if url.get_backend_name() == "sqlite":
            raise  # of the caller's own block
        words = str(error) or "no answer in time"
        raise DatabaseLostError(f"{_name(url)}: no connection ({words}); is it running?") from error


def _name(url: sa.URL) -> str:
    return f"database {url.render_as_string(hide_password=True)}"


def _first_line(error: BaseException | None) -> str:
    words = str(error).strip() or type(error).__name__
    return words.splitlines()[0]


def _meaning(error: exc.DBAPIError) -> tuple[type[DatabaseError], str] | None:
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return _SQLITE.get(code & 0xFF)
    state = str(getattr(error.orig, "sqlstate", None) or "")
    for length in (5, 3, 2):
        if len(state) >= length and state[:length] in _POSTGRES:
            return _POSTGRES[state[:length]]
    if error.connection_invalidated or (not state and isinstance(error, exc.InterfaceError)):
        return DatabaseLostError, "the connection broke: try again"
    return None
