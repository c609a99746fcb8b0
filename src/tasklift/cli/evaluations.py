"""`tasklift score` and `tasklift evaluations`: what is stored, without calling a model."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasklift.cli import show
from tasklift.economics import Economics
from tasklift.errors import ConfigError, DataError
from tasklift.measure.archive import (
    Change,
    Changes,
    Entry,
    Pruning,
    Removal,
    Rules,
    compare_evaluations,
    entries,
    plan_pruning,
)
from tasklift.measure.archive import prune as carry_out
from tasklift.measure.evaluation import Evaluation
from tasklift.measure.metrics import answered_parts
from tasklift.measure.store import EvaluationFolder
from tasklift.measure.stored import load_evaluation, newest_evaluation
from tasklift.metrics.parts import Part
from tasklift.project import Project
from tasklift.stats.intervals import Interval

#: So many labels or fields of a candidate are printed; `--json` has all.
WORST = 10
_UNITS = ("B", "kB", "MB", "GB", "TB")


def score(task: str | None, folder: Path, evaluation: str | None, as_json: bool) -> int:
    """The figures of stored predictions, computed anew."""
    project = Project.open(folder)
    found = project.task(task)
    identity = evaluation or newest_evaluation(project.state, found.name)
    stored = _load(project, identity)
    if stored.task.name != found.name:
        raise ConfigError(f"evaluation {identity} is of task {stored.task.name}, not {found.name}")
    if as_json:
        show.print_json(show.evaluation_json(stored, _economics(project, found.name), None))
        return 0
    rows = f"{len(stored.rows)} rows, made {stored.made.get('at', '')} by `{stored.made.get('command', '')}`"
    lines = [f"{found.name}: evaluation {identity}, {rows}", "", show.HEADER, "-" * len(show.HEADER)]
    lines += [show.table_line(result) for result in stored.results]
    lines += ["", *show.comparison_lines(stored)]
    lines += ["", *show.rule_lines(stored)] if show.rule_lines(stored) else []
    for name in found.slices:
        lines += ["", *show.slice_lines(stored, name)]
    print("\n".join(lines))
    return 0


def list_evaluations(task: str | None, folder: Path, as_json: bool) -> int:
    """One line an evaluation."""
    project = Project.open(folder)
    found = entries(project.state, project.task(task).name if task else None)
    if as_json:
        show.print_json({"evaluations": [one.to_json() for one in found]})
        return 0
    for one in found:
        print(_entry_line(one))
    if not found:
        print("no evaluation is stored; `tasklift evaluate` makes one")
    return 0


def show_evaluation(evaluation: str, folder: Path, as_json: bool) -> int:
    """How it was made, and where each candidate goes wrong: by label, or by field of an object."""
    project = Project.open(folder)
    entry = _entry(project, evaluation)
    manifest = EvaluationFolder(project.state / "evaluations" / evaluation).manifest() or {}
    made = {key: manifest[key] for key in ("command", "machine", "versions", "seed", "dataset") if key in manifest}
    names = ("name", "strategy", "family", "fingerprint", "parameters", "setup", "notes", "traits")
    told = manifest.get("candidates", [{"name": name} for name in entry.candidates])
    candidates = [{key: one[key] for key in names if key in one} for one in told]
    parts = _parts(_load(project, evaluation)) if entry.state == "finished" else {}
    if as_json:
        candidates = [
            one | ({"parts": [part.to_json() for part in parts[one["name"]]]} if parts.get(one["name"]) else {})
            for one in candidates
        ]
        show.print_json(entry.to_json() | made | {"candidates": candidates})
        return 0
    print(_entry_line(entry))
    for key, value in made.items():
        print(f"  {key}: {_plain(value)}")
    for one in candidates if manifest else ():
        numbers = {name: value for name, value in one["setup"].items() if value and name != "asked"}
        numbers |= {f"tokens of {model}": sum(used.values()) for model, used in one["setup"].get("asked", {}).items()}
        setup = ", ".join(f"{value:g} {name}" for name, value in numbers.items()) or "nothing"
        place = project.state / "artifacts" / one["fingerprint"]
        kept = "kept" if place.exists() else "not kept: it would be fitted again"
        print(f"  {one['name']} ({one['family']}): {one['fingerprint']}, {kept}; took {setup}")
    for name, some in parts.items():
        print("\n".join(["", *_part_lines(name, some)]))
    return 0


def compare(before: str, after: str, folder: Path, as_json: bool) -> int:
    """Two evaluations, candidate by candidate."""
    project = Project.open(folder)
    changes = compare_evaluations(_load(project, before), _load(project, after))
    if as_json:
        show.print_json(dataclasses.asdict(changes))
    else:
        print("\n".join(_change_lines(changes)))
    return 0


def prune(folder: Path, rules: Mapping[str, Any], dry_run: bool, database: str | None, as_json: bool) -> int:
    """Remove, or say what would go. Candidates that are or were in production stay: a rollback needs them."""
    project = Project.open(folder)
    released: frozenset[str] = frozenset()
    if rules["artifacts"] and (database or (project.state / "traffic.db").exists()):
        # Only where something was released, since it needs the extra [serve].
        released = importlib.import_module("tasklift.cli.release").released(project, database)
    planned = plan_pruning(project.state, Rules(**rules, protected=released))
    if not dry_run:
        carry_out(planned)
    if as_json:
        show.print_json({"dry_run": dry_run, **_pruning_json(planned, project.state)})
    else:
        print("\n".join(_pruning_lines(planned, project.state, dry_run)))
    return 0


def _load(project: Project, identity: str) -> Evaluation:
    """A stored evaluation with the reviewer's accuracy that its task's economics declare."""
    manifest = EvaluationFolder(project.state / "evaluations" / identity).manifest()
    if manifest is None:
        entry = _entry(project, identity)
        raise DataError(
            f"evaluation {identity} is {entry.state}: it has no figures yet; run its command again to go on with it"
        )
    economics = _economics(project, manifest["task"]["name"])
    return load_evaluation(project.state, identity, economics.reviewer_accuracy if economics else 0.97)


def _parts(evaluation: Evaluation) -> dict[str, list[Part]]:
    """Candidate -> its labels or fields, worst first; only candidates that have some."""
    expected, task = evaluation.rows.outputs, evaluation.task
    found = {result.name: answered_parts(result.predictions, expected, task) for result in evaluation.results}
    return {name: some for name, some in found.items() if some}


def _part_lines(name: str, parts: list[Part]) -> list[str]:
    width = max(len(part.name) for part in parts[:WORST])
    head = f"{name}, worst first".ljust(width + 4) + f"{'precision':>9} {'recall':>7} {'F1':>6} {'expected':>9}"
    lines = [f"  {head}"]
    for part in parts[:WORST]:
        shares = (
            f"{'-' if share is None else f'{share:.3f}':>{n}}" for share, n in ((part.precision, 9), (part.recall, 7))
        )
        cells = " ".join([*shares, f"{part.f1:>6.3f}", f"{part.support:>9}"])
        lines.append(f"    {part.name}".ljust(max(width + 4, len(f"{name}, worst first")) + 2) + cells)
    more = len(parts) - WORST
    return [*lines, f"    and {more} more (--json has all)"] if more > 0 else lines


def _economics(project: Project, name: str) -> Economics | None:
    task = project.tasks.get(name)
    beside = project.folder / "tasks" / name / "economics.toml"
    return project.economics(task) if task is not None and (task.economics or beside.exists()) else None


def _entry(project: Project, identity: str) -> Entry:
    found = entries(project.state)
    for one in found:
        if one.id == identity:
            return one
    known = ", ".join(one.id for one in found[:5]) or "none"
    raise DataError(f"{project.state}: no evaluation is called {identity!r}; the newest: {known}")


def _entry_line(one: Entry) -> str:
    decided = f", decided {len(one.decisions)}x" if one.decisions else ""
    return (
        f"{one.id:<17} {one.task or '?':<12} {one.state:<10} {one.at[:19]:<19} {one.rows:>6} rows "
        f"{_size(one.size):>8}  {', '.join(one.candidates)}{decided}"
    )


def _change_lines(changes: Changes) -> list[str]:
    how = "paired: " if changes.paired else ""
    lines = [f"From {changes.before} to {changes.after}, {how}{changes.why}."]
    for name, change in changes.candidates.items():
        lines.append(f"  {name:<10} {_percent(change.before)} -> {_percent(change.after)}  {_difference(change)}")
    for where, names in (("first", changes.only_before), ("second", changes.only_after)):
        if names:
            lines.append(f"  only in the {where}: {', '.join(names)}")
    return lines


def _difference(change: Change) -> str:
    d = change.difference
    if d is None:
        return "nothing to compare: a person answers everything"
    text = f"{100 * d.value:+6.1f} points [{100 * d.low:+.1f}, {100 * d.high:+.1f}]"
    return text if change.p_holm is None else f"{text}  p = {change.p_holm:.4f}  ({change.rows} rows)"


def _percent(share: Interval | None) -> str:
    return f"{100 * share.value:5.1f}%" if share else "     -"


def _pruning_lines(planned: Pruning, state: Path, dry_run: bool) -> list[str]:
    verb = "would remove" if dry_run else "removed"
    lines = [f"{verb} {_where(one, state)}: {one.why} ({_size(one.size)})" for one in planned.removals]
    lines += [f"kept {_where(one, state)}: {one.why} ({_size(one.size)})" for one in planned.spared]
    freed = "would free" if dry_run else "freed"
    return [*lines, f"{freed} {_size(planned.size)}" if planned.removals else "nothing to remove"]


def _pruning_json(planned: Pruning, state: Path) -> dict[str, Any]:
    def rows(some: tuple[Removal, ...]) -> list[dict[str, Any]]:
        return [{"path": _where(one, state), "why": one.why, "size": one.size} for one in some]

    return {"removed": rows(planned.removals), "kept": rows(planned.spared), "size": planned.size}


def _where(one: Removal, state: Path) -> str:
    return one.path.relative_to(state).as_posix()


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _size(count: float) -> str:
    for unit in _UNITS:
        if count < 1000 or unit == _UNITS[-1]:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")
