"""`tasklift dimensions`: the nine dimensions, filled with figures of one task."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tasklift.cli import show
from tasklift.economics import Economics, UnitPrices
from tasklift.llm.spending import Meter, spending_under
from tasklift.measure.cost import token_price
from tasklift.measure.deciding.decision import decide
from tasklift.measure.evaluation import Evaluation
from tasklift.measure.robustness.dimensions import FAMILIES, Cell, Measured, representative
from tasklift.measure.robustness.dimensions import dimensions as fill
from tasklift.measure.robustness.flexibility import flexibility
from tasklift.measure.robustness.risk import risks
from tasklift.measure.stored import load_evaluation, newest_evaluation
from tasklift.project import Project, TaskFile
from tasklift.strategies.build import build
from tasklift.whole import write_whole


def dimensions(
    task: str | None, folder: Path, evaluation: str | None, measure: bool, max_usd: float | None, as_json: bool
) -> int:
    """Collect what was measured, measure the rest where asked, print."""
    project = Project.open(folder)
    found = project.task(task)
    economics = _economics(project, found)
    identity = evaluation or newest_evaluation(project.state, found.name)
    stored = load_evaluation(project.state, identity, economics.reviewer_accuracy if economics else 1.0)
    decision = decide(stored, economics, found.gates).to_json() if economics else None
    place = project.state / "evaluations" / identity
    known = collected(place, stored, decision, economics)
    if measure:
        prices = economics.prices if economics else UnitPrices()
        meter = Meter(max_usd, partial(token_price, prices=prices)) if max_usd is not None else None
        with spending_under(meter), project.caching():
            write_whole(
                place / "dimensions.json",
                json.dumps(_measure(project, found, known, prices), indent=1, ensure_ascii=False),
            )
        known = collected(place, stored, decision, economics)
    table = fill(known)
    if as_json:
        show.print_json(_json(found.name, identity, known, table))
    else:
        print("\n".join(_lines(known, table)))
    return 0


def collected(
    place: Path, stored: Evaluation, decision: Mapping[str, Any] | None, economics: Economics | None
) -> Measured:
    """All that is known of a stored evaluation, with what lies beside it in its folder."""
    kept = _read(place / "dimensions.json")
    consistency = _by_name(place / "consistency.json")
    return Measured(stored, decision, economics, consistency, kept.get("flexibility", {}), kept.get("risk", {}))


def as_rows(known: Measured) -> dict[str, Any]:
    """The table as a page shows it: its columns, and the words of each cell; no columns where no family was tried."""
    names = {family: one.name for family in FAMILIES if (one := representative(known, family)) is not None}
    rows = [{"name": name, "cells": [row[f].text for f in names]} for name, row in fill(known).items()]
    return {"columns": [{"family": family, "name": name} for family, name in names.items()], "rows": rows}


def _measure(project: Project, task: TaskFile, known: Measured, prices: UnitPrices) -> dict[str, Any]:
    """Flexibility and risk of the option that speaks for each family."""
    chosen = [one.name for family in FAMILIES if (one := representative(known, family)) is not None]
    train, _, _ = project.rows(task)
    made = build(chosen, project.parameters(task, chosen), project.settings.model)
    print(f"measuring rule changes and risk of {', '.join(chosen)} ...", file=sys.stderr)
    flexible = flexibility(task.task, made, train, prices)
    risky = risks(task.task, made, train, project.state)
    return {
        "schema_version": 1,
        "flexibility": {name: [one.to_json() for one in some] for name, some in flexible.items()},
        "risk": {name: one.to_json() for name, one in risky.items()},
    }


def _lines(known: Measured, table: Mapping[str, Mapping[str, Cell]]) -> list[str]:
    """A Markdown table, one row a dimension."""
    names = {family: one.name for family in FAMILIES if (one := representative(known, family)) is not None}
    if not names:
        return ["Neither prompting nor fine-tuning nor layering was evaluated; name some with --strategies."]
    head = [f"{family} ({name})" if name != family else family for family, name in names.items()]
    lines = [f"| dimension | {' | '.join(head)} |", "|" + "---|" * (len(head) + 1)]
    for dimension, cells in table.items():
        lines.append(f"| {dimension} | {' | '.join(cells[family].text for family in names)} |")
    return lines


def _json(task: str, identity: str, known: Measured, table: Mapping[str, Mapping[str, Cell]]) -> dict[str, Any]:
    speaks = {family: one.name for family in FAMILIES if (one := representative(known, family)) is not None}
    cells = {name: {f: dataclasses.asdict(cell) for f, cell in row.items()} for name, row in table.items()}
    return {"schema_version": 1, "task": task, "evaluation": identity, "candidates": speaks, "dimensions": cells}


def _economics(project: Project, task: TaskFile) -> Economics | None:
    beside = project.folder / "tasks" / task.name / "economics.toml"
    return project.economics(task) if task.economics or beside.exists() else None


def _by_name(path: Path) -> dict[str, Any]:
    return {row["candidate"]: row for row in _read(path).get("candidates", [])}


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found
