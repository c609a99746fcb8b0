"""The server: requests a second beside other gateways, added latency, encoder cost, rollback, alarms.

    python3 dev.py bench serve [--parts alarms,gateway,latency,encoder,rollback] [--mlflow PYTHON]

Endpoint, load generator and every server have processes of their own. `--mlflow` names the Python of an environment
with mlflow[gateway]; without it the peer is the bare gateway alone. Seconds depend on what else the machine does:
what is compared is measured in turns, in one run.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _common import machine, note
from _processes import HERE, Running, free_port, load, mock_endpoint, running

from tasklift.operate.load import load_for_production
from tasklift.operate.release import Arm, Releases, Trial
from tasklift.operate.store import open_store, url_of
from tasklift.project import Project
from tasklift.stats.eprocess import log_e_paired
from tasklift.strategies.build import build
from tasklift.strategies.fitting import fit_or_load
from tasklift_platform.keys import NewKey, create_key
from tasklift_platform.scratch import postgres_programs, scratch_postgres

Row = tuple[str, str, str, bool | None]
CHAT = "/v1/chat/completions"
LABELS = ("billing", "technical", "delivery", "account", "other")
TEXT = "I was charged twice for the same order and would like my money back, please"


def write_project(folder: Path, model: str = "local") -> Project:
    """One task with 200 rows."""
    task = folder / "tasks" / "triage"
    task.mkdir(parents=True)
    (folder / "tasklift.toml").write_text(f'schema_version = 1\nname = "bench"\nmodel = "{model}"\n')
    labels = "".join(f'{label} = "Everything about {label}"\n' for label in LABELS)
    (task / "task.toml").write_text(
        'schema_version = 1\nname = "triage"\ninstruction = "Sort each message."\n[output]\nkind = "label"\n'
        f'[output.labels]\n{labels}[data]\nfile = "data.jsonl"\n'
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


def prepare(project: Project, arms: list[Arm], url: str = "") -> str:
    """Release the candidates one after the other; returns a key."""

    async def run() -> str:
        database = await open_store(url or url_of(project.state))
        releases = Releases(database, lambda name: load_for_production(project.state, name))
        for arm in arms:
            await releases.release("triage", arm, Trial(), "bench")
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


@contextmanager
def mlflow(python: str, endpoint: str) -> Iterator[Running]:
    """MLflow's gateway with one route."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        route = {
            "name": "chat",
            "endpoint_type": "llm/v1/chat",
            "model": {
                "provider": "openai",
                "name": "mock",
                "config": {"openai_api_key": "x", "openai_api_base": endpoint},
            },
        }
        config.write_text(json.dumps({"endpoints": [route]}))
        port = free_port()
        program = str(Path(python).parent / "mlflow")
        command = [program, "gateway", "start", "--config-path", str(config), "--port", str(port), "--workers", "1"]
        with running(command, port, "/health", PATH=f"{Path(python).parent}:/usr/bin:/bin", PYTHONPATH="") as found:
            yield found


def worker_of(found: Running) -> Running:
    """The process that does the work: a launcher's last descendant."""
    pid = found.process.pid
    while children := Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split():
        pid = int(children[-1])
    return Running(found.port, _Known(pid))  # type: ignore[arg-type]


class _Known:
    """A process that somebody else started."""

    def __init__(self, pid: int) -> None:
        self.pid = pid


def gateway(options: argparse.Namespace) -> list[Row]:
    """Requests a second at 50 connections in front of an endpoint that answers at once."""
    with tempfile.TemporaryDirectory() as folder, mock_endpoint(0, "billing") as endpoint:
        upstream = f"http://127.0.0.1:{endpoint.port}/v1"
        project = write_project(Path(folder), f"{upstream}#mock")
        key = prepare(project, [fitted(project, "prompt", f"{upstream}#mock")])
        port = free_port()
        bare_command = [sys.executable, str(HERE / "_bare_gateway.py"), str(port), upstream]
        with served(project) as ours, running(bare_command, port) as bare:
            systems: dict[str, tuple[Running, Callable[[], dict[str, Any]]]] = {
                "tasklift": (ours, lambda: _chat_load(ours.port, key)),
                "bare FastAPI + aiohttp": (bare, lambda: _chat_load(bare.port, key)),
            }
            if options.mlflow:
                with mlflow(options.mlflow, upstream) as peer:
                    body = {"messages": chat_body("")["messages"]}
                    path = "/gateway/chat/invocations"
                    systems["MLflow gateway"] = (worker_of(peer), lambda: _loaded(peer.port, path, body, ""))
                    return _gateway_rows(systems)
            return _gateway_rows(systems)


