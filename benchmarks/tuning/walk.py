"""A set followed from its CSV to a registered model: Banking77 through audit, clean, curve, training, comparison.

    python3 dev.py bench tuning walk [--data FOLDER]

Every step is a command of Tasklift as a user types it, in a project of its own; what it prints with --json is what is
shown. Each step is done once, so a stopped run goes on. The split is the authors'. Figures that a step does not
change (how many rows, how many suspects) have no interval.
"""

from __future__ import annotations

import csv
import json
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from _common import Figure, finish, note
from _run import hashes, options_of, state_of
from _sets import Benchmark, banking77

from tasklift.stats.intervals import Interval
from tuning._kept import remembered

ROW = "walk"
SIZES = (385, 770, 1540, 3080, 6160)
SEEDS = 2
TASK, SOURCE = "banking77", "polyai"
EVALUATE = ("evaluate", TASK, "--strategies", "majority,baseline,frozen")
STEPS: dict[str, tuple[str, ...]] = {
    "import": (
        "data", "import", "{csv}", "--field", "text=text", "--field", "output=label", "--field", "split=split",
        "--field", "source=source",
    ),
    "audit": ("data", "audit"),
    "evaluate as it is": EVALUATE,
    "clean": ("data", "clean"),
    "curve": (
        "curve", "--strategies", "baseline,frozen", "--sizes", ",".join(map(str, SIZES)), "--seeds", str(SEEDS),
        "--out", "{folder}/curve.svg",
    ),
    "evaluate": EVALUATE,
    "compare": ("models", "compare", "baseline", "frozen"),
}  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Every step in order."""
    made = banking77(options_of(__doc__).parse_args(arguments).data)
    folder = state_of("walk")
    table = write_project(made, folder)
    found: dict[str, Any] = {}
    for name, words in STEPS.items():
        note(f"tasklift {' '.join(words)}")
        given = [word.format(csv=table, folder=folder) for word in words]
        found[name] = remembered(ROW, f"{name}: {' '.join(words)}", partial(said_by, given, folder))
    figures = [
        *audited(found["audit"]["said"], found["clean"]["said"]),
        *learnt(found["curve"]["said"]),
        *accuracies("as they are", found["evaluate as it is"]["said"]),
        *accuracies("cleaned", found["evaluate"]["said"]),
        paired(found["compare"]["said"]),
    ]
    spent = {name: round(one["child_cpu_s"], 1) for name, one in found.items()}
    extra: dict[str, Any] = {"title": "A set followed: Banking77 from CSV to a registered model", "cpu_s": spent}
    extra["tables"] = [{"title": "CPU time of each step", "header": ["command", "CPU-s"], "rows": _costs(spent)}]
    return finish(f"tuning_{ROW}", f"python3 dev.py bench tuning {ROW}", figures, extra | hashes(made))


def write_project(made: Benchmark, folder: Path) -> Path:
    """The raw table, and a project with the labels' names as definitions; returns the table."""
    own = folder / "tasks" / TASK
    own.mkdir(parents=True, exist_ok=True)
    table = folder / "banking77.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["text", "label", "split", "source"])
        lines.writerows([row.input["text"], row.output, row.split, SOURCE] for row in (*made.train, *made.test))
    labels = "\n".join(f"{json.dumps(name)} = {json.dumps(told)}" for name, told in made.task.labels.items())
    (own / "task.toml").write_text(
        f'schema_version = 1\nname = "{TASK}"\ninstruction = {json.dumps(made.task.instruction)}\n\n[output]\n'
        f'kind = "label"\n\n[output.labels]\n{labels}\n\n[data]\nfile = "data.jsonl"\n',
        encoding="utf-8",
    )
    (own / "data.toml").write_text(f'[sources.{SOURCE}]\nlicence = "CC-BY-4.0"\n', encoding="utf-8")
    (folder / "tasklift.toml").write_text(f'schema_version = 1\nname = "{TASK}"\nmodel = "local"\n', encoding="utf-8")
    return table


def said_by(words: Sequence[str], folder: Path) -> dict[str, Any]:
    """What a command prints with --json, without the texts and rows in it, and the CPU seconds of its process."""
    before = _child_cpu_s()
    command = [sys.executable, "-m", "tasklift", *words, "-p", str(folder), "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    said = json.loads(done.stdout)
    for finding in said.get("findings", ()):
        finding.pop("detail", None)
    return {"said": said, "child_cpu_s": _child_cpu_s() - before}


def _child_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def audited(audit: dict[str, Any], clean: dict[str, Any]) -> list[Figure]:
    """What the audit found, check by check, and what cleaning took out."""
    rows = Figure("rows audited", audit["rows"], unit=" rows")
    found = [
        Figure(f"audit, {one['check']}", len(one["rows"]), unit=" rows", note=one["message"].partition(" (")[0])
        for one in audit["findings"]
        if one["rows"]
    ]
    why = Counter(f"{change['action']}, {change['why'].partition(' of ')[0]}" for change in clean["changes"])
    return [
        rows,
        *found,
        *(Figure(f"clean, {name}", n, unit=" rows") for name, n in why.most_common()),
        Figure("rows left", clean["rows"], unit=" rows"),
    ]


def learnt(curve: dict[str, Any]) -> list[Figure]:
    """Accuracy at each size, mean of the seeds."""
    return [
        Figure(f"curve, {name}, {point['labels']:g} labels", point["accuracy"], note=f"sd over seeds {point['sd']:.3f}")
        for name, points in curve["curves"].items()
        for point in points
    ]


def accuracies(rows: str, evaluation: dict[str, Any]) -> list[Figure]:
    """Accuracy of each with all training rows."""
    figures = []
    for one in evaluation["candidates"]:
        accuracy = one["metrics"]["accuracy"]
        interval = Interval(accuracy["value"], accuracy["low"], accuracy["high"])
        told = f"{one['cost']['setup']['labels']} training, {evaluation['rows']} test rows"
        figures.append(Figure.share(f"{one['name']}, rows {rows}, accuracy", interval, note=told))
    return figures


def paired(compare: dict[str, Any]) -> Figure:
    """The difference of the two models in the registry, on the same rows."""
    found = compare["comparison"]
    told = f"{found['rows']} test rows, McNemar mid-p {found['p']:.2g}"
    return Figure.share("frozen less baseline, rows cleaned", Interval(**found["difference"]), unit="%", note=told)


def _costs(spent: dict[str, float]) -> list[list[str]]:
    """A row a step: the command as typed, CPU seconds."""
    typed = {name: " ".join(STEPS[name]).format(csv=f"{TASK}.csv", folder=".").replace("./", "") for name in spent}
    return [[f"`tasklift {typed[name]}`", f"{cpu_s:,.1f}"] for name, cpu_s in spent.items()]
