"""`tasklift tune`: from a raw table to a tuned, evaluated, registered model, by the steps of the single commands."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from tasklift.cli import show
from tasklift.cli.audit import audit_lines, describe, run_audit, save_version
from tasklift.cli.evaluate import Asked, compare
from tasklift.cli.versions import Place, opened
from tasklift.data.audit.duplicates import alike
from tasklift.data.audit.policy import read_policy
from tasklift.data.clean import Rules, clean
from tasklift.data.read import raw_rows, read_dataset
from tasklift.data.resplit import resplit
from tasklift.data.versions import difference
from tasklift.dataset import write_jsonl
from tasklift.errors import ConfigError, DataError
from tasklift.measure.seeds import OneSeed, Seeds
from tasklift.schema import parse
from tasklift.stats.intervals import Interval
from tasklift.task import Task
from tasklift.whole import write_whole

PROJECT = 'schema_version = 1\nname = {name}\nmodel = "local"\n'
TASK = """schema_version = 1
name = {name}
instruction = {instruction}

[output]
kind = "label"

[output.labels]      # a definition of each, one sentence, helps prompted models and people
{labels}

[data]
file = "data.jsonl"
"""


@dataclass(frozen=True)
class Table:
    """A raw table.

    Attributes:
        file: `.csv` or JSONL.
        text: column with the text.
        label: column with the answer.
    """

    file: Path
    text: str
    label: str


def tune_file(
    columns: tuple[Path, str, str], folder: Path, strategy: str, embedder: str | None, seeds: int, as_json: bool
) -> int:
    """Do every step that is not done yet.

    Args:
        columns: the file, its column of texts, and its column of labels.
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
        several = ["", *seed_lines(strategy, found)] if len(found.each) > 1 else []
        print("\n".join(["", *show.comparison_lines(evaluation), *several, "", *_next(folder, place, found.chosen)]))
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


def write_project(table: Table, folder: Path) -> None:
    """A project with one task, its labels as they stand in the table; rows without a label are left out, and counted.

    The project file is written last: a stopped run begins again.

    Raises:
        DataError: a column is missing, or fewer than two labels are there.
        ConfigError: the folder holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; name a folder for the project")
    labels = _labels(table)
    name = re.sub(r"[^a-z0-9_]+", "_", table.file.stem.lower()).strip("_") or "task"
    name = name if name[0].isalpha() else f"task_{name}"
    instruction = f"Sort each text by its {table.label}."
    task = parse(
        Task,
        {"name": name, "instruction": instruction, "output": {"kind": "label", "labels": labels}},
        str(table.file),
    )
    data = read_dataset(table.file, task, {"text": table.text, "output": table.label})
    known = data.part((row for row in data if row.output is not None), "rows with a label")
    if len(known) < len(data):
        print(f"  {len(data) - len(known)} rows without a label are left out", file=sys.stderr)
    own = folder / "tasks" / name
    write_jsonl(known, own / "data.jsonl")
    lines = "\n".join(f"{_quoted(label)} = {_quoted(meaning)}" for label, meaning in labels.items())
    text = TASK.format(name=_quoted(name), instruction=_quoted(instruction), labels=lines)
    write_whole(own / "task.toml", text)
    write_whole(folder / "tasklift.toml", PROJECT.format(name=_quoted(folder.resolve().name)))


def _labels(table: Table) -> dict[str, str]:
    found: dict[str, str] = {}
    for line, row in raw_rows(table.file):
        if isinstance(row, str):
            continue  # reading the rows names it, with all others
        for column in (table.text, table.label):
            if column not in row:
                raise DataError(
                    f"{table.file}: line {line}: no column {column!r}; there are {', '.join(map(str, row))}"
                )
        value = str(row[table.label] or "").strip()
        if value:
            found[value] = value.replace("_", " ")
    if len(found) < 2:
        raise DataError(
            f"{table.file}: the column {table.label!r} holds {len(found)} label(s); at least two are needed"
        )
    return dict(sorted(found.items()))


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


def _quoted(text: str) -> str:
    """A TOML string: JSON's escapes are among TOML's."""
    return json.dumps(text, ensure_ascii=False)
