"""`tasklift curve`."""

from __future__ import annotations

import sys
from pathlib import Path

from tasklift.cache import caching_in
from tasklift.cli import show
from tasklift.data.split import sample
from tasklift.errors import ConfigError, DataError
from tasklift.measure.curve.crossing import Crossings, cross
from tasklift.measure.curve.plot import picture, told
from tasklift.measure.curve.points import Curve, checked_sizes, default_sizes
from tasklift.measure.curve.run import Plan, measure_curve, pairs_to_cross
from tasklift.project import Project
from tasklift.whole import write_whole


def curve(
    task: str | None,
    folder: Path,
    strategies: str,
    sizes: str | None,
    how: tuple[int, int | None, str | None, str | None],
    out: Path,
    as_json: bool,
) -> int:
    """Measure, cross, draw.

    Args:
        how: number of seeds, most test rows, model, embedder.
    """
    seeds, rows, model, embedder = how
    project = Project.open(folder)
    found = project.task(task)
    train, test, _ = project.rows(found)
    labelled = train.part((row for row in train if row.output is not None), "labelled rows")
    test = sample(test, rows, stratum=found.task.output.stratum) if rows else test
    if not labelled:
        raise DataError(f"{found.name}: no training row carries a label; `tasklift data label` asks for them")
    given = checked_sizes(_numbers(sizes), len(labelled)) if sizes else default_sizes(len(labelled), len(found.labels))
    plan = Plan(
        tuple(strategies.split(",")),
        tuple(given),
        tuple(range(seeds)),
        found.strategies,
        model or project.settings.model,
        embedder,
    )
    with caching_in(project.state / "cache"):
        measured = measure_curve(found.task, labelled, test, plan, project.state, _progress)
    crossings = [cross(measured, *pair) for pair in pairs_to_cross(measured)]
    write_whole(out, picture(measured, crossings))
    if as_json:
        shown = {name: _points(measured, name) for name in measured.strategies}
        told_ = [one.to_json() for one in crossings]
        show.print_json(
            {"task": found.name, "rows": len(test), "curves": shown, "crossings": told_, "picture": str(out)}
        )
    else:
        print("\n".join(_lines(measured, crossings, len(test), out)))
    return 0


def _numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() for part in parts):
        raise ConfigError(f"--sizes {text!r}: write numbers of rows, such as 50,100,200,400")
    return [int(part) for part in parts]


def _points(measured: Curve, name: str) -> list[dict[str, float]]:
    sizes, right = measured.table(name)
    by_seed = right.mean(axis=2)
    spread = by_seed.std(axis=1, ddof=1) if by_seed.shape[1] > 1 else [0.0] * len(sizes)
    return [
        {"labels": size, "accuracy": float(values.mean()), "sd": float(sd)}
        for size, values, sd in zip(sizes, by_seed, spread, strict=True)
    ]


def _lines(measured: Curve, crossings: list[Crossings], rows: int, out: Path) -> list[str]:
    lines = [f"{measured.task}: accuracy on {rows} test rows, mean over seeds (standard deviation)"]
    for name in measured.strategies:
        cells = [f"{p['labels']:g}: {p['accuracy']:.1%} ({100 * p['sd']:.1f})" for p in _points(measured, name)]
        lines.append(f"  {name:<10} " + "  ".join(cells))
    for one in crossings:
        lines.append(f"  {one.tuned} overtakes {one.prompted} on average: {told(one.average)}")
        lines.append(f"  {one.tuned} overtakes {one.prompted} surely:     {told(one.sure)}")
    if not crossings:
        lines.append("  no crossing: name a prompted and a tuned strategy")
    return [*lines, f"picture: {out}; `tasklift decide` counts with this curve"]


def _progress(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)
