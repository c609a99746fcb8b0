"""A content-addressed store on disk, and a model that asks it first."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self, TypeVar

from tasklift.errors import TaskliftError
from tasklift.llm.model import Model, Reply, Request
from tasklift.prediction import Usage

T = TypeVar("T")

_BUSY_S = 30.0  # how long to wait for another process that writes
_MANY = 500  # keys in one statement: SQLite's oldest limit is 999
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_TABLE = "CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, value BLOB NOT NULL)"


class ContentCache:
    """Key -> bytes, where the key is a hash of all that decides the value; so entries never change.

    Safe for several threads, and for several processes on one file. A damaged file is moved aside with a
    warning and a fresh one is begun: what is lost can be computed again.

    Args:
        path: the file; its folder is made. None: in memory, gone with the process.

    Raises:
        TaskliftError: the file cannot be opened or written.
    """

    def __init__(self, path: Path | str | None = None) -> None:
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

    def delete_many(self, keys: Iterable[str]) -> None:
        """Forget `keys`, such as those of a person's texts."""
        self._write("DELETE FROM entries WHERE key = ?", [(key,) for key in keys])

    def clear(self) -> None:
        """Forget everything."""
        self._write("DELETE FROM entries", [()])

    def __len__(self) -> int:
        """How many entries there are."""
        return self._guarded(
            lambda database: int(database.execute("SELECT count(*) FROM entries").fetchone()[0])
        )

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
            self._move_aside()
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

    def _move_aside(self) -> None:
        """Rename the damaged file, unless another process has done so since."""
        assert self.path is not None
        self.close()
        if _is_sound(self.path):
            return
        aside = self.path.with_name(f"{self.path.name}.damaged-{time.time_ns()}")
        try:
            self.path.rename(aside)
            for suffix in ("-wal", "-shm"):  # they belong to the old file, and would damage the new one
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        except OSError as error:
            raise TaskliftError(
                f"the damaged cache {self.path} cannot be moved ({error}); delete it"
            ) from error
        warnings.warn(
            f"the cache {self.path} was damaged: a new one is begun, and the old is now {aside.name}",
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


@dataclass(slots=True)
class _Shared:
    """One call that several callers wait for."""

    task: asyncio.Task[Reply]
    waiters: int = 0


class CachedModel:
    """`model`, asked once for each request: later equal requests are served from `cache`.

    Equal requests at the same time share one call. Errors are not kept. `Request.repeat` makes an
    equal request a different one. The cache stays open when the model is closed: others may use it.
    """

    def __init__(self, model: Model, cache: ContentCache) -> None:
        self.inner = model
        self.name = model.name
        self.snapshot = model.snapshot
        self.remote = model.remote
        self.data_leaves_machine = model.data_leaves_machine
        self.deterministic = model.deterministic
        self._cache = cache
        self._under_way: dict[tuple[asyncio.AbstractEventLoop, str], _Shared] = {}

    def __repr__(self) -> str:
        return f"CachedModel({self.inner!r})"

    async def complete(self, request: Request) -> Reply:
        """Answer one request, from the cache where it is there; then `cached` is True.

        Raises:
            ModelError: the call failed; its `kind` says how.
            TaskliftError: the cache cannot be read or written.
        """
        key = request.key(self.snapshot)
        if (reply := _unpacked(self._cache.get(key))) is not None:
            return reply
        place = (asyncio.get_running_loop(), key)
        shared = self._under_way.get(place)
        is_first = shared is None or shared.task.done()
        if shared is None or is_first:
            shared = self._under_way[place] = _Shared(asyncio.create_task(self._call(request, key)))
        shared.waiters += 1
        try:
            reply = await asyncio.shield(shared.task)  # one caller that gives up must not stop the others
        finally:
            shared.waiters -= 1
            if shared.waiters == 0:
                shared.task.cancel()  # nobody wants the answer any more; no effect where it is there
                if self._under_way.get(place) is shared:
                    del self._under_way[place]
        return reply if is_first else replace(reply, cached=True)

    async def aclose(self) -> None:
        """Close the model; not the cache."""
        await self.inner.aclose()

    async def _call(self, request: Request, key: str) -> Reply:
        reply = await self.inner.complete(request)
        self._cache.put(key, _packed(reply))
        return reply


def _packed(reply: Reply) -> bytes:
    row = {"text": reply.text, "usage": asdict(reply.usage), "latency_s": reply.latency_s}
    if reply.log_probs is not None:
        row["log_probs"] = dict(reply.log_probs)
    return json.dumps(row, ensure_ascii=False).encode(errors="surrogatepass")


def _unpacked(value: bytes | None) -> Reply | None:
    """The reply, marked as cached; None where there is none or another version wrote it."""
    if value is None:
        return None
    try:
        row = json.loads(value.decode(errors="surrogatepass"))
        return Reply(row["text"], row.get("log_probs"), Usage(**row["usage"]), row["latency_s"], cached=True)
    except (ValueError, KeyError, TypeError):
        return None
