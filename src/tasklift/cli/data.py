"""`tasklift data import`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tasklift.cli import show
from tasklift.data.read import read_dataset
from tasklift.dataset import write_jsonl
from tasklift.errors import ConfigError
from tasklift.project import Project


def import_rows(file: Path, task: str | None, folder: Path, mapping: list[str], as_json: bool) -> int:
    """Check `file` and write it where the task's `[data] file` says."""
    project = Project.open(folder)
    found = project.task(task)
    if found.data is None:
        raise ConfigError(
            f'{found.name}: add `[data]` with `file = "data.jsonl"` to task.toml, so that the rows have a place'
        )
    if found.data.fields or not found.data.file.endswith(".jsonl"):
        raise ConfigError(
            f"{found.name}: [data] reads {found.data.file} with a mapping of its own; "
            f"an import needs a .jsonl without `fields`"
        )
    data = read_dataset(file, found.task, fields_of(mapping))
    target = folder / "tasks" / found.name / found.data.file
    write_jsonl(data, target)
    counts = Counter(str(label) for label in data.outputs)
    if as_json:
        show.print_json(
            {
                "file": str(target),
                "rows": len(data),
                "labels": counts,
                "hash": data.content_hash,
                "warnings": data.warnings,
            }
        )
        return 0
    print(f"{len(data)} rows written to {target} (hash {data.content_hash[:12]})")
    for label, n in counts.most_common():
        print(f"  {n:>6}  {label}")
    for line in data.warnings:
        print(f"note: {line}")
    return 0


def fields_of(mapping: list[str]) -> dict[str, str]:
    """`target=COLUMN` pairs.

    Raises:
        ConfigError: a pair without `=`.
    """
    pairs = [item.partition("=") for item in mapping]
    wrong = [target for target, sign, column in pairs if not (target and sign and column)]
    if wrong:
        raise ConfigError(f"--field {wrong[0]!r}: write target=COLUMN, such as --field text=message")
    return {target: column for target, _, column in pairs}
