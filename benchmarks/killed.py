"""SIGKILL at random moments of an evaluation and of a fit: what goes on afterwards ends in equal results.

    python3 dev.py bench killed [--kills 30] [--only fit]

The evaluation is the shipped task, run by the command line against an endpoint of this process, with local
candidates and a layered one beside it; the fit is a sentence encoder on its 200 shortest rows, whose checkpoints
are written after each epoch. Each is first run undisturbed. Then processes are killed at moments drawn from that
run's length, and started again until one finishes; its results are compared with the undisturbed ones, all but
seconds. The endpoint counts what it was asked.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _common import Figure, finish, note

from tasklift import registry
from tasklift.cache import caching_in
from tasklift.dataset import Example
from tasklift.llm.fake import FakeEndpoint
from tasklift.project import Project
from tasklift.strategies.checkpoint import Home, fitting_in
from tasklift.strategies.fitting import fit_nested

EXAMPLE = Path(__file__).parent.parent / "examples" / "support_triage"
STRATEGIES = "majority,baseline,knn,frozen,prompt,layered,human"
#: No torch in the evaluation, so that many processes can be started; and a layered candidate that asks a prompt.
PARAMETERS = """
[strategies.knn]
embedder = "static"

[strategies.frozen]
embedder = "static"

[strategies.layered]
core = "frozen"
prompt = "prompt"
alpha = 0.3
"""
ROWS = 200
FIT_ROWS = 200
DELAY_S = 0.1
#: Requests that a client has under way at most: so many a kill may waste.
UNDER_WAY = 64


@dataclass
class Killing:
    """What was done and found.

    Attributes:
        wanted: kills to come to.
        kills: processes killed so far.
        finished: runs that were killed at least once and then finished.
        unequal: those whose results were not those of the undisturbed run.
        wasted: answers of the endpoint that were paid for twice.
    """

    wanted: int
    kills: int = 0
    finished: int = 0
    unequal: list[str] = field(default_factory=list)
    wasted: int = 0


def main() -> int:
    """Kill, start again, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30, help="kills of each kind (default: 30)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--only", choices=("evaluation", "fit"), help="one of both")
    parser.add_argument("--fit-in", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.fit_in:
        return fit(asked.fit_in)
    figures: list[Figure] = []
    extra: dict[str, Any] = {"seed": asked.seed}
    with tempfile.TemporaryDirectory(prefix="killed-", dir=memory()) as folder:
        if asked.only != "fit":
            found = kill_evaluations(Path(folder) / "evaluation", asked.kills, random.Random(asked.seed))
            figures += figures_of("evaluation", found)
            extra["evaluation"] = found.__dict__
        if asked.only != "evaluation":
            found = kill_fits(Path(folder) / "fit", asked.kills, random.Random(asked.seed))
            figures += figures_of("fit", found)
            extra["fit"] = found.__dict__
    return finish("killed", "python3 dev.py bench killed " + shlex.join(sys.argv[1:]), figures, extra)


def memory() -> Path | None:
    """A folder in memory, where there is one: checkpoints of hundreds of megabytes would keep a disk busy, and a
    kill leaves the same there."""
    place = Path("/dev/shm")
    return place if place.is_dir() and shutil.disk_usage(place).free > 4e9 else None


def figures_of(what: str, found: Killing) -> list[Figure]:
    """The bar: every run that was killed ends in equal results."""
    equal = (found.finished - len(found.unequal)) / found.finished
    said = f"{found.kills} kills in {found.finished} runs"
    figures = [Figure(f"{what}: equal after SIGKILL", equal, 1.0, note=said)]
    if what == "evaluation":
        said = f"{found.wasted} answers paid twice in {found.kills} kills, {UNDER_WAY} under way at each"
        kept = 1 - found.wasted / (UNDER_WAY * found.kills)
        figures.append(Figure("evaluation: not paid twice, of those under way", kept, note=said))
    return figures


def kill_evaluations(home: Path, kills: int, chance: random.Random) -> Killing:
    """`tasklift evaluate`, killed again and again."""
    found = Killing(kills)
    with endpoint() as served:
        url = f"{served.url}#{served.model}"

        def prepare(name: str) -> tuple[list[str], Path]:
            project = make_project(home / name)
            served.received.clear()
            words = ["evaluate", "-p", str(project), "--strategies", STRATEGIES, "--rows", str(ROWS), "--model", url]
            return [sys.executable, "-m", "tasklift", *words], project

        def outcome(project: Path) -> Any:
            return evaluation_of(project, served)

        expected, length_s = undisturbed(prepare, outcome)
        asked = len(served.received)
        note(f"evaluation: {length_s:.1f} s undisturbed, {asked} requests")
        while found.kills < found.wanted:
            killed = one_run(prepare, outcome, f"{found.finished}", expected, length_s, chance, found)
            found.wasted += len(served.received) - asked
            note(f"evaluation: {found.kills} kills, this run took {killed}; {len(found.unequal)} unequal")
    return found


def kill_fits(home: Path, kills: int, chance: random.Random) -> Killing:
    """The fit of an encoder, killed again and again."""
    found = Killing(kills)

    def prepare(name: str) -> tuple[list[str], Path]:
        folder = home / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return [sys.executable, __file__, "--fit-in", str(folder)], folder

    expected, length_s = undisturbed(prepare, artifact_of)
    note(f"fit: {length_s:.1f} s undisturbed")
    while found.kills < found.wanted:
        killed = one_run(prepare, artifact_of, f"{found.finished}", expected, length_s, chance, found)
        note(f"fit: {found.kills} kills, this run took {killed}; {len(found.unequal)} unequal")
    return found


def undisturbed(prepare: Callable[[str], tuple[list[str], Path]], outcome: Callable[[Path], Any]) -> tuple[Any, float]:
    """What an undisturbed run comes to, and how long it takes."""
    command, folder = prepare("undisturbed")
    begun = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return outcome(folder), time.monotonic() - begun


def one_run(
    prepare: Callable[[str], tuple[list[str], Path]],
    outcome: Callable[[Path], Any],
    name: str,
    expected: Any,
    length_s: float,
    chance: random.Random,
    found: Killing,
) -> int:
    """Start, kill at a random moment, start again, until it finishes; how often it was killed."""
    command, folder = prepare(name)
    killed = 0
    while True:
        moment_s = chance.uniform(0, length_s) if found.kills < found.wanted else None
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            _, said = process.communicate(timeout=moment_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            killed += 1
            found.kills += 1
            continue
        if process.returncode:
            raise SystemExit(f"{shlex.join(command)} failed:\n{said}")
        break
    if killed:
        found.finished += 1
        if (differs := difference(outcome(folder), expected)) is not None:
            found.unequal.append(differs)
    shutil.rmtree(folder)
    return killed


def difference(found: Any, expected: Any) -> str | None:
    """The first place where two outcomes differ; None where they do not."""
    for key in {**expected, **found}:
        if found.get(key) != expected.get(key):
            return f"{key}: {found.get(key)!r} and not {expected.get(key)!r}"[:500]
    return None


# The evaluation


def make_project(folder: Path) -> Path:
    """The shipped task, with the embedder that needs no torch."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".tasklift"))
    task = folder / "tasks" / "support_triage" / "task.toml"
    sections = re.split(r"(?m)^(?=\[)", task.read_text(encoding="utf-8"))
    kept = [section for section in sections if not section.startswith("[strategies.")]
    task.write_text("".join(kept) + PARAMETERS, encoding="utf-8")
    return folder


@contextmanager
def endpoint() -> Iterator[FakeEndpoint]:
    """An endpoint in a thread of this process that answers by the text: equal questions, equal answers."""
    ready, done = threading.Event(), threading.Event()
    served = FakeEndpoint(answer=answer_to, delay_s=DELAY_S)

    async def serve() -> None:
        async with served:
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    ready.wait()
    try:
        yield served
    finally:
        done.set()
        thread.join()


def answer_to(body: Mapping[str, Any]) -> str:
    """A label that follows from the text, right for no reason."""
    labels = body["response_format"]["json_schema"]["schema"]["properties"]["label"]["enum"]
    text = json.dumps(body["messages"])
    return str(labels[int(hashlib.sha256(text.encode()).hexdigest(), 16) % len(labels)])


def evaluation_of(project: Path, served: FakeEndpoint) -> dict[str, Any]:
    """Everything that was stored but seconds; every line is whole, and every row stands there."""
    command = [sys.executable, "-m", "tasklift", "score", "-p", str(project), "--json"]
    scored = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    found: dict[str, Any] = {}
    for one in scored["candidates"]:
        for key in ("fingerprint", "metrics", "coverage", "ece", "brier", "failures", "against_reference", "notes"):
            found[f"{one['name']}.{key}"] = one[key]
        found[f"{one['name']}.calls"] = one["usage"]["calls"]
    (folder,) = (project / ".tasklift" / "evaluations").iterdir()
    for line in (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # torn by a kill: the row stands on another line
        found[f"{row['candidate']}.{row['id']}"] = without_seconds(row)
    found["asked"] = len(Counter(json.dumps(body, sort_keys=True) for body in served.received))
    left = [path.name for path in (project / ".tasklift" / "artifacts").iterdir() if path.name.startswith(".partial")]
    found["left over"] = left
    return found


def without_seconds(row: Any) -> Any:
    """The same without anything that a clock measured."""
    if isinstance(row, dict):
        return {key: without_seconds(value) for key, value in row.items() if key not in ("latency_s", "cpu_s")}
    return [without_seconds(value) for value in row] if isinstance(row, list) else row


# The fit


def fit(folder: Path) -> int:
    """In a process of its own: the encoder on a few rows, checkpoints after each epoch."""
    project = Project.open(EXAMPLE)
    task = project.task(None)
    train, _, _ = project.rows(task)
    strategy = registry.load("strategy", "encoder")(max_epochs=3, learning_rate=3e-4)
    with caching_in(folder / "cache"), fitting_in(Home(folder / "artifacts", keep_every_s=0.0)):
        fit_nested(strategy, task.task, train.part(sorted(train, key=length_of)[:FIT_ROWS], "shortest"))
    return 0


def length_of(row: Example) -> int:
    """Characters of a row's text."""
    return len(str(row.input["text"]))


def artifact_of(folder: Path) -> dict[str, Any]:
    """Weights by their hash, and how they were chosen."""
    (place,) = [path for path in (folder / "artifacts").iterdir() if not path.name.endswith(".lock")]
    card = json.loads((place / "candidate.json").read_text(encoding="utf-8"))
    weights = hashlib.sha256((place / "arrays.safetensors").read_bytes()).hexdigest()
    return {"fingerprint": place.name, "weights": weights, "notes": card["notes"], "tokens": card["setup"]["tokens"]}


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
