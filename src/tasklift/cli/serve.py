"""`tasklift serve` and `tasklift keys`."""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import os
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from tasklift.cli import show
from tasklift.errors import ConfigError, MissingDependencyError
from tasklift.project import Project

try:
    from tasklift.operate.store import open_store
    from tasklift.serve.access import SCOPES
    from tasklift.serve.settings import FOLDER_VARIABLE, ServeSettings
    from tasklift_platform.database import Database
    from tasklift_platform.keys import NewKey, create_key, list_keys, revoke_key
except ModuleNotFoundError as error:
    raise MissingDependencyError(f"serving ({error.name})", "serve") from error

if sys.platform != "win32":
    import resource

T = TypeVar("T")
#: How long requests under way may take once the server is told to stop.
GRACE_S = 30


def serve(folder: Path, host: str, port: int, workers: int, database: str | None, is_open: bool) -> int:
    """Serve until told to stop; then finish what is under way and write all traces."""
    project = Project.open(folder)
    settings = settings_of(folder, database, is_open, workers)
    if is_open and not _is_this_machine(host):
        raise ConfigError(
            f"--open asks nobody for a key, so it serves this machine only; --host {host} is another address"
        )
    asyncio.run(_say(project, settings, f"http://{host}:{port}"))
    os.environ.update(settings.environment())
    with tempfile.TemporaryDirectory(prefix="tasklift-metrics-") as shared:
        if workers > 1:
            os.environ[FOLDER_VARIABLE] = shared  # read when a worker imports prometheus_client
        _run(host, port, workers)
    return 0


def _run(host: str, port: int, workers: int) -> None:
    """Until a signal. uvicorn raises the signal again when it is done; by then it is no reason to fail."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    _allow_many_connections()
    uvicorn = importlib.import_module("uvicorn")
    uvicorn.run(
        "tasklift.serve.app:create",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=30,
        http="tasklift.serve.protocol:Protocol",  # by name: each worker process imports it
        h11_max_incomplete_event_size=64 * 1024,
    )


def _allow_many_connections() -> None:
    """Each connection is an open file, and the usual 1,024 are few where slow clients hold some."""
    if sys.platform != "win32":
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def settings_of(folder: Path, database: str | None, is_open: bool = False, workers: int = 1) -> ServeSettings:
    """The settings of a project."""
    return ServeSettings(str(folder.resolve()), database or "", is_open, workers)


def with_database(folder: Path, url: str | None, action: Callable[[Database], Awaitable[T]]) -> T:
    """Run `action` with the project's database open."""

    async def run() -> T:
        database = await open_store(settings_of(folder, url).url)
        try:
            return await action(database)
        finally:
            await database.aclose()

    return asyncio.run(run())


async def _say(project: Project, settings: ServeSettings, address: str) -> None:
    """What is served, on standard error; the tables are made here, before the workers want them."""
    database = await open_store(settings.url)
    try:
        keys = [key for key in await list_keys(database) if key.revoked_at is None]
    finally:
        await database.aclose()
    print(f"tasklift: {', '.join(project.tasks)} at {address}/v1 ({settings.workers} workers)", file=sys.stderr)
    if not settings.is_open and not keys:
        print("tasklift: there is no key yet; make one with `tasklift keys add NAME`", file=sys.stderr)


def keys_add(
    name: str,
    folder: Path,
    database: str | None,
    scopes: str,
    days: float | None,
    per_minute: float | None,
    as_json: bool,
) -> int:
    """Make a key and print it, once."""
    Project.open(folder)
    wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    unknown = [scope for scope in wanted if scope != "*" and scope.partition(":")[0] not in SCOPES]
    if unknown or not wanted:
        raise ConfigError(
            f"no scope is called {(unknown or [''])[0]!r}; there are: {', '.join(SCOPES)}, predict:TASK, *"
        )
    new = NewKey(name, wanted, None if days is None else days * 86400, per_minute)
    key, secret = with_database(folder, database, lambda found: create_key(found, new))
    if as_json:
        show.print_json({"id": key.id, "name": key.name, "scopes": sorted(key.scopes), "key": secret})
    else:
        print(secret)
        print(f"tasklift: this key is shown once ({key.name}: {', '.join(sorted(key.scopes))})", file=sys.stderr)
    return 0


def keys_list(folder: Path, database: str | None, as_json: bool) -> int:
    """Every key, without its secret."""
    Project.open(folder)
    found = with_database(folder, database, list_keys)
    rows = [
        {
            "id": key.id,
            "name": key.name,
            "scopes": sorted(key.scopes),
            "expires_at": key.expires_at,
            "revoked_at": key.revoked_at,
        }
        for key in found
    ]
    if as_json:
        show.print_json({"keys": rows})
        return 0
    for key in found:
        print(f"{key.id}  {key.name}  {', '.join(sorted(key.scopes))}{'  revoked' if key.revoked_at else ''}")
    return 0


def keys_revoke(identity: str, folder: Path, database: str | None) -> int:
    """Revoke a key, on every worker within a second."""
    Project.open(folder)
    if not with_database(folder, database, lambda found: revoke_key(found, identity)):
        raise ConfigError(f"no key in use is called {identity!r}; `tasklift keys list` shows them")
    print(f"{identity} is revoked")
    return 0


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
