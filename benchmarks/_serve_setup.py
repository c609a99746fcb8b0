"""A project that is served, and loaded: what the rows of `bench serve` share."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _common import note
from _processes import Running, free_port, running

from tasklift.operate.load import load_for_production
from tasklift.operate.release import Arm, Releases, Trial
from tasklift.operate.store import open_store, url_of
from tasklift.project import Project
from tasklift.strategies.build import build
from tasklift.strategies.fitting import fit_or_load
from tasklift_platform.keys import NewKey, create_key

CHAT = "/v1/chat/completions"
LABELS = ("billing", "technical", "delivery", "account", "other")
TEXT = "I was charged twice for the same order and would like my money back, please"


def busy() -> str:
    """How busy the machine is, for the notes of figures in seconds, and whether this run goes before other work."""
    group = Path("/proc/self/autogroup")
    first = group.exists() and int(group.read_text(encoding="utf-8").split()[-1]) < 0
    return f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores{', with priority' if first else ''}"


def write_project(folder: Path, model: str = "local", serving: str = "audit_share = 0") -> Project:
    """One task with 200 rows."""
    task = folder / "tasks" / "triage"
    task.mkdir(parents=True)
    (folder / "tasklift.toml").write_text(f'schema_version = 1\nname = "bench"\nmodel = "{model}"\n')
    labels = "".join(f'{label} = "Everything about {label}"\n' for label in LABELS)
    (task / "task.toml").write_text(
        'schema_version = 1\nname = "triage"\ninstruction = "Sort each message."\n[output]\nkind = "label"\n'
        f'[output.labels]\n{labels}[data]\nfile = "data.jsonl"\n[serving]\n{serving}\n'
    )
    rows = [
        {"id": str(n), "input": {"text": f"{LABELS[n % 5]} {n} {TEXT}"}, "output": LABELS[n % 5]} for n in range(200)
    ]
    (task / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Project.open(folder)


def fitted(project: Project, name: str, model: str | None = None, **parameters: Any) -> Arm:
    """A saved candidate."""
    task = project.task("triage")
    made = build([name], {name: parameters}, model)[name]
    return Arm(fit_or_load(made, task.task, project.rows(task)[0], project.state, note).fingerprint, name)


def prepare(project: Project, arms: list[Arm], url: str = "", task: str = "triage") -> str:
    """Release the candidates one after the other; returns a key."""

    async def run() -> str:
        database = await open_store(url or url_of(project.state))
        releases = Releases(database, lambda name: load_for_production(project.state, name))
        for arm in arms:
            await releases.release(task, arm, Trial(), "bench")
        _, key = await create_key(database, NewKey("bench", ["*"]))
        await database.aclose()
        return key

    return asyncio.run(run())


@contextmanager
def served(project: Project, *more: str) -> Iterator[Running]:
    """`tasklift serve`."""
    port = free_port()
    command = [sys.executable, "-m", "tasklift", "serve", "-p", str(project.folder), "--port", str(port), *more]
    with running(command, port, "/readyz") as found:
        yield found


def chat_body(model: str) -> dict[str, Any]:
    """One chat request."""
    return {"model": model, "messages": [{"role": "user", "content": TEXT}]}
