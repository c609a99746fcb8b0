"""The datasheet of a version (after Gebru et al. 2021): Markdown for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tasklift.data.audit.policy import DataPolicy
from tasklift.data.audit.report import Audit
from tasklift.data.versions import Version
from tasklift.task import Task
from tasklift.whole import write_whole

SCHEMA_VERSION = 1


def datasheet(task: Task, version: Version, found: Audit, policy: DataPolicy) -> dict[str, Any]:
    """Everything that is known about a version, as plain fields."""
    return {
        "schema_version": SCHEMA_VERSION,
        "task": task.name,
        "instruction": task.instruction,
        "purpose": policy.notes,
        "version": version.summary(),
        **found.to_json(),
        "licences": {name: source.model_dump() for name, source in policy.sources.items()},
        "personal_data": dict(policy.pii),
    }


def write_datasheet(folder: Path, sheet: Mapping[str, Any]) -> Path:
    """Write `datasheet.json` and `datasheet.md` into the version's folder; returns the page.

    Raises:
        DataError: the disk refused.
    """
    write_whole(folder / "datasheet.json", json.dumps(sheet, ensure_ascii=False, indent=1) + "\n")
    write_whole(folder / "datasheet.md", "\n".join(page(sheet)) + "\n")
    return folder / "datasheet.md"


def page(sheet: Mapping[str, Any]) -> Iterator[str]:
    """The datasheet as lines of Markdown. It holds counts, ids and words that give labels away, but no texts."""
    version = sheet["version"]
    yield f"# Datasheet: {sheet['task']}, version {version['id']}"
    yield ""
    yield f"{sheet['rows']} rows. Made {version['at']} by: {version['step']}."
    if version["parent"]:
        yield (
            f"From version {version['parent']}: {version['removed']} rows removed, {version['changed']} changed, "
            f"{version['added']} added. `tasklift data undo` takes any of it back."
        )
    yield from _section("Purpose", [sheet["purpose"] or "Not stated (`notes` in data.toml).", "", sheet["instruction"]])
    yield from _section("Labels", _counts("label", sheet["labels"]))
    yield from _section("Splits", _counts("split", sheet["splits"]))
    lengths = ", ".join(f"{name} {value:g}" for name, value in sheet["lengths"].items())
    languages = ", ".join(f"{code} {n}" for code, n in sheet["languages"].items())
    yield from _section("Texts", [f"Words: {lengths}.", "", f"Languages: {languages}."])
    yield from _section("Sources and licences", _sources(sheet))
    yield from _section("Findings", _findings(sheet["findings"]))


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""
    yield from lines


def _counts(word: str, counts: Mapping[str, int]) -> Iterator[str]:
    yield from _table([word, "rows"], ([name, str(n)] for name, n in counts.items()))


def _sources(sheet: Mapping[str, Any]) -> Iterator[str]:
    rows = []
    for name, n in sheet["sources"].items():
        known = sheet["licences"].get(name, {})
        limit = known.get("retention_days")
        rows.append(
            [
                name,
                str(n),
                known.get("licence", "not stated"),
                "" if not known else "yes" if known["commercial"] else "no",
                "" if not known else "yes" if known["personal"] else "no",
                "" if limit is None else f"{limit} days",
            ]
        )
    yield from _table(["source", "rows", "licence", "in a product", "from people", "kept"], rows)


def _findings(findings: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    rows = [[one["severity"], one["check"], one["message"], one["remedy"]] for one in findings]
    if rows:
        yield from _table(["severity", "check", "found", "what to do"], rows)
    else:
        yield "Nothing."


def _table(header: list[str], rows: Iterable[list[str]]) -> Iterator[str]:
    for cells in (header, ["---"] * len(header), *rows):
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
