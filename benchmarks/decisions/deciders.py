"""Deciders that are scored: ours, or anybody's that reads the two files and prints the pinned JSON."""

from __future__ import annotations

import csv
import importlib
import json
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from companies import MEASURED, OPTIONS, Company

from tasklift.economics import Economics
from tasklift.measure.deciding.decision import Settings, decide
from tasklift.measure.deciding.record import Decision
from tasklift.measure.evidence import Evidence, OptionEvidence
from tasklift.strategy import Resources

Record = Mapping[str, Any]
Decider = Callable[[Company], Record]
DRAWS = 2000


def ours(company: Company) -> Record:
    """This engine, on what would stand in the two files."""
    return decided(company).to_json()


def decided(company: Company) -> Decision:
    """The decision itself."""
    economics = Economics.model_validate(company.economics)
    return decide(evidence_of(company), economics, None, Settings(draws=DRAWS, parameters=False))


def evidence_of(company: Company) -> Evidence:
    """A company's evaluation."""
    rows = len(company.right)
    no = np.zeros(rows, dtype=bool)
    options = {
        name: OptionEvidence(
            name, name, company.right[:, at].astype(float), no, no, cost_usd=company.item_usd[:, at], setup=Resources()
        )
        for at, name in enumerate(MEASURED)
    }
    return Evidence(company.name, tuple(map(str, range(rows))), options, (None,) * rows, ({},) * rows)


def named(name: str) -> Decider:
    """A decider by name: `tasklift`; `module:function`, called with the paths of results.csv and economics.toml
    and giving the pinned object; or a command, in which `{results}` and `{economics}` are replaced by the
    paths, printing it.
    """
    if name == "tasklift":
        return ours
    if " " not in name and ":" in name:
        module, _, function = name.partition(":")
        call = getattr(importlib.import_module(module), function)
        return lambda company: _with_files(company, call)
    return lambda company: _with_files(company, lambda results, economics: _command(name, results, economics))


def option_of(record: Record) -> str:
    """The option that a record comes to. One that says to measure first is asked for what it would take
    today: the cheapest of what it shows."""
    choice = record.get("candidate") or record["choice"]
    if choice in OPTIONS:
        return str(choice)
    shown = {name: one.get("expected_usd_per_year") for name, one in record["options"].items() if name in OPTIONS}
    return min((str(name) for name, usd in shown.items() if usd is not None), key=lambda name: float(shown[name]))


def write_files(company: Company, folder: Path) -> tuple[Path, Path]:
    """`results.csv` and `economics.toml` of a company."""
    results, economics = folder / "results.csv", folder / "economics.toml"
    with results.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["item_id", "option", "correct", "cost_usd", "latency_s"])
        for at, (right, usd) in enumerate(zip(company.right, company.item_usd, strict=True)):
            for option, name in enumerate(MEASURED):
                out.writerow([at, name, int(right[option]), f"{usd[option]:.6g}", 0.5])
    economics.write_text(_toml(company.economics), encoding="utf-8")
    return results, economics


def _with_files(company: Company, call: Callable[[Path, Path], Record]) -> Record:
    with tempfile.TemporaryDirectory() as folder:
        return call(*write_files(company, Path(folder)))


def _command(command: str, results: Path, economics: Path) -> Record:
    words = [word.format(results=results, economics=economics) for word in shlex.split(command)]
    found = subprocess.run(words, check=False, capture_output=True, text=True)
    if not found.stdout.strip():
        raise SystemExit(f"{words[0]} printed nothing (exit {found.returncode}): {found.stderr.strip()[-500:]}")
    record: Record = json.loads(found.stdout)
    return record


def _toml(economics: Mapping[str, Any]) -> str:
    plain = [f"{key} = {_value(value)}" for key, value in economics.items() if key not in ("options", "prices")]
    lines = [*plain, "", "[prices]", *(f"{key} = {_value(value)}" for key, value in economics["prices"].items())]
    for name, option in economics["options"].items():
        lines += ["", f"[options.{name}]", *(f"{key} = {_value(value)}" for key, value in option.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(one)}" for key, one in value.items()) + " }"
    return json.dumps(value) if isinstance(value, str) else repr(float(value))
