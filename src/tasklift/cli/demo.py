"""`tasklift demo`: the main job on the shipped task, from rows to three decisions."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tasklift.cli import show
from tasklift.cli.decide import Ready, kept, typed
from tasklift.cli.evaluate import Asked, compare
from tasklift.cli.report import page
from tasklift.errors import ConfigError
from tasklift.measure.deciding.decision import decide
from tasklift.measure.deciding.record import Decision
from tasklift.measure.evidence import Evidence
from tasklift.measure.records import ledger
from tasklift.project import Project

EXAMPLE = "support_triage"
#: Of 350 test rows, so that two cores end in minutes; `--rows 350` takes all.
ROWS = 200
FULL = ("majority", "baseline", "knn", "frozen", "prompt", "fewshot", "layered", "encoder", "human")
LIGHT = ("majority", "baseline", "knn", "frozen", "layered", "human")
#: title -> economics file below the task's folder
SCENARIOS = {
    "A prototype whose rules change weekly": "economics/prototype.toml",
    "A steady million a year": "economics.toml",
    "An audited process": "economics/audited.toml",
}
SMALL_MODEL = (
    "The prompted model is SmolLM2 with 135 million parameters, because it runs anywhere without a key. What it\n"
    "reaches says nothing about a hosted model: the accuracy that one would need is printed with each decision, and\n"
    "`--model https://host/v1#name` (key in TASKLIFT_API_KEY) measures it on the same rows."
)
LIGHT_NOTE = (
    "--light leaves out everything that needs torch: the prompted model, the fine-tuned encoder, sentence embeddings.\n"
    "knn, frozen and layered stand on static word embeddings; `--model URL` adds prompting by a hosted model."
)


def demo(model: str | None, light: bool, rows: int | None, folder: Path | None, as_json: bool) -> int:
    """Evaluate once, decide three times."""
    begun = time.perf_counter()
    project = Project.open(example_folder())
    task = project.task(EXAMPLE)
    state = (folder / ".tasklift") if folder else default_state(project.folder)
    table = show.Table(sys.stderr if as_json else sys.stdout)
    evaluation = compare(project, task, asked(model, light, rows), state, table)
    decisions: dict[str, Decision] = {}
    lines = [
        "",
        LIGHT_NOTE if light else SMALL_MODEL,
        "",
        *show.comparison_lines(evaluation),
        "",
        *show.slice_lines(evaluation, "language"),
        "",
    ]
    for title, file in SCENARIOS.items():
        beside = project.folder / "tasks" / EXAMPLE / file
        economics = project.economics(task, beside)
        decisions[title] = decide(evaluation, economics, task.gates)
        asked_for = ledger.Asked(EXAMPLE, economics_file=str(beside), command=typed())
        ready = Ready(Evidence.from_evaluation(evaluation), economics, task.gates, asked_for, state)
        kept(ready, decisions[title])
        file_name = f"{title.lower().replace(' ', '-')}.html"
        page(evaluation, economics, decisions[title], state / "reports" / file_name, [evaluation.made["command"]])
        lines += [*show.decision_lines(title, decisions[title], economics), ""]
    lines.append(f"each as a page, with the evidence: {state / 'reports'}")
    lines.append(
        f"evaluation {evaluation.id} in {state}; "
        f"{time.perf_counter() - begun:.0f} s, first row after {table.first_row_s or 0:.0f} s"
    )
    if not as_json:
        print("\n".join(lines))
        return 0
    steady = project.economics(task)
    out = show.evaluation_json(evaluation, steady, decisions["A steady million a year"])
    show.print_json(out | {"decisions": {title: decision.to_json() for title, decision in decisions.items()}})
    return 0


def asked(model: str | None, light: bool, rows: int | None) -> Asked:
    """Which candidates the demo compares."""
    if not light:
        return Asked(FULL, model or "local", rows or ROWS)
    names = LIGHT if model is None else (*LIGHT[:-1], "prompt", "fewshot", "human")
    return Asked(names, model, rows or ROWS, embedder="static")


def example_folder() -> Path:
    """The shipped example: inside the installed package, or in the source tree.

    Raises:
        ConfigError: neither is there.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_examples" / EXAMPLE, package.parents[1] / "examples" / EXAMPLE):
        if (folder / "tasklift.toml").exists():
            return folder
    raise ConfigError("the example is not part of this installation; reinstall tasklift")


def default_state(example: Path) -> Path:
    """Beside the example in a source tree, else in the folder where the user stands."""
    return Path.cwd() / ".tasklift" if "_examples" in example.parts else example / ".tasklift"
