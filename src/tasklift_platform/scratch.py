"""A real Postgres for tests and benchmarks: started in a temporary folder, gone afterwards."""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tasklift.errors import TaskliftError

_SETTINGS = ("fsync=off", "listen_addresses=", "shared_buffers=32MB", "max_connections=60", "log_min_messages=fatal")
_ACCOUNTS = ("postgres", "nobody")  # whose process it is when we are root: it refuses to be root's


def postgres_programs() -> Path | None:
    """The folder with `initdb` and `pg_ctl`, the newest one; None where there is none."""
    found = shutil.which("pg_ctl")
    folders = [] if found is None else [Path(found).resolve().parent]
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    folders += sorted(
        versions, key=lambda folder: [int(part) for part in re.findall(r"\d+", str(folder))], reverse=True
    )
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "pg_ctl").exists()), None)


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

    def new_database(self) -> str:
        """The URL of a fresh, empty database."""
        name = f"test_{secrets.token_hex(6)}"
        self._call("psql", "-h", str(self.folder), "-U", "tasklift", "-d", "postgres", "-qc", f"CREATE DATABASE {name}")
        return f"postgresql://tasklift@/{name}?host={quote(str(self.folder))}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = " ".join(f"-c {setting}" for setting in (*_SETTINGS, f"unix_socket_directories={self.folder}"))
        log = str(self.folder / "log")
        self._call("pg_ctl", "start", "-w", "-D", str(self.folder / "data"), "-l", log, "-o", settings)

    def stop(self, mode: str = "immediate") -> None:
        """Stop it: "immediate" as in a crash, "fast" in good order."""
        self._call("pg_ctl", "stop", "-w", "-D", str(self.folder / "data"), "-m", mode)

    def _call(self, program: str, *args: str) -> None:
        path = self.programs / program
        done = subprocess.run(
            [path if path.exists() else program, *args],
            user=self.account,
            group=None if self.account is None else pwd.getpwnam(self.account).pw_gid,
            extra_groups=None if self.account is None else [],
            cwd=self.folder,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # not a pipe: the server would keep it open
            stderr=subprocess.PIPE if program != "pg_ctl" else subprocess.DEVNULL,
            text=True,
            timeout=60,
            check=False,
        )
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
    folder = Path(tempfile.mkdtemp(prefix="tasklift-pg-"))
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


def _account() -> str | None:
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    account = next((name for name in _ACCOUNTS if name in known), None)
    if account is None:
        raise TaskliftError("Postgres refuses to run as root, and there is no user called postgres or nobody")
    return account