def _chat_load(port: int, key: str) -> dict[str, Any]:
    return _loaded(port, CHAT, chat_body("triage"), key)


def _loaded(port: int, path: str, body: dict[str, Any], key: str) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return load(port, path, body, headers, connections=50, seconds=4.0)


def _gateway_rows(systems: dict[str, tuple[Running, Callable[[], dict[str, Any]]]]) -> list[Row]:
    """Three rounds in turns; medians."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in systems}
    for _ in range(4):  # the first one warms up
        for name, (_, ask) in systems.items():
            found[name].append(ask())
            note(f"{name}: {found[name][-1]}")
    rate = {name: float(np.median([one["requests_per_s"] for one in runs[1:]])) for name, runs in found.items()}
    memory = {name: system.memory_mb for name, (system, _) in systems.items()}
    failed = sum(n for one in found["tasklift"] for status, n in one["statuses"].items() if status != "200")
    rows: list[Row] = [
        (f"{name}, 0 ms, 50 connections", f"{rate[name]:.0f} requests/s, {memory[name]:.0f} MB", "", None)
        for name in systems
    ]
    rows.append(("failed requests", str(failed), "0", failed == 0))
    if "MLflow gateway" in rate:
        ratio = rate["tasklift"] / rate["MLflow gateway"]
        share = memory["tasklift"] / memory["MLflow gateway"]
        rows.append(("against the MLflow gateway", f"{ratio:.2f}x", ">= 1.2x", ratio >= 1.2))
        rows.append(("memory against the MLflow gateway", f"{share:.2f}x", "<= 0.5x", share <= 0.5))
    return rows


def latency(_: argparse.Namespace) -> list[Row]:
    """What is added to an endpoint of 50 ms at 100 requests a second."""
    with tempfile.TemporaryDirectory() as folder, mock_endpoint(50, "billing") as endpoint:
        model = f"http://127.0.0.1:{endpoint.port}/v1#mock"
        project = write_project(Path(folder), model)
        key = prepare(project, [fitted(project, "prompt", model)])
        headers, held = {"authorization": f"Bearer {key}"}, {"connections": 32, "seconds": 8.0, "rate": 100.0}
        with served(project) as ours:
            load(ours.port, CHAT, chat_body("triage"), headers, connections=8, seconds=1.0)
            alone = load(endpoint.port, CHAT, chat_body("mock"), {}, **held)
            through = load(ours.port, CHAT, chat_body("triage"), headers, **held)
    note(f"endpoint alone {alone}; through tasklift {through}")
    added = {q: through[f"{q}_ms"] - alone[f"{q}_ms"] for q in ("p50", "p99")}
    return [
        ("added p50 at 100 requests/s, 50 ms endpoint", f"{added['p50']:.1f} ms", "<= 5 ms", added["p50"] <= 5),
        ("added p99", f"{added['p99']:.1f} ms", "<= 25 ms", added["p99"] <= 25),
    ]


def encoder(_: argparse.Namespace) -> list[Row]:
    """CPU seconds a row of a core that answers here: 32 callers at once, against a plain batch loop."""
    with tempfile.TemporaryDirectory() as folder:
        project = write_project(Path(folder))
        arm = fitted(project, "frozen", embedder="minilm")
        key = prepare(project, [arm])
        code = _BATCH_LOOP.format(folder=project.state / "artifacts" / arm.candidate, text=TEXT)
        plain = float(
            subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout
        )
        with served(project) as ours:
            headers = {"authorization": f"Bearer {key}"}
            ask = partial(load, ours.port, CHAT, chat_body("triage"), headers, connections=32)
            ask(seconds=2.0)
            before = ours.cpu_s
            done = ask(seconds=8.0)
            per_row = (ours.cpu_s - before) / sum(done["statuses"].values())
    note(f"plain {1000 * plain:.2f} ms a row, served {1000 * per_row:.2f} ms a row; {done}")
    ratio = per_row / plain
    return [("CPU a row, 32 callers, against a batch loop", f"{ratio:.2f}x", "<= 1.25x", ratio <= 1.25)]


_BATCH_LOOP = """
import asyncio, time
from pathlib import Path
from tasklift.cache import computing_afresh
from tasklift.strategies.fitting import load_candidate
from tasklift.strategy import Context
candidate = load_candidate(Path("{folder}"))
async def run(times):
    with computing_afresh():
        for _ in range(times):
            await candidate.predict([{{"text": "{text}"}}] * 32, Context())
