"""`tasklift decisions`: list, show and check what was decided."""

from __future__ import annotations

import asyncio
import datetime
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tasklift.cli import show
from tasklift.cli.decide import state_of
from tasklift.economics import Economics
from tasklift.errors import ModelError
from tasklift.llm.client import ClientOptions
from tasklift.llm.open import open_endpoint
from tasklift.measure.cost import token_price
from tasklift.measure.records.ledger import Record, load, readable, records, reopen
from tasklift.measure.records.watch import Today, broken, current, models_of
from tasklift.project import Project
from tasklift.schema import parse, read_toml

EXIT_REOPENED = 3
#: Seconds for an endpoint to say which models it serves: a check must not hang on one that is gone.
PATIENCE_S = 10.0


def list_decisions(folder: Path, as_json: bool) -> int:
    """One line a decision, oldest first."""
    found, broken = readable(state_of(folder))
    valid = {record.id for record in current(found)}
    rows = [_summary(record, record.id in valid) for record in found]
    if as_json:
        show.print_json({"schema_version": 1, "decisions": rows, "damaged": broken})
        return 0
    for line in broken:
        print(f"note: {line}", file=sys.stderr)
    if not rows and not broken:
        print(f"{folder}: no decision is kept here; `tasklift decide` takes one")
    for row in rows:
        print(f"{row['id']:<20} {row['kept_at'][:10]}  {row['choice']:<14} {row['status']:<9} {row['question']}")
    return 0


def show_decision(identity: str, folder: Path, as_json: bool) -> int:
    """The page of a record, or the record itself."""
    record = load(state_of(folder), identity)
    if as_json:
        show.print_json({**record.row, "reopened": list(record.reopened)})
    else:
        print(record.page)
    return 0


def check(
    identity: str | None,
    folder: Path,
    economics: Path | None,
    items_per_month: float | None,
    offline: bool,
    as_json: bool,
) -> int:
    """Reopen every current decision that no longer holds; exit code 3 where one was."""
    state = state_of(folder)
    asked = [load(state, identity)] if identity else current(records(state))
    priced: Economics | None = parse(Economics, read_toml(economics), str(economics)) if economics else None
    shutdowns, silent = ({}, []) if offline else asyncio.run(_shutdowns(models_of(asked)))
    rows: list[dict[str, Any]] = []
    for record in asked:
        prices = (priced or _economics_now(record, folder)).prices
        now = Today(datetime.date.today(), partial(token_price, prices=prices), shutdowns, items_per_month)
        reasons = broken(record, now)
        if reasons:
            reopen(record, reasons)
        rows.append({"id": record.id, "holds": not reasons, "reasons": reasons})
    if as_json:
        show.print_json({"schema_version": 1, "decisions": rows, "not_asked": silent})
    else:
        for row in rows:
            print(f"{row['id']}: {'holds' if row['holds'] else 'REOPENED'}")
            for reason in row["reasons"]:
                print(f"  {reason}")
            if row["reasons"]:
                print(f"  decide it again with `tasklift decide --redo {row['id']}`")
        for line in silent:
            print(f"note: {line}", file=sys.stderr)
        if not rows:
            print(f"{folder}: no decision is kept here")
    return 0 if all(row["holds"] for row in rows) else EXIT_REOPENED


def _summary(record: Record, is_current: bool) -> dict[str, str]:
    status = "replaced" if not is_current else "reopened" if record.reopened else "current"
    about = record.about
    return {
        "id": record.id,
        "kept_at": about["kept_at"],
        "choice": record.row["choice"],
        "candidate": record.row["candidate"] or "",
        "status": status,
        "valid_until": about["validity"]["until"],
        "question": about["question"],
    }


def _economics_now(record: Record, folder: Path) -> Economics:
    """Where prices of the user's own stand today: the task's economics, else the given file, else the record."""
    asked = record.about["asked"]
    file = Path(asked["economics_file"]) if asked["economics_file"] else None
    if asked["task"] and (folder / "tasklift.toml").exists():
        project = Project.open(folder)
        return project.economics(project.task(asked["task"]), file if file and file.exists() else None)
    if file and file.exists():
        return parse(Economics, read_toml(file), str(file))
    return parse(Economics, dict(record.about["economics"]), f"decision {record.id}")


async def _shutdowns(models: Sequence[str]) -> tuple[dict[str, datetime.date], list[str]]:
    """Model -> day on which its endpoint says that it ends; and which endpoints could not be asked."""
    found: dict[str, datetime.date] = {}
    silent = []
    for address in dict.fromkeys(model.partition("#")[0] for model in models if "://" in model):
        names = {model.partition("#")[2]: model for model in models if model.startswith(f"{address}#")}
        endpoint = open_endpoint(f"{address}#{next(iter(names))}", ClientOptions(max_retries=0, timeout_s=PATIENCE_S))
        try:
            told = await endpoint.shutdown_dates()
        except ModelError as error:
            silent.append(f"{address} could not be asked for shutdown dates: {error}")
        else:
            found |= {names[name]: day for name, day in told.items() if name in names}
        finally:
            await endpoint.aclose()
    return found, silent
