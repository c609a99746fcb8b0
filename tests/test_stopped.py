"""Real processes that are killed, run out of disk, or meet: what goes on afterwards ends in equal results."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
import resource
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tasklift.cli import project as project_command
from tasklift.llm.fake import FakeEndpoint

STRATEGIES = "majority,baseline,knn,prompt,layered"
PARAMETERS = """
[strategies.knn]
embedder = "static"

[strategies.layered]
core = "baseline"
prompt = "prompt"
alpha = 0.4
"""
WORDS = {
    "billing": ["invoice", "refund", "charge", "payment", "receipt", "price"],
    "technical": ["crash", "error", "login", "screen", "battery", "update"],
    "other": ["thanks", "shop", "hiring", "hello", "weather", "holiday"],
}
Said = subprocess.CompletedProcess[str]


@dataclass
class Reference:
    """An undisturbed run: its figures, what each candidate said to each row, requests to the endpoint."""

    figures: dict[str, Any]
    answers: dict[tuple[str, str], Any]
    requests: int


@pytest.fixture(scope="module")
def served() -> Iterator[FakeEndpoint]:
    """A real server that takes 20 ms and answers by the text."""

    def answer(body: Mapping[str, Any]) -> str:
        labels = body["response_format"]["json_schema"]["schema"]["properties"]["label"]["enum"]
        said = json.dumps(body["messages"][-1])
        return str(labels[hashlib.sha256(said.encode()).digest()[0] % len(labels)])

    server, ready, done = FakeEndpoint(answer=answer, delay_s=0.02), threading.Event(), threading.Event()

    async def serve() -> None:
        async with server:
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    ready.wait()
    yield server
    done.set()
    thread.join()


@pytest.fixture(scope="module")
def reference(served: FakeEndpoint, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = make_project(tmp_path_factory.mktemp("undisturbed"))
    found = figures(run(command(folder, served)))
    return Reference(found, answers(folder), len(served.received))


@pytest.fixture
def endpoint(served: FakeEndpoint, reference: Reference) -> FakeEndpoint:
    """The server, with its count at nothing."""
    served.received.clear()
    return served


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path)


def make_project(home: Path) -> Path:
    """A project of 216 rows."""
    folder = home / "shop"
    project_command.init(folder, "triage")
    task = folder / "tasks" / "triage" / "task.toml"
    task.write_text(task.read_text(encoding="utf-8") + PARAMETERS, encoding="utf-8")
    rows = [
        {"id": f"{label}-{word}-{n}", "input": {"text": f"{word} again, for the time number {n}"}, "output": label}
        for label, words in WORDS.items()
        for word in words
        for n in range(12)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (task.parent / "data.jsonl").write_text(lines, encoding="utf-8")
    return folder


def command(project: Path, endpoint: FakeEndpoint, *more: str) -> list[str]:
    model = f"{endpoint.url}#{endpoint.model}"
    words = ["evaluate", "-p", str(project), "--strategies", STRATEGIES, "--model", model, "--json"]
    return [sys.executable, "-m", "tasklift", *words, *more]


def run(words: list[str], **rest: Any) -> Said:
    return subprocess.run(words, capture_output=True, text=True, check=False, **rest)


def ended_as(process: subprocess.Popen[str]) -> Said:
    out, err = process.communicate()
    return Said(process.args, process.returncode, out, err)


def figures(said: Said) -> dict[str, Any]:
    """Everything of an evaluation that is no measure of time."""
    assert said.returncode == 0, said.stderr
    names = ("fingerprint", "metrics", "coverage", "ece", "brier", "failures", "against_reference", "notes")
    return {
        one["name"]: {name: one[name] for name in names} | {"calls": one["usage"]["calls"]}
        for one in json.loads(said.stdout)["candidates"]
    }


def answers(project: Path) -> dict[tuple[str, str], Any]:
    """(candidate, row) -> what was said, from whole lines of the file."""
    found = {}
    for path in project.glob(".tasklift/evaluations/*/predictions.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                row = json.loads(line)
                found[row["candidate"], row["id"]] = without_seconds(row)
    return found


def without_seconds(row: Any) -> Any:
    if isinstance(row, dict):
        return {key: without_seconds(value) for key, value in row.items() if key not in ("latency_s", "cpu_s")}
    return [without_seconds(value) for value in row] if isinstance(row, list) else row


def asked_twice(endpoint: FakeEndpoint) -> int:
    counts = Counter(json.dumps(body, sort_keys=True) for body in endpoint.received)
    return sum(counts.values()) - len(counts)


def test_a_killed_evaluation_goes_on_to_equal_results(
    project: Path, endpoint: FakeEndpoint, reference: Reference
) -> None:
    chance = random.Random(3)
    for part in (0.0, 0.3, 0.7):
        process = subprocess.Popen(command(project, endpoint), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while process.poll() is None and len(endpoint.received) < part * reference.requests + 1:
            time.sleep(chance.uniform(0.001, 0.02))
        process.kill()
        process.communicate()
    assert figures(run(command(project, endpoint))) == reference.figures
    assert answers(project) == reference.answers
    assert asked_twice(endpoint) <= 3 * 64
    assert not list(project.glob(".tasklift/**/lock"))


def test_a_disk_that_fills_is_said_and_afterwards_the_evaluation_goes_on(
    project: Path, endpoint: FakeEndpoint, reference: Reference
) -> None:
    """No file may grow above the limit, which the system refuses as it refuses a full disk."""
    limit = max(path.stat().st_size for path in project.rglob("*") if path.is_file()) + 20_000

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    full = run(command(project, endpoint), preexec_fn=small_disk)
    assert full.returncode == 2, full.stderr
    assert "Traceback" not in full.stderr
    last = full.stderr.strip().splitlines()[-1]
    assert last.startswith("tasklift: ")
    assert "free some space" in last or "check it" in last
    assert figures(run(command(project, endpoint))) == reference.figures
    assert answers(project) == reference.answers


def test_two_processes_share_what_they_can(project: Path, endpoint: FakeEndpoint, reference: Reference) -> None:
    """The same evaluation runs once; another one beside it shares candidates and cache."""
    started = [
        subprocess.Popen(command(project, endpoint, *more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for more in ((), (), ("--rows", "30"))
    ]
    ended = [ended_as(process) for process in started]
    refused = [one for one in ended[:2] if one.returncode]
    assert len(refused) <= 1  # none where one began when the other had finished
    for one in refused:
        assert one.returncode == 2
        assert "is running this evaluation; wait for it, or stop it" in one.stderr
    for one in ended[:2]:
        assert one in refused or figures(one) == reference.figures
    small, whole = figures(ended[2]), reference.figures
    assert {name: one["fingerprint"] for name, one in small.items()} == {
        name: one["fingerprint"] for name, one in whole.items()
    }
    artifacts = {path.name for path in (project / ".tasklift" / "artifacts").iterdir()}
    assert {one["fingerprint"] for one in whole.values()} <= artifacts
    assert not any(name.startswith(".") for name in artifacts)
