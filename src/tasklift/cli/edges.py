"""`tasklift data edges`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tasklift.cache import caching_in
from tasklift.cli import show
from tasklift.cli.audit import save_version
from tasklift.cli.versions import Place, opened
from tasklift.data.audit.finding import label_of, text_of_row
from tasklift.data.edges import Edge, EdgeRow, find_edges
from tasklift.data.embed import open_embedder
from tasklift.data.versions import difference
from tasklift.dataset import Example
from tasklift.errors import ConfigError
from tasklift.measure.metrics import right_of
from tasklift.measure.stored import load_evaluation, newest_evaluation

#: Answers less sure than this are looked at.
UNSURE = 0.5
SHOWN = 3
#: Where right is a score, an answer below this counts as wrong.
WRONG = 0.5


def edges(
    task: str | None,
    folder: Path,
    which: tuple[str | None, str | None],
    embedder: str,
    as_slice: str | None,
    database: str | None,
    as_json: bool,
) -> int:
    """Group, print, and write slices where asked.

    Args:
        which: evaluation and candidate; None: the newest, and all of its candidates that answer best.
        as_slice: name of the slice that tells the groups apart.
    """
    place = opened(folder, task, to_write=as_slice is not None)
    hard, without_text = _of_production(place, database)
    found = {one.row: one for one in (*_measured(place, *which), *hard)}
    rows = list(found.values())
    with caching_in(place.project.state / "cache"):
        vectors = open_embedder(embedder).encode([one.text for one in rows]) if rows else None
    groups = find_edges(rows, vectors, [text_of_row(row) for row in place.data]) if vectors is not None else []
    traced = {one.row for one in hard}
    in_data = [one for one in groups if not traced.issuperset(one.rows)]
    version = _write_slice(place, in_data, as_slice) if as_slice and in_data else ""
    if as_json:
        told = [one.to_json() | {"in_production": len(traced.intersection(one.rows))} for one in groups]
        counts = {"rows": len(rows), "in_production": len(hard), "without_text": without_text}
        show.print_json({"task": place.task.name, **counts, "edges": told, "version": version})
        return 0
    told_of = f", {len(hard)} of them in production" if hard else ""
    print(f"{place.task.name}: {len(rows)} rows went wrong or unsure{told_of}, {len(groups)} groups")
    if without_text:
        print(f"  {without_text} more in production, whose text was not kept ([serving] inputs)")
    texts = {one.row: one.text for one in rows}
    for one in groups:
        print("\n".join(_lines(one, texts)))
    if groups and not as_slice:
        print("as slices of reports: tasklift data edges --as-slice edge; a new label is a line in task.toml")
    if len(in_data) < len(groups):
        print(
            f"{len(groups) - len(in_data)} groups are of production alone, so no slice of the data holds them: "
            f"`tasklift retrain {place.task.name}` trains on what people said of them"
        )
    if version:
        print(f"slice {as_slice!r} written, version {version}; add it to `slices` in task.toml")
    return 0


def _lines(one: Edge, texts: Mapping[str, str]) -> list[str]:
    """A group for a reader, with the rows nearest to its middle."""
    why = ", ".join(f"{n} {reason}" for reason, n in one.why.items())
    labels = ", ".join(f"{n} {label or 'unlabelled'}" for label, n in list(one.labels.items())[:4])
    head = f"  {len(one.rows):>4}  {one.name}: {why}; labels: {labels}; offered as a {one.offer}"
    return [head, *(f"        {row}: {' '.join(texts[row].split())[:90]}" for row in one.rows[:SHOWN])]


def _measured(place: Place, evaluation: str | None, candidate: str | None) -> list[EdgeRow]:
    """Rows that one candidate, the named or the most accurate, got wrong, deferred or was unsure of."""
    identity = evaluation or newest_evaluation(place.project.state, place.task.name)
    stored = load_evaluation(place.project.state, identity, 1.0)
    names = [result.name for result in stored.results]
    if candidate is not None and candidate not in names:
        raise ConfigError(f"evaluation {identity} has no candidate {candidate!r}; it has {', '.join(names)}")
    best = max(stored.results, key=lambda one: one.scores.accuracy.value if one.scores.accuracy else -1.0)
    result = stored.result(candidate) if candidate else best
    by_id = {row.id: row for row in place.data}
    found = []
    rights = right_of(result.predictions, stored.rows.outputs, stored.task)
    for row, prediction, right in zip(stored.rows, result.predictions, rights, strict=True):
        if row.id not in by_id:
            continue  # the row is gone since
        if prediction.deferred:
            why = "deferred"
        elif right < WRONG:
            why = "wrong"
        elif prediction.confidence is not None and prediction.confidence < UNSURE:
            why = "unsure"
        else:
            continue
        found.append(_edge_row(by_id[row.id], why))
    return found


def _of_production(place: Place, database: str | None) -> tuple[list[EdgeRow], int]:
    """Rows that were corrected, left to people or little sure in production; nothing where nothing is in production."""
    if database is None and not (place.project.state / "traffic.db").exists():
        return [], 0
    # Only where there is traffic, since it needs the extra [serve].
    reader = importlib.import_module("tasklift.cli.hard_rows")
    rows, without_text = reader.of_production(place.project, place.task, database, UNSURE)
    return [_edge_row(one.row, one.why) for one in rows], without_text


def _edge_row(row: Example, why: str) -> EdgeRow:
    return EdgeRow(row.id, text_of_row(row), label_of(row), why)


def _write_slice(place: Place, groups: list[Edge], name: str) -> str:
    group_of = {row: one.name for one in groups for row in one.rows}
    rows = [replace(row, slice={**row.slice, name: group_of.get(row.id, "none")}) for row in place.data]
    sliced = place.data.part(rows, f"slice {name} by edges")
    return save_version(place, sliced, sliced.lineage[-1], difference(place.data, sliced, f"slice {name}")).id
