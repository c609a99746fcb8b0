"""`tasklift evaluate` and `tasklift decide`."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from tasklift.cache import caching_in
from tasklift.cli import show
from tasklift.data.split import sample
from tasklift.economics import Economics
from tasklift.errors import ConfigError
from tasklift.measure import decision as deciding
from tasklift.measure.evaluation import Evaluation, Options
from tasklift.measure.evaluation import evaluate as run
from tasklift.measure.stored import load_evaluation, newest_evaluation
from tasklift.project import Project, TaskFile
from tasklift.strategies.build import build

EXIT_GATE_FAILED = 3


@dataclass(frozen=True)
class Asked:
    """What to compare: strategies, model, number of rows; and with which embedder."""

    strategies: tuple[str, ...]
    model: str | None
    rows: int | None = None
    embedder: str | None = None


def evaluate(
    task: str | None, folder: Path, strategies: str | None, model: str | None, rows: int | None, as_json: bool
) -> int:
    """Compare, print, decide where economics are given."""
    project = Project.open(folder)
    found = project.task(task)
    names = tuple(strategies.split(",")) if strategies else found.compare or project.settings.strategies
    asked = Asked(names, model or project.settings.model, rows)
    economics = _economics(project, found)
    table = show.Table(sys.stderr if as_json else sys.stdout)
    evaluation = compare(project, found, asked, project.state, table)
    decision = deciding.decide(evaluation, economics, found.gates) if economics else None
    if decision:
        decision.save(project.state)
    if as_json:
        show.print_json(show.evaluation_json(evaluation, economics, decision))
    else:
        lines = ["", *show.comparison_lines(evaluation)]
        for name in found.slices:
            lines += ["", *show.slice_lines(evaluation, name)]
        if decision and economics:
            lines += ["", *show.decision_lines("Decision", decision, economics)]
        again = shlex.join(["tasklift", "report", found.name, "-p", str(folder)])
        print("\n".join([*lines, "", f"stored as evaluation {evaluation.id}; as a page: {again}"]))
    return EXIT_GATE_FAILED if decision and decision.verdict == "none_passes" else 0


def compare(project: Project, task: TaskFile, asked: Asked, state: Path, table: show.Table) -> Evaluation:
    """Fit and run the asked strategies on the task's rows, everything kept in `state`."""
    train, test, warnings = project.rows(task)
    if asked.rows is not None:
        test = sample(test, asked.rows)
    for line in warnings:
        print(f"note: {line}", file=sys.stderr)
    plain = task.task
    table.open(
        f"{plain.name}: {len(plain.labels)} labels, {len(train)} training rows, "
        f"the same {len(test)} test rows for every candidate"
    )
    economics = _economics(project, task)
    options = Options(
        folder=state,
        reviewer_accuracy=economics.reviewer_accuracy if economics else 0.97,
        command="tasklift " + shlex.join(sys.argv[1:]),
    )
    with caching_in(state / "cache"):
        made = build(asked.strategies, task.strategies, asked.model, asked.embedder)
        return run(plain, made, train, test, options, table)


def decide(task: str | None, folder: Path, economics: Path | None, evaluation: str | None, as_json: bool) -> int:
    """Decide on what is stored."""
    project = Project.open(folder)
    found = project.task(task)
    priced = project.economics(found, economics)
    identity = evaluation or newest_evaluation(project.state, found.name)
    stored = load_evaluation(project.state, identity, priced.reviewer_accuracy)
    if stored.task.name != found.name:
        raise ConfigError(f"evaluation {identity} is of task {stored.task.name}, not {found.name}")
    decision = deciding.decide(stored, priced, found.gates)
    path = decision.save(project.state)
    if as_json:
        show.print_json(decision.to_json())
    else:
        print("\n".join([*show.decision_lines("Decision", decision, priced), f"stored as {path}"]))
    return EXIT_GATE_FAILED if decision.verdict == "none_passes" else 0


def _economics(project: Project, task: TaskFile) -> Economics | None:
    beside = project.folder / "tasks" / task.name / "economics.toml"
    return project.economics(task) if task.economics or beside.exists() else None
