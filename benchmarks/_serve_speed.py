"""How fast, and at what cost: requests a second beside other gateways, added latency, CPU of an encoder."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _common import Figure, note
from _processes import HERE, Running, free_port, load, mock_endpoint, running
from _serve_peers import LITELLM_KEY, litellm, mlflow
from _serve_setup import CHAT, TEXT, busy, chat_body, fitted, prepare, served, write_project

Asking = Callable[[], dict[str, Any]]


def gateway(options: argparse.Namespace) -> list[Figure]:
    """Requests a second at 50 connections in front of an endpoint that answers at once; one worker each."""
    with tempfile.TemporaryDirectory() as folder, mock_endpoint(0, "billing") as endpoint, ExitStack() as stack:
        upstream = f"http://127.0.0.1:{endpoint.port}/v1"
        project = write_project(Path(folder), f"{upstream}#mock")
        key = prepare(project, [fitted(project, "prompt", f"{upstream}#mock")])
        ours, port = stack.enter_context(served(project)), free_port()
        bare = stack.enter_context(running([sys.executable, str(HERE / "_bare_gateway.py"), str(port), upstream], port))
        systems: dict[str, tuple[Running, Asking]] = {
            "tasklift": (ours, partial(_loaded, ours.port, CHAT, chat_body("triage"), key)),
            "bare FastAPI + aiohttp": (bare, partial(_loaded, bare.port, CHAT, chat_body("triage"), key)),
        }
        if "mlflow" in options.peers:
            peer = stack.enter_context(mlflow(upstream))
            body = {"messages": chat_body("")["messages"]}
            systems["MLflow gateway"] = (peer, partial(_loaded, peer.port, "/gateway/chat/invocations", body, ""))
        if "litellm" in options.peers:
            peer = stack.enter_context(litellm(upstream))
            systems["LiteLLM proxy"] = (peer, partial(_loaded, peer.port, CHAT, chat_body("triage"), LITELLM_KEY))
        return _gateway_figures(systems)


def _loaded(port: int, path: str, body: dict[str, Any], key: str) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return load(port, path, body, headers, connections=50, seconds=4.0)


def _gateway_figures(systems: dict[str, tuple[Running, Asking]]) -> list[Figure]:
    """Three rounds in turns; medians."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in systems}
    for _ in range(4):  # the first one warms up
        for name, (system, ask) in systems.items():
            before = system.cpu_s
            found[name].append(ask())
            found[name][-1]["cpu_s"] = system.cpu_s - before
            note(f"{name}: {found[name][-1]}")
    rate = {name: float(np.median([one["requests_per_s"] for one in runs[1:]])) for name, runs in found.items()}
    cpu = {
        name: float(np.median([sum(one["statuses"].values()) / one["cpu_s"] for one in runs[1:]]))
        for name, runs in found.items()
    }
    memory = {name: system.memory_mb for name, (system, _) in systems.items()}
    failed = {
        name: sum(n for one in runs for status, n in one["statuses"].items() if status != "200")
        for name, runs in found.items()
    }
    said = {
        name: f"{cpu[name]:.0f} requests a CPU-s, {memory[name]:.0f} MB, {failed[name]} failed, {busy()}"
        for name in systems
    }
    figures = [
        Figure(f"{name}: requests/s, endpoint at 0 ms", rate[name], note=said[name], unit="/s") for name in systems
    ]
    figures.append(Figure("failed requests", failed["tasklift"], at_most=0, unit=" requests"))
    for peer, least in (("MLflow gateway", 1.2), ("LiteLLM proxy", 8.0)):
        if peer in rate:
            figures.append(Figure(f"requests/s against the {peer}", rate["tasklift"] / rate[peer], least, unit="x"))
            # What others do on the machine changes seconds, and hardly the work of a request.
            figures.append(Figure(f"requests a CPU-s against the {peer}", cpu["tasklift"] / cpu[peer], unit="x"))
    peers = [memory[name] for name in ("MLflow gateway", "LiteLLM proxy") if name in memory]
    if peers:
        share = memory["tasklift"] / min(peers)
        figures.append(Figure("memory against the smaller peer", share, at_most=0.5, unit="x"))
    return figures


def latency(_: argparse.Namespace) -> list[Figure]:
    """What is added to an endpoint of 50 ms at 100 requests a second, with traces and keys."""
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
        Figure("added p50, 100 requests/s, endpoint at 50 ms", added["p50"], at_most=5.0, unit=" ms", note=busy()),
        Figure("added p99, 100 requests/s, endpoint at 50 ms", added["p99"], at_most=25.0, unit=" ms", note=busy()),
    ]


def encoder(_: argparse.Namespace) -> list[Figure]:
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
    said = f"{1000 * plain:.2f} and {1000 * per_row:.2f} CPU-ms a row"
    return [Figure("encoder CPU a row at 32 callers, against a batch loop", ratio, at_most=1.25, unit="x", note=said)]


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
