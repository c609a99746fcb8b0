"""What can be computed again: a content-addressed store on disk, in the project's `.tasklift/cache/`."""

from __future__ import annotations

import sqlite3
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Self, TypeVar

from tasklift.errors import TaskliftError

T = TypeVar("T")

_BUSY_S = 30.0  # how long to wait for another process that writes
_MANY = 500  # keys in one statement: SQLite's oldest limit is 999
#: The size of a bounded cache is looked at whenever so much of its room was written; so much is left after a cut.
_CHECK_SHARE, _LEFT_SHARE = 0.05, 0.9
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_TABLE = "CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, value BLOB NOT NULL)"
_FOLDER: ContextVar[Path | None] = ContextVar("tasklift_cache_folder", default=None)
_MOST_BYTES: ContextVar[int | None] = ContextVar("tasklift_cache_bytes", default=None)
_AFRESH: ContextVar[bool] = ContextVar("tasklift_afresh", default=False)
_AGAIN: ContextVar[bool] = ContextVar("tasklift_again", default=False)


class ContentCache:
    """Key -> bytes, where the key is a hash of all that decides the value; so entries never change.

    Safe for several threads, and for several processes on one file. A damaged file is moved aside with a
    warning and a fresh one is begun: what is lost can be computed again.

    Args:
        path: the file; its folder is made. None: in memory, gone with the process.
        max_bytes: where it grows beyond this, what was written first goes; None: it may grow.

    Raises:
        TaskliftError: the file cannot be opened or written.
    """

    def __init__(self, path: Path | str | None = None, max_bytes: int | None = None) -> None:
        self.max_bytes = max_bytes
        self._unchecked_bytes = 0
        self._database: sqlite3.Connection | None = None
        self._lock = threading.RLock()
        self.path = None if path is None else Path(path)
        len(self)  # opens the file now, so that a wrong path is noticed at once

    def get(self, key: str) -> bytes | None:
        """The value of `key`, or None."""
        return self.get_many([key]).get(key)

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Those of `keys` that are there, with their values."""
        wanted = list(dict.fromkeys(keys))

        def read(database: sqlite3.Connection) -> dict[str, bytes]:
            found: dict[str, bytes] = {}
            for start in range(0, len(wanted), _MANY):
                some = wanted[start : start + _MANY]
                marks = ",".join("?" * len(some))
                query = f"SELECT key, value FROM entries WHERE key IN ({marks})"  # noqa: S608 - only ?
                found.update(database.execute(query, some))
            return found

        return self._guarded(read)

    def put(self, key: str, value: bytes) -> None:
        """Keep `value` under `key`.

        Raises:
            TaskliftError: the disk is full, or the file cannot be written.
        """
        self.put_many({key: value})

    def put_many(self, items: Mapping[str, bytes]) -> None:
        """Keep all of `items`, or none of them.

        Raises:
            TaskliftError: the disk is full, or the file cannot be written.
        """
        rows = list(items.items())
        self._write("INSERT OR REPLACE INTO entries VALUES (?, ?)", rows)
        self._unchecked_bytes += sum(len(value) for value in items.values())
        if self.max_bytes is not None and self._unchecked_bytes > self.max_bytes * _CHECK_SHARE:
            self._unchecked_bytes = 0
            self._guarded(self._shrink)

    def delete_many(self, keys: Iterable[str]) -> None:
        """Forget `keys`, such as those of a person's texts."""
        self._write("DELETE FROM entries WHERE key = ?", [(key,) for key in keys])

    def clear(self) -> None:
        """Forget everything."""
        self._write("DELETE FROM entries", [()])

    def __len__(self) -> int:
        """How many entries there are."""
        return self._guarded(lambda database: int(database.execute("SELECT count(*) FROM entries").fetchone()[0]))

    def close(self) -> None:
        """Close the file; the next use opens it again. What is in memory is lost."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if self._database is not None:
            self._database.close()

    def _shrink(self, database: sqlite3.Connection) -> None:
        """Forget what was written first until `_LEFT_SHARE` of the room is used. Free pages are used again."""
        most = self.max_bytes or 0
        if _bytes_used(database) <= most:
            return
        while _bytes_used(database) > most * _LEFT_SHARE:
            with database:
                gone = database.execute(
                    "DELETE FROM entries WHERE rowid IN (SELECT rowid FROM entries ORDER BY rowid LIMIT ?)", (_MANY,)
                )
            if not gone.rowcount:
                return

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        def write(database: sqlite3.Connection) -> None:
            with database:  # one transaction: all rows or none
                database.executemany(statement, rows)

        if rows:
            self._guarded(write)

    def _guarded(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Run `action`; after damage, once more on a fresh file."""
        with self._lock:
            try:
                return action(self._open())
            except sqlite3.DatabaseError as error:
                if self.path is None or not _is_damage(error):
                    raise self._explained(error) from error
            self._move_aside(self.path)
            try:
                return action(self._open())
            except sqlite3.DatabaseError as error:
                raise self._explained(error) from error

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            if self.path is not None:
                _make_folder(self.path.parent)
            database = sqlite3.connect(self.path or ":memory:", timeout=_BUSY_S, check_same_thread=False)
            try:
                _use_wal(database)
                # After a power cut the last entries may be missing, which costs a second call.
                database.execute("PRAGMA synchronous = NORMAL")
                database.execute(_TABLE)
            except sqlite3.DatabaseError:
                database.close()
                raise
            self._database = database
        return self._database

    def _move_aside(self, path: Path) -> None:
        """Rename the damaged file, unless another process has done so since."""
        self.close()
        if _is_sound(path):
            return
        aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
        try:
            path.rename(aside)
            for suffix in ("-wal", "-shm"):  # they belong to the old file, and would damage the new one
                path.with_name(path.name + suffix).unlink(missing_ok=True)
        except OSError as error:
            raise TaskliftError(f"the damaged cache {path} cannot be moved ({error}); delete it") from error
        warnings.warn(
            f"the cache {path} was damaged: a new one is begun, and the old is now {aside.name}",
            stacklevel=5,
        )

    def _explained(self, error: sqlite3.DatabaseError) -> TaskliftError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        todo = {
            sqlite3.SQLITE_FULL: "the disk is full: free some space",
            sqlite3.SQLITE_IOERR: "the disk may be full or broken: check it",
            sqlite3.SQLITE_BUSY: "another process is writing for too long: stop it",
            sqlite3.SQLITE_READONLY: "it is not writable: check its owner and mode",
            sqlite3.SQLITE_CANTOPEN: "it cannot be opened: check its folder's owner and mode",
        }.get(code, "delete it to begin a new one")
        return TaskliftError(f"cache {self.path or 'in memory'}: {error}; {todo}")


