"""`tasklift decide`: on a stored evaluation, on another tool's results, or once more on an earlier question."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tasklift.cli import show
from tasklift.economics import Economics, Gates
from tasklift.errors import ConfigError
from tasklift.measure.curve.points import with_curves
from tasklift.measure.deciding.decision import decide as decide_on
from tasklift.measure.deciding.record import Decision
from tasklift.measure.evidence import Evidence
from tasklift.measure.importers.detect import read_evidence
from tasklift.measure.records.ledger import Asked, Record, keep, load
from tasklift.measure.records.redo import changes, lines_of
from tasklift.measure.stored import load_evaluation, newest_evaluation
from tasklift.project import Project
from tasklift.schema import parse, read_toml

EXIT_GATE_FAILED = 3


@dataclass(frozen=True)
class Ready:
    """All that a decision needs."""

    evidence: Evidence
    economics: Economics
    gates: Gates
    asked: Asked
    state: Path


def decide(
    task: str | None,
    folder: Path,
    economics: Path | None,
    evaluation: str | None,
    files: list[Path],
    redo: str | None,
    as_json: bool,
) -> int:
    """Decide, keep the record, print."""
    old = load(state_of(folder), redo) if redo else None
    if old is not None:
        ready = _again(old, folder, economics, evaluation)
    elif files:
        if evaluation or task:
            raise ConfigError("--from decides on a file: leave out the task and --evaluation")
        ready = _on_files(files, folder, economics)
    else:
        ready = _on_evaluation(task, folder, economics, evaluation)
    decision = decide_on(ready.evidence, ready.economics, ready.gates)
    record = kept(ready, decision, old)
    decision = replace(decision, id=record.id)
    found = changes(old.row, record.row) if old is not None else None
    if as_json:
        again = {"supersedes": old.id, "changes": found} if old is not None else {}
        show.print_json({**decision.to_json(), **again})
    else:
        lines = show.decision_lines("Decision", decision, ready.economics)
        lines += [f"     note: {caution}" for caution in decision.cautions]
        if old is not None and found is not None:
            lines += ["", f"Since {old.id} of {old.about['kept_at']}:", *lines_of(found)]
        print("\n".join([*lines, f"kept as {record.path} (page: {record.path.with_suffix('.md').name})"]))
    return EXIT_GATE_FAILED if decision.verdict == "none_passes" else 0


def kept(ready: Ready, decision: Decision, old: Record | None = None) -> Record:
    """The decision's record; one that says the same is kept once."""
    supersedes = old.id if old is not None else None
    gates = ready.economics.gates or ready.gates
    return keep(ready.state, decision, ready.evidence, ready.economics, gates, ready.asked, supersedes)


def state_of(folder: Path) -> Path:
    """`.tasklift` of a project, or of a folder without one."""
    return folder / ".tasklift"


def typed() -> str:
    """The command as it was typed."""
    return "tasklift " + shlex.join(sys.argv[1:])


def _on_evaluation(task: str | None, folder: Path, economics: Path | None, evaluation: str | None) -> Ready:
    project = Project.open(folder)
    found = project.task(task)
    priced = project.economics(found, economics)
    identity = evaluation or newest_evaluation(project.state, found.name)
    stored = load_evaluation(project.state, identity, 1.0)
    if stored.task.name != found.name:
        raise ConfigError(f"evaluation {identity} is of task {stored.task.name}, not {found.name}")
    asked = Asked(task=found.name, economics_file=str(economics or ""), command=typed())
    evidence = with_curves(Evidence.from_evaluation(stored), project.state)
    return Ready(evidence, priced, found.gates, asked, project.state)


def _on_files(files: list[Path], folder: Path, economics: Path | None) -> Ready:
    if economics is None:
        raise ConfigError("--from needs --economics FILE: what an answer, an error and a person cost")
    priced: Economics = parse(Economics, read_toml(economics), str(economics))
    asked = Asked(files=tuple(map(str, files)), economics_file=str(economics), command=typed())
    return Ready(read_evidence(files), priced, priced.gates or Gates(), asked, state_of(folder))


def _again(old: Record, folder: Path, economics: Path | None, evaluation: str | None) -> Ready:
    """The same question with the evidence, the economics and the prices of today."""
    before: Any = old.about["asked"]
    path = economics or (Path(before["economics_file"]) if before["economics_file"] else None)
    if before["files"]:
        if path is not None and not path.exists():
            raise ConfigError(f"{path}: the economics of {old.id} are gone; give --economics FILE")
        return _on_files([Path(file) for file in before["files"]], folder, path)
    return _on_evaluation(before["task"], folder, path, evaluation)
