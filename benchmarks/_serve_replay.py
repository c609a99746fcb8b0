"""Banking77 as traffic through the server, layered against prompt only; and planted drops, simulated."""

from __future__ import annotations

import argparse
import http.client
import json
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from _common import Figure, note
from _serve_setup import CHAT, busy, prepare, served
from _sets import banking77, few

from tasklift.cache import caching_in
from tasklift.data.split import sample
from tasklift.dataset import Dataset, write_jsonl
from tasklift.operate.release import Arm
from tasklift.project import Project
from tasklift.stats.eprocess import log_e_paired
from tasklift.stats.intervals import paired_difference
from tasklift.strategies.build import build
from tasklift.strategies.fitting import fit_or_load

PARAMETERS = {"layered": {"core": "frozen", "prompt": "fewshot", "alpha": 0.05}}


@dataclass
class Replayed:
    """What customers got.

    Attributes:
        right: of each row, whether the chat's answer (for deferred rows the best guess) was right.
        tokens: of each row.
        latency_s: of each row, as its caller saw it.
        deferred: rows left to people.
    """

    right: list[bool]
    tokens: list[int]
    latency_s: list[float]
    deferred: int


def replay(options: argparse.Namespace) -> list[Figure]:
    """Prompt only is the few-shot candidate: zero-shot, the small model is far less accurate and slower."""
    made = banking77(options.data)
    rows = sample(made.test, options.rows, stratum=made.task.output.stratum)
    folder = options.keep or Path(tempfile.mkdtemp())
    train = few(made.train, options.per_label, 0) if options.per_label else made.train
    project = _write(folder, made.task, train)
    with caching_in(project.state / "cache"):
        arms = [_fitted(project, name) for name in ("fewshot", "layered")]
    found = {arm.name: _replayed(project, arm, rows) for arm in arms}
    before, after = found["fewshot"], found["layered"]
    gained = sum(new and not old for old, new in zip(before.right, after.right, strict=True))
    lost = sum(old and not new for old, new in zip(before.right, after.right, strict=True))
    difference = paired_difference(gained, lost, len(rows))
    tokens = sum(after.tokens) / max(1, sum(before.tokens))
    latency = float(np.mean(after.latency_s) / np.mean(before.latency_s))
    said = (
        f"{len(rows)} rows, {len(train)} training rows; few-shot {np.mean(before.right):.1%}, "
        f"layered {np.mean(after.right):.1%} with best guesses for {after.deferred} deferred"
    )
    ms = f"{1000 * np.mean(before.latency_s):.0f} and {1000 * np.mean(after.latency_s):.0f} ms, {busy()}"
    gap = Figure(
        "Banking77 as traffic: layered minus prompt only",
        difference.value,
        -0.01,
        difference.low,
        difference.high,
        note=said,
        unit="%",
    )
    return [
        gap,
        Figure("tokens of layered, of prompt only", tokens, at_most=0.2, note=f"{sum(before.tokens)} before", unit="%"),
        Figure("mean latency of layered, of prompt only", latency, at_most=0.2, note=ms, unit="%"),
    ]


def _write(folder: Path, task: Any, train: Dataset) -> Project:
    place = folder / "tasks" / task.name
    place.mkdir(parents=True, exist_ok=True)
    (folder / "tasklift.toml").write_text('schema_version = 1\nname = "bench"\n')
    labels = "".join(f"{json.dumps(name)} = {json.dumps(text)}\n" for name, text in task.labels.items())
    (place / "task.toml").write_text(
        f'schema_version = 1\nname = "{task.name}"\ninstruction = {json.dumps(task.instruction)}\n'
        f'[output]\nkind = "label"\n[output.labels]\n{labels}[data]\nfile = "data.jsonl"\n[serving]\naudit_share = 0\n'
    )
    plain = replace(train, examples=tuple(replace(row, split=None) for row in train))
    write_jsonl(plain, place / "data.jsonl")
    return Project.open(folder)


def _fitted(project: Project, name: str) -> Arm:
    (task,) = project.tasks.values()
    rows = Dataset(_all_rows(project), name=task.name)
    begin = time.process_time()
    strategy = build([name], PARAMETERS, "local")[name]
    made = fit_or_load(strategy, task.task, rows, project.state, note)
    note(f"{name} fitted in {time.process_time() - begin:.0f} CPU-s: {dict(made.notes)}")
    return Arm(made.fingerprint, name)


def _all_rows(project: Project) -> Any:
    """All training rows: the test rows of Banking77 are nowhere in the project."""
    (task,) = project.tasks.values()
    train, test, _ = project.rows(task)
    return (*train.examples, *test.examples)


def _replayed(project: Project, arm: Arm, rows: Dataset) -> Replayed:
    (name,) = project.tasks
    key = prepare(project, [arm], task=name)
    with served(project) as ours:

        def ask(text: str) -> tuple[Any, float]:
            connection = http.client.HTTPConnection("127.0.0.1", ours.port, timeout=120)
            body = {"model": name, "messages": [{"role": "user", "content": text}]}
            begin = time.perf_counter()
            connection.request("POST", CHAT, json.dumps(body), {"authorization": f"Bearer {key}"})
            answer = json.loads(connection.getresponse().read())
            connection.close()
            return answer, time.perf_counter() - begin

        ask("What is the exchange rate?")
        with ThreadPoolExecutor(2) as callers:
            answers = list(callers.map(ask, [row.input["text"] for row in rows]))
    said = [answer["choices"][0]["message"]["content"] for answer, _ in answers]
    return Replayed(
        [text == row.output for text, row in zip(said, rows, strict=True)],
        [answer["usage"]["total_tokens"] for answer, _ in answers],
        [took for _, took in answers],
        sum("tasklift" in answer for answer, _ in answers),
    )


def alarms(_: argparse.Namespace) -> list[Figure]:
    """Pairs until a shadow that is worse is noticed: simulated, 10% of the pairs disagree."""
    random, figures = np.random.default_rng(0), list[Figure]()
    for points, expected, runs in ((3, 900, 2000), (5, 300, 2000), (0, None, 4000)):
        discordant = random.random((runs, 6000)) < 0.1
        worse = discordant & (random.random((runs, 6000)) < 0.5 + points / 100 / 0.1 / 2)
        log_e = log_e_paired(np.cumsum(worse, axis=1), np.cumsum(discordant, axis=1), "more")
        alarmed = log_e >= np.log(20)
        share = float(alarmed.any(axis=1).mean())
        if expected is None:
            what = "A/A false alarms over 6,000 looks"
            figures.append(Figure(what, share, at_most=0.05, note=f"{runs} simulations", unit="%"))
            continue
        first = np.where(alarmed.any(axis=1), alarmed.argmax(axis=1) + 1, 6000)
        what = f"median pairs until a drop of {points} points"
        said = f"about {expected} asked; {runs} simulations"
        figures.append(Figure(what, float(np.median(first)), at_most=1.2 * expected, note=said, unit=" pairs"))
    return figures
