"""`tasklift models`: the registry of what was fitted."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasklift.cli import show
from tasklift.economics import UnitPrices
from tasklift.measure.models.compare import Beside, beside
from tasklift.measure.models.entry import Catalogue, Measured, Model
from tasklift.measure.models.pruning import Keep, plan_pruning
from tasklift.measure.models.transfer import export_model, import_model
from tasklift.project import Project


def list_models(task: str | None, folder: Path, as_json: bool) -> int:
    """One line a model."""
    found = _catalogue(Project.open(folder), task)
    if as_json:
        show.print_json({"models": [one.to_json() for one in found.models]})
        return 0
    for one in found.models:
        print(_line(one))
    if not found.models:
        print(
            "no model is fitted yet: `tasklift evaluate` and `tasklift tune` fit them; weights: `tasklift weights list`"
        )
    return 0


def show_model(model: str, folder: Path, as_json: bool) -> int:
    """All that is known about one."""
    found = _catalogue(Project.open(folder), None)
    one = found.get(model)
    if as_json:
        show.print_json(one.to_json())
        return 0
    row = one.to_json()
    print(_line(one))
    for name in ("parameters", "setup", "notes"):
        print(f"  {name}: {_plain(row[name])}")
    print(f"  set-up cost: {one.setup_usd:,.2f} USD")
    if one.origin:
        data, versions = one.origin.data, _plain(one.origin.versions)
        steps = "; ".join(data["lineage"])
        print(f"  data: {data['name']}, {data['rows']} rows, hash {data['content_hash'][:16]}; {steps}")
        print(f"  base: {one.origin.base or 'none'}; made {one.origin.at} on {one.origin.machine} with {versions}")
    parents = ", ".join(name[:12] for name in one.parents) or "none"
    children = ", ".join(child.fingerprint[:12] for child in found.children(one.fingerprint)) or "none"
    print(f"  made of: {parents}; part of: {children}")
    for measured in one.measured:
        print(f"  evaluation {measured.evaluation}: {_figures(measured)}")
    return 0


def compare(first: str, second: str, folder: Path, as_json: bool) -> int:
    """What differs."""
    project = Project.open(folder)
    catalogue = _catalogue(project, None)
    before, after = catalogue.get(first), catalogue.get(second)
    found = beside(project.state, before, after)
    if as_json:
        told = {"first": before.fingerprint, "second": after.fingerprint}
        show.print_json(told | found.to_json())
    else:
        print("\n".join(_beside_lines(before, after, found)))
    return 0


def prune(folder: Path, keep: int, unmeasured: bool, dry_run: bool, database: str | None, as_json: bool) -> int:
    """Free space; what is or was in production stays."""
    project = Project.open(folder)
    released: frozenset[str] = frozenset()
    if database or (project.state / "traffic.db").exists():
        # Only where something was released, since it needs the extra [serve].
        released = importlib.import_module("tasklift.cli.release").released(project, database)
    planned = plan_pruning(_catalogue(project, None), Keep(keep, not unmeasured, released))
    if not dry_run:
        for model, _ in planned:
            shutil.rmtree(project.state / "artifacts" / model.fingerprint)
    size = sum(model.size for model, _ in planned)
    if as_json:
        gone = [{"fingerprint": model.fingerprint, "why": why, "size": model.size} for model, why in planned]
        show.print_json({"dry_run": dry_run, "models": gone, "size": size})
        return 0
    verb = "would free" if dry_run else "freed"
    print(f"{verb} {size / 1e6:.1f} MB: {len(planned)} models")
    for model, why in planned:
        print(f"  {model.fingerprint[:12]} {model.size / 1e6:.1f} MB: {why}")
    return 0


def export(model: str, to: str, folder: Path, as_json: bool) -> int:
    """Copy out."""
    project = Project.open(folder)
    one = _catalogue(project, None).get(model)
    facts = {key: value for key, value in one.to_json().items() if key not in ("damage", "fingerprint")}
    place = export_model(project.state, one.fingerprint, to, facts)
    show.print_json({"fingerprint": one.fingerprint, "to": place}) if as_json else print(f"{one.fingerprint}: {place}")
    return 0


def bring(url: str, folder: Path, as_json: bool) -> int:
    """Copy in."""
    fingerprint = import_model(url, Project.open(folder).state)
    if as_json:
        show.print_json({"fingerprint": fingerprint})
    else:
        print(f"{fingerprint} is here; `tasklift models show {fingerprint[:12]}`, `tasklift release` puts it to work")
    return 0


def _catalogue(project: Project, task: str | None) -> Catalogue:
    """At the unit prices of the task, or of the only task that has any."""
    name = project.task(task).name if task else None
    prices = UnitPrices()
    for one in [project.tasks[name]] if name else project.tasks.values():
        beside_it = project.folder / "tasks" / one.name / "economics.toml"
        if one.economics or beside_it.exists():
            prices = project.economics(one).prices
    return Catalogue.open(project.state, prices, name)


def _line(one: Model) -> str:
    if one.card is None:
        return f"{one.fingerprint[:12]}  damaged: {one.damage}"
    at = one.origin.at[:16] if one.origin else "-"
    accuracy = f"{one.accuracy:6.1%}" if one.accuracy is not None else "     -"
    setup = one.card.setup
    return (
        f"{one.fingerprint[:12]}  {one.task:<18} {one.card.strategy:<9} {accuracy}  {at:<16}  "
        f"{one.size / 1e6:>7.1f} MB {setup.labels:>6} labels {setup.cpu_s:>7.1f} CPU s {one.setup_usd:>9.2f} USD"
    )


def _figures(found: Measured) -> str:
    accuracy = "-" if found.accuracy is None else "{:.1%} [{:.1%}, {:.1%}]".format(*found.accuracy)
    ece = "" if found.ece is None else f", ECE {found.ece:.3f}"
    speed = "" if found.p50_ms is None else f", {found.p50_ms:.1f} ms"
    return f"accuracy {accuracy} on {found.rows} rows{ece}{speed}, {found.item_usd:.6f} USD an item"


def _beside_lines(before: Model, after: Model, found: Beside) -> list[str]:
    lines = [f"{before.fingerprint[:12]} -> {after.fingerprint[:12]}"]
    lines += [f"  {name}: {first} -> {second}" for name, (first, second) in found.differences.items()]
    if found.comparison is None or found.accuracy is None:
        return [*lines, "  no evaluation holds both: `tasklift evaluate` compares them on the same rows"]
    change = found.comparison.difference
    return [
        *lines,
        f"  evaluation {found.evaluation}, {found.comparison.rows} rows: "
        f"{found.accuracy[0]:.1%} -> {found.accuracy[1]:.1%}, {100 * change.value:+.1f} points "
        f"[{100 * change.low:+.1f}, {100 * change.high:+.1f}], p = {found.comparison.p:.3f}",
    ]


def _plain(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items())