def _bytes_used(database: sqlite3.Connection) -> int:
    pages, free, size = (
        int(database.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _use_wal(database: sqlite3.Connection) -> None:
    """Let readers and a writer not block each other. SQLite does not wait for a busy file here, so we do."""
    until = time.monotonic() + _BUSY_S
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(0.01)


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE


def _is_sound(path: Path) -> bool:
    database = sqlite3.connect(path, timeout=_BUSY_S)
    try:
        return bool(database.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except sqlite3.DatabaseError as error:
        return not _is_damage(error)
    finally:
        database.close()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TaskliftError(f"the cache folder {folder} cannot be made: {error.strerror}") from error


@contextmanager
def caching_in(folder: Path | None, max_bytes: int | None = None) -> Iterator[None]:
    """Inside the block, models and embedders that are opened keep their results in `folder`.

    Args:
        folder: None: in memory, for this process only.
        max_bytes: room of each cache; None: they may grow.
    """
    tokens = _FOLDER.set(folder), _MOST_BYTES.set(max_bytes)
    try:
        yield
    finally:
        _FOLDER.reset(tokens[0])
        _MOST_BYTES.reset(tokens[1])


@contextmanager
def computing_afresh() -> Iterator[None]:
    """Inside the block no vector is taken from a cache: for measuring how long an answer takes."""
    token = _AFRESH.set(True)
    try:
        yield
    finally:
        _AFRESH.reset(token)


def is_afresh() -> bool:
    """Are we inside `computing_afresh`?"""
    return _AFRESH.get()


@contextmanager
def asking_again() -> Iterator[None]:
    """Inside the block models that are opened have no response cache: every request is asked."""
    token = _AGAIN.set(True)
    try:
        yield
    finally:
        _AGAIN.reset(token)


def is_asking_again() -> bool:
    """Are we inside `asking_again`?"""
    return _AGAIN.get()


def open_cache(name: str) -> ContentCache:
    """The cache called `name` of the current project; the same object for the same file.

    Raises:
        TaskliftError: the file cannot be opened.
    """
    folder = _FOLDER.get()
    found = _open(None if folder is None else folder / f"{name}.sqlite", name)
    found.max_bytes = _MOST_BYTES.get()
    return found


@lru_cache(maxsize=16)
def _open(path: Path | None, name: str) -> ContentCache:
    return ContentCache(path)
