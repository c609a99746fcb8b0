"""`tasklift report`: a stored evaluation as a page."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasklift.cli import show
from tasklift.cli.dimensions import as_rows, collected
from tasklift.dataset import Dataset
from tasklift.economics import Economics
from tasklift.errors import ConfigError
from tasklift.measure.deciding.decision import decide
from tasklift.measure.deciding.record import Decision
from tasklift.measure.erasure import note_report
from tasklift.measure.evaluation import Evaluation
from tasklift.measure.report.content import content_of
from tasklift.measure.report.model import Embedded
from tasklift.measure.report.page import render, write
from tasklift.measure.stored import load_evaluation, newest_evaluation
from tasklift.project import Project, TaskFile


def report(
    task: str | None,
    folder: Path,
    evaluation: str | None,
    economics: Path | None,
    examples: bool,
    out: Path,
    as_json: bool,
) -> int:
    """Read what is stored, decide where there are economics, write the page."""
    project = Project.open(folder)
    found = project.task(task)
    beside = folder / "tasks" / found.name / "economics.toml"
    priced = project.economics(found, economics) if economics or found.economics or beside.exists() else None
    identity = evaluation or newest_evaluation(project.state, found.name)
    stored = load_evaluation(project.state, identity, priced.reviewer_accuracy if priced else 0.97)
    if stored.task.name != found.name:
        raise ConfigError(f"evaluation {identity} is of task {stored.task.name}, not {found.name}")
    where = ["-p", str(folder), "--evaluation", identity, *(["--economics", str(economics)] if economics else [])]
    commands = [str(stored.made.get("command", ""))]
    if priced:
        commands.append(shlex.join(["tasklift", "decide", found.name, *where]))
    commands.append("tasklift " + shlex.join(sys.argv[1:]))
    decision = decide(stored, priced, found.gates) if priced else None
    texts = _texts(project, found, stored) if examples else None
    known = collected(
        project.state / "evaluations" / identity, stored, decision.to_json() if decision else None, priced
    )
    if texts is not None:  # noted before it is written: erasing a person has to find it
        note_report(project.state, out, found.name, texts.ids)
    shown = page(stored, priced, decision, out, commands, texts, as_rows(known))
    if as_json:
        show.print_json(shown | {"report": str(out)})
        return 0
    print(f"{shown['verdict']['headline']} {shown['verdict']['sentence']}\nreport: {out}")
    if shown["measured"]["texts_changed"]:
        print("note: the rows of the project have changed since they were evaluated", file=sys.stderr)
    return 0


def page(
    evaluation: Evaluation,
    economics: Economics | None,
    decision: Decision | None,
    out: Path,
    commands: Sequence[str],
    texts: Dataset | None = None,
    dimensions: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the page of an evaluation and of what was decided on it; returns what it shows."""
    shown = content_of(evaluation, economics, decision, texts, [line for line in commands if line], dimensions)
    embedded = Embedded.of(evaluation, economics, decision) if economics and decision else None
    write(render(shown, embedded), out)
    return shown


def _texts(project: Project, task: TaskFile, evaluation: Evaluation) -> Dataset:
    """The evaluated rows with their texts, as the project has them now; rows that are gone are left out."""
    _, test, _ = project.rows(task)
    by_id = {row.id: row for row in test}
    return test.part((by_id[row.id] for row in evaluation.rows if row.id in by_id), "evaluated")
