"""A project with fitted candidates, and the real server on a real port."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai
import pytest
import uvicorn

from tasklift.operate.load import load_for_production
from tasklift.operate.release import Arm, Release, Releases, Trial
from tasklift.operate.store import open_store
from tasklift.project import Project
from tasklift.serve.app import Worker
from tasklift.serve.settings import ServeSettings
from tasklift.strategies.build import build
from tasklift.strategies.fitting import fit_or_load
from tasklift_platform.keys import NewKey, create_key

TASK = """schema_version = 1
name = "colours"
instruction = "Which colour is meant?"
[output]
kind = "label"
[output.labels]
red = "The colour of blood"
green = "The colour of grass"
blue = "The sky"
[data]
file = "data.jsonl"
"""
WORDS = {"red": ("ruby", "tomato", "blood"), "green": ("grass", "frog", "moss"), "blue": ("sky", "ocean", "denim")}
PLACES = ("in the garden", "on my desk", "over there", "at the market")


def write_project(folder: Path, more: str = "") -> Project:
    """A project with one task, `colours`; `more` goes to the end of its task.toml."""
    task = folder / "tasks" / "colours"
    task.mkdir(parents=True)
    (folder / "tasklift.toml").write_text('schema_version = 1\nname = "shop"\n')
    (task / "task.toml").write_text(TASK + more)
    rows = [
        {"id": f"{word}-{n}", "input": {"text": f"a {word} {place}"}, "output": label}
        for label, some in WORDS.items()
        for word in some
        for n, place in enumerate(PLACES)
    ]
    (task / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Project.open(folder)


@dataclass
class Running:
    """A server that runs in a thread of this process."""

    settings: ServeSettings
    project: Project
    server: uvicorn.Server
    thread: threading.Thread
    key: str
    clients: list[openai.OpenAI] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it is."""
        port = self.server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    def fit(self, name: str, model: str | None = None, **parameters: Any) -> Arm:
        """A fitted and saved candidate, as it would be released."""
        return fit(self.project, name, model, **parameters)

    def release(self, arm: Arm, trial: Trial | None = None) -> Release:
        """Release from outside the server, as an operator does, and wait until it is followed."""
        made = release(self.settings, arm, trial)
        self.until(lambda: self.get("/readyz")["tasks"]["colours"]["release"] == made.version)
        return made

    def new_key(self, scopes: str, **rest: Any) -> str:
        """A fresh API key."""
        return new_key(self.settings, scopes, **rest)

    def query(self, sql: str) -> list[Any]:
        """Rows of the database, read beside the server."""
        with contextlib.closing(sqlite3.connect(self.settings.state / "traffic.db")) as database:
            return database.execute(sql).fetchall()

    def until(self, condition: Callable[[], bool], limit_s: float = 30.0) -> None:
        """Wait until something holds."""
        end = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.02)

    def get(self, path: str, key: str | None = None) -> Any:
        """JSON of a GET."""
        status, found, _ = self.send("GET", path, key=key)
        assert status == 200, found
        return found

    def post(self, path: str, body: Any, key: str | None = None) -> tuple[int, Any]:
        """Status and JSON of a POST."""
        return self.send("POST", path, json.dumps(body).encode(), key)[:2]

    def send(
        self, method: str, path: str, body: bytes | None = None, key: str | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, JSON (or text), headers; with the server's own key unless one is given ('': none)."""
        headers = {"content-type": "application/json"}
        if key != "":
            headers["authorization"] = f"Bearer {key or self.key}"
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=20)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            raw = answer.read().decode()
            found = json.loads(raw) if answer.headers.get_content_type() == "application/json" else raw
            return answer.status, found, {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()

    def client(self, key: str | None = None) -> openai.OpenAI:
        """OpenAI's client, pointed here."""
        made = openai.OpenAI(base_url=f"{self.url}/v1", api_key=self.key if key is None else key, max_retries=0)
        self.clients.append(made)
        return made

    def stop(self) -> None:
        """End it as SIGTERM would, and let go of the connections of its clients."""
        for client in self.clients:
            client.close()
        self.server.should_exit = True
        self.thread.join(timeout=20)
        assert not self.thread.is_alive()


def start(settings: ServeSettings, project: Project) -> Running:
    """Start a server and wait until it answers."""
    key = new_key(settings, "*")
    config = uvicorn.Config(Worker(settings), port=0, log_level="warning", lifespan="on", timeout_graceful_shutdown=10)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < until
        assert thread.is_alive()
        time.sleep(0.01)
    return Running(settings, project, server, thread, key)


def fit(project: Project, name: str, model: str | None = None, **parameters: Any) -> Arm:
    """A fitted and saved candidate."""
    task = project.task("colours")
    train, _, _ = project.rows(task)
    made = build([name], {name: parameters}, model)[name]
    return Arm(fit_or_load(made, task.task, train, project.state, print).fingerprint, name)


def release(settings: ServeSettings, arm: Arm, trial: Trial | None = None) -> Release:
    """Release a candidate."""

    async def run() -> Release:
        database = await open_store(settings.url)
        try:
            releases = Releases(database, lambda name: load_for_production(settings.state, name))
            return await releases.release("colours", arm, trial or Trial(), "me")
        finally:
            await database.aclose()

    return asyncio.run(run())


def new_key(settings: ServeSettings, scopes: str, **rest: Any) -> str:
    """A fresh API key."""

    async def run() -> str:
        database = await open_store(settings.url)
        try:
            return (await create_key(database, NewKey("test", scopes.split(), **rest)))[1]
        finally:
            await database.aclose()

    return asyncio.run(run())


@dataclass(frozen=True)
class Unserved:
    """A project that a test serves in processes of its own."""

    folder: Path
    settings: ServeSettings
    project: Project

    def fit(self, name: str) -> Arm:
        """A fitted candidate."""
        return fit(self.project, name)

    def release(self, arm: Arm, database: str = "") -> Release:
        """Release it."""
        return release(ServeSettings(str(self.folder), database), arm)


@pytest.fixture
def new_project(tmp_path: Path) -> Callable[[], Unserved]:
    """Makes a project that nobody serves."""

    def make() -> Unserved:
        project = write_project(tmp_path / "project", "[serving]\naudit_share = 0\n")
        return Unserved(project.folder, ServeSettings(str(project.folder)), project)

    return make


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[Callable[[str], Running]]:
    """Makes a server of its own: of a project whose task.toml ends with the given text, nothing released."""
    made: list[Running] = []

    def make(more: str = "") -> Running:
        folder = tmp_path / str(len(made))
        made.append(start(ServeSettings(str(folder)), write_project(folder, more)))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server whose task is answered by `baseline`, release 1."""
    folder = tmp_path_factory.mktemp("served")
    project = write_project(folder, "[serving]\naudit_share = 0\n")
    settings = ServeSettings(str(folder))
    release(settings, fit(project, "baseline"))
    found = start(settings, project)
    yield found
    found.stop()
