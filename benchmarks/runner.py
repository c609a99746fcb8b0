"""Evaluation of 2,000 rows on an endpoint that answers in 50 ms, 64 at once: Tasklift, DSPy, promptfoo, a bare loop.

    python3 dev.py bench runner [--runs 3] [--only tasklift --only bare]

Each is a whole process: start, read the rows, ask, score, store the results; nothing is cached. They take turns,
run after run, against the same endpoint on this machine (its own process, raw asyncio); medians are shown. The
floor is what the endpoint alone takes: 2000 / 64 x 50 ms = 1.56 s. DSPy and promptfoo are fetched once, by pip and
npm, into benchmarks/results/cache; each runs at what was found to be its best setting: caches, tables, history,
telemetry, updates and sharing are off, results go to one file.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from _common import RESULTS, Figure, finish, note

HERE = Path(__file__).parent
CACHE = RESULTS / "cache"
ROWS, AT_ONCE, DELAY_S = 2000, 64, 0.05
FLOOR_S = ROWS / AT_ONCE * DELAY_S
LABELS = 20
DSPY, PROMPTFOO = "dspy==3.4.1", "promptfoo@0.121.20"
#: How each wants to be answered, so that none has to ask twice: the second label, in its own format.
ANSWERS = {
    "bare": "label_2",
    "tasklift": '{"label": "label_2"}',
    "DSPy": "[[ ## label ## ]]\nlabel_2\n\n[[ ## completed ## ]]",
    "promptfoo": "label_2",
}
QUIET = {
    "PROMPTFOO_DISABLE_TELEMETRY": "1",
    "PROMPTFOO_DISABLE_UPDATE": "1",
    "PROMPTFOO_DISABLE_SHARING": "1",
    "PROMPTFOO_DISABLE_REMOTE_GENERATION": "1",
    "PROMPTFOO_CACHE_ENABLED": "false",
    "PROMPTFOO_DISABLE_ERROR_LOG": "1",
    "PROMPTFOO_DISABLE_DEBUG_LOG": "1",
}


@dataclass(frozen=True)
class Run:
    """One process: wall seconds, CPU seconds with all it started, peak memory of its largest process in MB."""

    wall_s: float
    cpu_s: float
    peak_mb: float

    def __str__(self) -> str:
        return f"{self.wall_s:.2f} s, {self.cpu_s:.2f} CPU s, {self.peak_mb:.0f} MB"


@dataclass(frozen=True)
class Work:
    """The files of the work, made once.

    Attributes:
        home: a temporary folder.
        rows: the test rows.
        system: the system prompt, which is the same for all.
        project: a Tasklift project with these rows.
        promptfoo: its configuration but for the address.
    """

    home: Path
    rows: Path
    system: Path
    project: Path
    promptfoo: Path


def main() -> int:
    """Measure in turns and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="runs of each (default: 3)")
    parser.add_argument("--only", choices=tuple(ANSWERS), action="append", help="only this; may be repeated")
    asked = parser.parse_args()
    names = asked.only or list(ANSWERS)
    if "DSPy" in names:
        fetch_dspy()
    if "promptfoo" in names:
        fetch_promptfoo()
    runs: dict[str, list[Run]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory(prefix="runner-") as folder:
        work = make_work(Path(folder))
        for turn in range(asked.runs + 1):  # the first compiles and warms up, and does not count
            for name in names:
                with endpoint(ANSWERS[name]) as url:
                    run = measured(name, url, work)
                note(f"{name}{'' if turn else ', warm-up'}: {run}")
                runs[name] += [run] if turn else []
    median = {name: median_of(some) for name, some in runs.items()}
    extra = {
        "runs": {name: [asdict(run) for run in some] for name, some in runs.items()},
        "median": {name: asdict(run) for name, run in median.items()},
        "versions": {"DSPy": DSPY, "promptfoo": PROMPTFOO},
    }
    command = "python3 dev.py bench runner " + shlex.join(sys.argv[1:])
    return finish("runner", command, figures_of(median), extra)


def figures_of(median: dict[str, Run]) -> list[Figure]:
    """The bars, each as a ratio of at least so much."""
    figures = []
    if (ours := median.get("tasklift")) is not None:
        said = f"{ours.wall_s:.2f} s, {ours.cpu_s:.2f} CPU s, floor {FLOOR_S:.2f} s"
        figures.append(Figure("2.5 x floor / tasklift, wall", 2.5 * FLOOR_S / ours.wall_s, 1.0, note=said))
        figures.append(Figure("150 MB / tasklift, memory", 150 / ours.peak_mb, 1.0, note=f"{ours.peak_mb:.0f} MB"))
    bars = {"DSPy": 2.0, "promptfoo": 3.0}
    for name, run in median.items():
        if name != "tasklift" and ours is not None:
            ratio = run.wall_s / ours.wall_s
            figures.append(Figure(f"{name} / tasklift, wall", ratio, bars.get(name), note=str(run)))
    return figures


def median_of(runs: list[Run]) -> Run:
    """Each quantity's median."""
    return Run(*(statistics.median(getattr(run, name) for run in runs) for name in ("wall_s", "cpu_s", "peak_mb")))


def measured(name: str, url: str, work: Work) -> Run:
    """Run it once, and check that it stored an answer to every row.

    Raises:
        SystemExit: it failed, or answers are missing.
    """
    out = work.home / f"out-{name}.json"
    command, env = command_of(name, url, work, out)
    log = work.home / f"{name}.log"
    meter = [sys.executable, "-I", str(HERE / "_peers" / "measure.py"), str(log), *command]
    done = subprocess.run(
        meter, env={**os.environ, **env}, cwd=work.home, stdout=subprocess.PIPE, text=True, check=True
    )
    code, wall_s, cpu_s, peak = json.loads(done.stdout)
    stored = stored_answers(name, out, work)
    # promptfoo exits with 100 where an assertion fails, as most do here.
    if code not in (0, 100) or stored != ROWS:
        said = log.read_text(encoding="utf-8")[-3000:]
        raise SystemExit(f"{name} exited with {code} and stored {stored} of {ROWS} answers:\n{said}")
    return Run(wall_s, cpu_s, peak / 1e6)


def command_of(name: str, url: str, work: Work, out: Path) -> tuple[list[str], dict[str, str]]:
    """The command line, and what it needs in the environment."""
    files = [url, str(work.rows), str(work.system), str(out)]
    if name == "bare":
        return [sys.executable, str(HERE / "_peers" / "bare.py"), *files], {}
    if name == "DSPy":
        return [str(CACHE / "venv-dspy" / "bin" / "python"), str(HERE / "_peers" / "dspy_rows.py"), *files], {}
    if name == "tasklift":
        shutil.rmtree(work.project / ".tasklift", ignore_errors=True)
        words = ["evaluate", "-p", str(work.project), "--strategies", "prompt", "--model", f"{url}#mock", "--json"]
        return [sys.executable, "-m", "tasklift", *words], {}
    config = json.loads(work.promptfoo.read_text(encoding="utf-8"))
    config["providers"][0]["config"]["apiBaseUrl"] = url
    work.promptfoo.write_text(json.dumps(config), encoding="utf-8")
    program = CACHE / "promptfoo" / "node_modules" / ".bin" / "promptfoo"
    flags = ["--no-cache", "--no-table", "--no-write", "--no-share", "--no-progress-bar"]
    command = [str(program), "eval", "-c", str(work.promptfoo), "-j", str(AT_ONCE), *flags, "-o", str(out)]
    return command, {**QUIET, "PROMPTFOO_CONFIG_DIR": str(work.home / "promptfoo")}


def stored_answers(name: str, out: Path, work: Work) -> int:
    """How many rows have the answer that the endpoint gave."""
    if name == "tasklift":
        (path,) = work.project.glob(".tasklift/evaluations/*/predictions.jsonl")
        lines = path.read_text(encoding="utf-8").splitlines()
        return len({row["id"] for row in map(json.loads, lines) if row.get("output") == "label_2"})
    if not out.exists():
        return 0
    text = out.read_text(encoding="utf-8")
    out.unlink()
    if name == "bare":
        return sum(json.loads(line)["output"] == "label_2" for line in text.splitlines())
    found: Any = json.loads(text)
    if name == "DSPy":
        return sum("label_2" in json.dumps(row) for row in found)
    return sum(row["response"]["output"] == "label_2" for row in found["results"]["results"])


@contextmanager
def endpoint(answer: str) -> Iterator[str]:
    """A fresh endpoint in a process of its own."""
    command = [sys.executable, str(HERE / "_peers" / "mock.py"), str(DELAY_S), answer]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def make_work(home: Path) -> Work:
    """Rows, prompt, and what each system reads."""
    texts = [f"Message number {n} about thing {n % LABELS}, " + "with some more words " * 5 for n in range(ROWS + 40)]
    labels = {f"label_{n}": f"Messages about thing number {n}" for n in range(LABELS)}
    instruction = "Sort each message by what it is about."
    listed = "\n".join(f"- {label}: {definition}" for label, definition in labels.items())
    order = "Answer with exactly one label and nothing else."
    system = f"{instruction}\n\nThe labels, each with its meaning:\n{listed}\n\n{order}"
    rows = [
        {
            "id": f"r{n}",
            "input": {"text": text},
            "output": f"label_{n % LABELS}",
            "split": "test" if n >= 40 else "train",
        }
        for n, text in enumerate(texts)
    ]
    work = Work(home, home / "rows.jsonl", home / "system.txt", home / "project", home / "promptfoo.json")
    work.rows.write_text("".join(json.dumps(row) + "\n" for row in rows[40:]), encoding="utf-8")
    work.system.write_text(system, encoding="utf-8")
    task = work.project / "tasks" / "runner"
    task.mkdir(parents=True)
    (work.project / "tasklift.toml").write_text('schema_version = 1\nname = "runner"\n', encoding="utf-8")
    defined = "\n".join(f"{label} = {json.dumps(definition)}" for label, definition in labels.items())
    head = f'schema_version = 1\nname = "runner"\ninstruction = {json.dumps(instruction)}\n'
    body = f'[output]\nkind = "label"\n[output.labels]\n{defined}\n[data]\nfile = "data.jsonl"\n'
    (task / "task.toml").write_text(head + body, encoding="utf-8")
    (task / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    messages = [{"role": "system", "content": system}, {"role": "user", "content": "Message: {{text}}\n\nLabel:"}]
    model = {"apiKey": "none", "max_tokens": 64, "temperature": 0}
    tests = [{"vars": row["input"], "assert": [{"type": "equals", "value": row["output"]}]} for row in rows[40:]]
    config = {
        "prompts": [json.dumps(messages)],
        "providers": [{"id": "openai:chat:mock", "config": model}],
        "tests": tests,
    }
    work.promptfoo.write_text(json.dumps(config), encoding="utf-8")
    return work


def fetch_dspy() -> None:
    """An environment of its own, made once.

    Raises:
        SystemExit: the index cannot be reached.
    """
    folder = CACHE / "venv-dspy"
    done = folder / "done"
    if not done.exists():
        note(f"fetching {DSPY}")
        carried_out([sys.executable, "-m", "venv", "--clear", str(folder)])
        carried_out([str(folder / "bin" / "pip"), "install", "--quiet", DSPY])
        done.touch()


def fetch_promptfoo() -> None:
    """A folder of its own, made once; it holds 1.4 GB.

    Raises:
        SystemExit: there is no npm, or its registry cannot be reached.
    """
    folder = CACHE / "promptfoo"
    done = folder / "done"
    if not done.exists():
        note(f"fetching {PROMPTFOO}: this takes minutes")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true}', encoding="utf-8")
        carried_out(["npm", "install", "--no-audit", "--no-fund", "--no-progress", "--prefix", str(folder), PROMPTFOO])
        done.touch()


def carried_out(command: list[str]) -> None:
    """Run a step of set-up; its output is shown when it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise SystemExit(f"{command[0]} is missing; leave its system out with --only") from error
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)} failed; leave it out with --only\n{done.stderr[-2000:]}")


if __name__ == "__main__":
    sys.exit(main())