asyncio.run(run(3))
begin = time.process_time()
asyncio.run(run(20))
print((time.process_time() - begin) / 640)
"""


def rollback(_: argparse.Namespace) -> list[Row]:
    """Two workers on Postgres, under load: failed requests, and how long the old release still answers."""
    if postgres_programs() is None:
        return [("rollback", "no Postgres here", "", None)]
    with tempfile.TemporaryDirectory() as folder, scratch_postgres() as postgres:
        project, url = write_project(Path(folder)), postgres.new_database()
        key = prepare(project, [fitted(project, "baseline"), fitted(project, "majority")], url)
        with served(project, "--workers", "2", "--database", url) as ours:
            asked = _Asking(ours.port, key)
            with asked:
                time.sleep(3)
                asyncio.run(_roll_back(url))
                done = time.monotonic()
                time.sleep(3)
    old = [at for at, _, release in asked.answers if release == "2"]
    failed = sum(status != 200 for _, status, _ in asked.answers)
    last = max(old) - done
    return [
        (f"failed of {len(asked.answers)} requests while rolling back", str(failed), "0", failed == 0),
        ("last answer of the old release after", f"{max(0.0, last):.2f} s", "<= 1 s", last <= 1),
    ]


class _Asking:
    """Threads that keep asking over kept-open connections."""

    def __init__(self, port: int, key: str, threads: int = 8) -> None:
        self.answers: list[tuple[float, int, str]] = []
        self._port, self._key, self._stop = port, key, threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        headers = {"authorization": f"Bearer {self._key}", "content-type": "application/json"}
        body = json.dumps(chat_body("triage"))
        while not self._stop.is_set():
            try:
                connection.request("POST", CHAT, body, headers)
                answer = connection.getresponse()
                answer.read()
                self.answers.append((time.monotonic(), answer.status, answer.headers.get("x-tasklift-release", "")))
            except (OSError, http.client.HTTPException):
                self.answers.append((time.monotonic(), 0, ""))
                connection.close()


async def _roll_back(url: str) -> None:
    database = await open_store(url)
    await Releases(database, lambda _: None).rollback("triage", "bench")
    await database.aclose()


def alarms(_: argparse.Namespace) -> list[Row]:
    """Pairs until a shadow that is worse is noticed: simulated, 10% of the pairs disagree."""
    random, rows = np.random.default_rng(0), list[Row]()
    for points, expected, runs in ((3, 900, 2000), (5, 300, 2000), (0, None, 4000)):
        discordant = random.random((runs, 6000)) < 0.1
        worse = discordant & (random.random((runs, 6000)) < 0.5 + points / 100 / 0.1 / 2)
        log_e = log_e_paired(np.cumsum(worse, axis=1), np.cumsum(discordant, axis=1), "more")
        alarmed = log_e >= np.log(20)
        share = float(alarmed.any(axis=1).mean())
        if expected is None:
            rows.append(("A/A false alarms over 6,000 looks", f"{share:.1%}", "<= 5%", share <= 0.05))
        else:
            first = np.where(alarmed.any(axis=1), alarmed.argmax(axis=1) + 1, 6000)
            median = float(np.median(first))
            rows.append(
                (
                    f"median pairs until a drop of {points} points",
                    f"{median:.0f}",
                    f"about {expected}",
                    median <= 1.2 * expected,
                )
            )
    return rows


PARTS: dict[str, Callable[[argparse.Namespace], list[Row]]] = {
    "alarms": alarms,
    "gateway": gateway,
    "latency": latency,
    "encoder": encoder,
    "rollback": rollback,
}


def main() -> int:
    """Run the parts; 0 where every bar is reached, else 3."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--mlflow", help="Python of an environment with mlflow[gateway]")
    options = parser.parse_args()
    rows = [row for part in options.parts.split(",") for row in PARTS[part](options)]
    for what, value, bar, met in rows:
        verdict = {None: "", True: "reached", False: "MISSED"}[met]
        print(f"{what:<48} {value:<28} {bar:<12} {verdict}")
    print(f"\n{' '.join(sys.argv)}, {time.strftime('%Y-%m-%d')}, {machine()}")
    return 3 if any(met is False for *_, met in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
