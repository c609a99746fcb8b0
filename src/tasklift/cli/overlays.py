"""`tasklift prompt overlays`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tasklift.cli import show
from tasklift.cli.decide import typed
from tasklift.cli.evaluate import meter_of
from tasklift.data.split import sample
from tasklift.errors import ConfigError
from tasklift.llm.overlay import read_overlays
from tasklift.llm.spending import spending_under
from tasklift.measure.evaluation import Options
from tasklift.measure.overlays import ALL, Cell, Matrix, overlay_matrix, rows_of
from tasklift.project import Project, TaskFile
from tasklift.stats.intervals import Interval
from tasklift.strategies.build import build, kind_of
from tasklift.strategies.prompt_choice import PROMPTED
from tasklift.strategy import Strategy

#: Parts that are named of each overlay.
SHOWN = 6


def overlays(
    task: str | None,
    folder: Path,
    strategies: str,
    model: str | None,
    rows: int | None,
    max_usd: float | None,
    as_json: bool,
) -> int:
    """Run every overlay on its rows, with each of the asked strategies."""
    project = Project.open(folder)
    found = project.task(task)
    place = project.folder / "tasks" / found.name / "overlays"
    known = read_overlays(place)
    if not known:
        raise ConfigError(f"{place}: no overlay; write one such as {place / 'de.toml'} (docs/prompts.md)")
    bases = strategies.split(",")
    if other := [name for name in bases if kind_of(name) not in PROMPTED or "+" in name]:
        raise ConfigError(f"{other[0]!r}: overlays are about {' and '.join(PROMPTED)}, or prompt:NAME")
    train, test, _ = project.rows(found)
    test = test if rows is None else sample(test, rows, stratum=found.task.output.stratum)
    chosen = {name: rows_of(test, name, overlay.slice) for name, overlay in known.items()}
    table = show.Table(sys.stderr if as_json else sys.stdout)
    table.open(f"{found.name}: {len(known)} overlays, each on its rows of {len(test)} test rows, beside the base")
    options = Options(folder=project.state, command=typed())
    with project.caching(), spending_under(meter_of(project, found, max_usd)):
        asked = model or project.settings.model
        made = {base: _variants(project, found, base, list(known), asked) for base in bases}
        matrix = overlay_matrix(found.task, made, train, chosen, options, table)
    if as_json:
        row = {"cells": [cell.to_json() for cell in matrix.cells], "broke": [cell.to_json() for cell in matrix.broke()]}
        show.print_json({"schema_version": 1, "task": found.name, **row, "evaluations": list(matrix.evaluations)})
    else:
        print("\n".join(["", *matrix_lines(matrix)]))
    return 0


def _variants(
    project: Project, task: TaskFile, base: str, overlays: Sequence[str], model: str | None
) -> dict[str, Strategy]:
    """Overlay -> the strategy with it for every row; '' for the base."""
    ref = base if ":" in base else _used_ref(project, task, base)
    names = {"": base} | {one: f"{ref}+{one}" for one in overlays}
    made = build(list(names.values()), project.parameters(task, list(names.values())), model)
    return {overlay: made[name] for overlay, name in names.items()}


def _used_ref(project: Project, task: TaskFile, strategy: str) -> str:
    used = project.prompts(task).used(strategy)
    return f"{strategy}:{used.ref if used else ''}"


def matrix_lines(found: Matrix) -> list[str]:
    """A line an overlay, and below it what it broke and mended."""
    lines = ["Overlays against the base, on the same rows (95% interval; McNemar mid-p, Holm-adjusted):"]
    for head in (cell for cell in found.cells if cell.part == ALL):
        lines.append(f"  {head.overlay:<12} {head.strategy:<10} {_line(head)}")
        parts = [
            cell
            for cell in found.cells
            if (cell.overlay, cell.strategy) == (head.overlay, head.strategy) and cell.part != ALL
        ]
        worse = sorted((one for one in parts if one.broken > one.fixed), key=lambda one: one.fixed - one.broken)
        for cell in worse[:SHOWN]:
            sure = "BROKE" if cell.p_holm < 0.05 else "broke, not shown beyond chance"
            lines.append(f"    {sure} {cell.part}: {_line(cell)}")
        if len(worse) > SHOWN:
            lines.append(f"    {len(worse) - SHOWN} more parts with fewer rows; --json names them")
        if not worse:
            lines.append("    broke nothing")
        better = [f"{one.part} {one.fixed}" for one in parts if one.fixed > one.broken][:SHOWN]
        lines += [f"    mended {', '.join(better)}"] if better else []
    return lines


def _line(cell: Cell) -> str:
    d = cell.difference
    points = f"{100 * d.value:+.1f} points [{100 * d.low:+.1f}, {100 * d.high:+.1f}]"
    counts = f"{cell.broken} broken, {cell.fixed} mended of {cell.rows}"
    return f"{_percent(cell.base)} -> {_percent(cell.own)}  {points}  p = {cell.p_holm:.4f}  ({counts})"


def _percent(share: Interval) -> str:
    return f"{100 * share.value:.1f}%"
