"""`tasklift data audit` and `tasklift data clean`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasklift.cache import caching_in
from tasklift.cli import show
from tasklift.cli.decide import EXIT_GATE_FAILED
from tasklift.cli.versions import Place, opened
from tasklift.data.audit.policy import DataPolicy, read_policy
from tasklift.data.audit.report import Audit, audit
from tasklift.data.clean import Rules, clean
from tasklift.data.datasheet import datasheet, write_datasheet
from tasklift.data.embed import open_embedder
from tasklift.data.versions import Change, Version
from tasklift.dataset import Dataset, write_jsonl
from tasklift.errors import ConfigError

#: Changes that a terminal shows one by one.
SHOWN = 12
_LABEL_RULES = ("keep", "remove", "relabel")


def audit_rows(task: str | None, folder: Path, embedder: str | None, strict: bool, as_json: bool) -> int:
    """Run every check, print, write the datasheet of the version that was looked at."""
    place = opened(folder, task)
    policy = read_policy(place.task_folder)
    found = run_audit(place, place.data, policy, embedder)
    version = place.versions.keep(place.data, f"read {place.file.name}")
    page = describe(place, version, found, policy)
    if as_json:
        show.print_json({"task": place.task.name, "version": version.id, **found.to_json(), "datasheet": str(page)})
    else:
        print("\n".join([*audit_lines(place.task.name, version.id, found), f"datasheet: {page}"]))
    return EXIT_GATE_FAILED if strict and found.has("error") else 0


def clean_rows(
    task: str | None, folder: Path, rules: Mapping[str, Any], embedder: str, dry_run: bool, as_json: bool
) -> int:
    """Clean by what an audit finds, keep both versions, and write the rows."""
    if rules["labels"] not in _LABEL_RULES:
        raise ConfigError(f"--labels {rules['labels']!r}: choose {', '.join(_LABEL_RULES)}")
    place = opened(folder, task, to_write=True)
    policy = read_policy(place.task_folder)
    with_labels = embedder if rules["labels"] != "keep" else None
    found = run_audit(place, place.data, policy, with_labels)
    cleaned, changes = clean(place.data, found, policy, Rules(**rules))
    if not changes:
        told = {"task": place.task.name, "version": "", "rows": len(place.data), "changes": []}
        show.print_json(told) if as_json else print(f"{place.task.name}: nothing to clean in {len(place.data)} rows")
        return 0
    if dry_run:
        print_changes(place.task.name, "", len(cleaned), changes, as_json)
        return 0
    version = save_version(place, cleaned, cleaned.lineage[-1], changes)
    describe(place, version, run_audit(place, cleaned, policy, None), policy)
    print_changes(place.task.name, version.id, len(cleaned), changes, as_json)
    return 0


def run_audit(place: Place, data: Dataset, policy: DataPolicy, embedder: str | None) -> Audit:
    """The audit, its vectors kept in the project's cache."""
    with caching_in(place.project.state / "cache"):
        embed = open_embedder(embedder).encode if embedder else None
        return audit(data, place.task.task, policy, embed, report=_progress)


def describe(place: Place, version: Version, found: Audit, policy: DataPolicy) -> Path:
    """Write a version's datasheet; returns the page."""
    return write_datasheet(place.versions.folder / version.id, datasheet(place.task.task, version, found, policy))


def save_version(place: Place, data: Dataset, step: str, changes: Sequence[Change]) -> Version:
    """Keep what there was and what there is now, then write the rows: a kill leaves either one or the other."""
    parent = place.versions.keep(place.data, f"read {place.file.name}")
    version = place.versions.keep(data, step, parent.id, changes)
    write_jsonl(data, place.file)
    return version


def audit_lines(task: str, version: str, found: Audit) -> list[str]:
    """What was found, the worst first."""
    splits = ", ".join(f"{n} {name}" for name, n in found.splits.items())
    lines = [f"{task}: {found.rows} rows ({splits}), {len(found.labels)} different answers, version {version}"]
    for one in found.findings:
        lines.append(f"  {one.severity:<7} {one.check}: {one.message}")
        if one.remedy:
            lines.append(f"          -> {one.remedy}")
    if not found.findings:
        lines.append("  nothing found")
    return lines


def print_changes(task: str, version: str, rows: int, changes: Sequence[Change], as_json: bool) -> None:
    """What a step changed, counted by reason, then row by row."""
    if as_json:
        listed = [{"row": one.row, "action": one.action, "why": one.why} for one in changes]
        show.print_json({"task": task, "version": version, "rows": rows, "changes": listed})
        return
    made = f"version {version}" if version else "dry run, nothing written"
    print(f"{task}: {len(changes)} rows removed or changed, {rows} left; {made}")
    for why, n in Counter(f"{one.action}, {one.why.partition(':')[0]}" for one in changes).most_common():
        print(f"  {n:>6}  {why}")
    for one in changes[:SHOWN]:
        print(f"  {one.row}: {one.action}: {one.why}")
    if version:
        more = f"  ... and {len(changes) - SHOWN} more: " if len(changes) > SHOWN else "  all of them: "
        print(f"{more}tasklift data changes {version}; back with: tasklift data undo {version}")


def _progress(line: str) -> None:
    print(f"  {line} ...", file=sys.stderr, flush=True)
