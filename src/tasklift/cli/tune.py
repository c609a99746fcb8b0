"""`tasklift tune`: from a raw table to a tuned, evaluated, registered model, by the steps of the single commands."""

from __future__ import annotations

import sys
from pathlib import Path

from tasklift.cli import show
from tasklift.cli.audit import audit_lines, describe, run_audit, save_version
from tasklift.cli.evaluate import Asked, compare
from tasklift.cli.raw_table import Table, write_project
from tasklift.cli.versions import Place, opened
from tasklift.data.audit.duplicates import alike
from tasklift.data.audit.policy import read_policy
from tasklift.data.clean import Rules, clean
from tasklift.data.resplit import resplit
from tasklift.data.versions import difference
from tasklift.measure.seeds import OneSeed, Seeds
from tasklift.stats.intervals import Interval


def tune_file(
    columns: tuple[Path, str, str, str], folder: Path, strategy: str, embedder: str | None, seeds: int, as_json: bool
) -> int:
    """Do every step that is not done yet.

    Args:
        columns: the file, its column of texts, its column of answers, and what these are.
        seeds: so many fits of the strategy; one where it has no seed.
    """
    table = Table(*columns)
    if not (folder / "tasklift.toml").exists():
        write_project(table, folder)
    place = opened(folder, None, to_write=True)
    if not any(row.split == "test" for row in place.data):
        place = _prepared(place)
    names = tuple(dict.fromkeys(["majority", "baseline", strategy]))
    lines = show.Table(sys.stderr if as_json else sys.stdout)
    asked = Asked(names, None, None, embedder, seeds={strategy: seeds})
    evaluation = compare(place.project, place.task, asked, place.project.state, lines)
    found = Seeds.of(evaluation, strategy)
    if as_json:
        show.print_json(
            {
                "project": str(folder),
                "model": found.chosen.fingerprint,
                "evaluation": evaluation.id,
                "seeds": found.to_json(),
                **show.evaluation_json(evaluation, None, None),
            }
        )
    else:
        figures, several = show.figure_lines(evaluation), seed_lines(strategy, found) if len(found.each) > 1 else []
        blocks = [figures, show.comparison_lines(evaluation), several, _next(folder, place, found.chosen)]
        print("\n".join(line for block in blocks if block for line in ["", *block]))
    return 0


def seed_lines(strategy: str, found: Seeds) -> list[str]:
    """Each seed, how far they lie apart, and which one is to be released."""
    lines = [f"{strategy} with {len(found.each)} seeds (accuracy, 95% interval of the rows; held-out training rows):"]
    for one in found.each:
        held_out = f"  {_said(one)}" if one.validation is not None else ""
        lines.append(f"  seed {one.seed:<4} {_percent(one.accuracy)}{held_out}")
    values = [100 * one.accuracy.value for one in found.each]
    apart = f"seeds from {min(values):.1f} to {max(values):.1f}, standard deviation {100 * found.deviation:.1f} points"
    lines.append(f"  mean      {_percent(found.mean)}  {apart}")
    best = found.chosen
    if best.validation is None:
        return [*lines, f"to release: {best.name}, the first (the fits measured nothing on held-out rows)"]
    return [*lines, f"to release: {best.name}, {_said(best)}: chosen by the held-out rows, no test row had a say"]


def _said(one: OneSeed) -> str:
    return f"{one.measure.replace('_', ' ')} {one.validation:.3f}"


def _percent(interval: Interval) -> str:
    return f"{100 * interval.value:5.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _prepared(place: Place) -> Place:
    """Audited, cleaned and split, each a version with its datasheet."""
    policy = read_policy(place.task_folder)
    found = run_audit(place, place.data, policy, None)
    print("\n".join(audit_lines(place.task.name, "(as read)", found)), file=sys.stderr)
    cleaned, changes = clean(place.data, found, policy, Rules())
    cut = resplit(cleaned, alike(cleaned.examples).near, "label", (0.3, 0.0), stratum=place.task.task.output.stratum)
    changes += [change for change in difference(cleaned, cut, "split by label") if change.action == "changed"]
    version = save_version(place, cut, f"cleaned, then {cut.lineage[-1]}", changes)
    after = opened(place.project.folder, place.task.name)
    describe(after, version, run_audit(after, after.data, policy, None), policy)
    return after


def _next(folder: Path, place: Place, chosen: OneSeed) -> list[str]:
    short = chosen.fingerprint[:12]
    return [
        f"model {chosen.fingerprint} is registered: tasklift models show {short} -p {folder}",
        f"its rows: tasklift data versions -p {folder}",
        f"how many labels until it pays: tasklift curve -p {folder}",
        f"into production: tasklift release {place.task.name} --candidate {short} -p {folder}",
    ]
