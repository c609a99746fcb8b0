"""The CRM behind the copilot: a read-only SQLite database and three tools with parameterised queries."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field

from tasklift.strategies.tools import Tool, ToolError, Toolset

HERE = Path(__file__).resolve().parent
TODAY = "2026-11-24"
#: From documents/metrics.md.
PROBABILITY = {"qualified": 0.10, "pilot": 0.30, "tender": 0.50, "contract": 0.85}
STALE = """
SELECT d.id, a.name AS account, d.title, d.owner, d.stage, d.amount_eur, max(n.day) AS last_contact
FROM deals d JOIN accounts a ON a.id = d.account
LEFT JOIN activities n ON n.deal = d.id AND n.kind <> 'newsletter'
WHERE d.stage NOT IN ('won', 'lost') AND d.amount_eur >= :least_eur
GROUP BY d.id HAVING coalesce(max(n.day), '') < date(:today, '-' || :days || ' days') ORDER BY d.amount_eur DESC
"""
PIPELINE = """
SELECT stage, count(*) AS deals, sum(amount_eur) AS amount_eur FROM deals
WHERE stage NOT IN ('won', 'lost') AND closes BETWEEN :first AND :last GROUP BY stage ORDER BY stage
"""
NOTES = """
SELECT d.id, a.name AS account, d.title, d.stage, d.amount_eur, n.day, n.kind, n.note
FROM deals d JOIN accounts a ON a.id = d.account LEFT JOIN activities n ON n.deal = d.id
WHERE d.id = :deal ORDER BY n.day DESC LIMIT 10
"""


class Stale(BaseModel):
    """Which stale deals."""

    days: int = Field(30, ge=1, le=365, description="Without a call, meeting or mail for so many days")
    least_eur: int = Field(0, ge=0, description="Only deals of at least this amount")


class Quarter(BaseModel):
    """A quarter in which deals are expected to close."""

    year: int = Field(ge=2020, le=2035)
    quarter: Literal[1, 2, 3, 4]


class OneDeal(BaseModel):
    """A deal by its number."""

    deal: int = Field(ge=1)


class NewActivity(BaseModel):
    """What was done on a deal."""

    deal: int = Field(ge=1)
    kind: Literal["call", "meeting", "mail"]
    note: str = Field(max_length=200)


def write_database(path: Path) -> None:
    """The database of `crm.sql`, made anew."""
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as database:
        database.executescript((HERE / "crm.sql").read_text(encoding="utf-8"))
    database.close()


def crm_tools(path: Path) -> Toolset:
    """Tools that read the database at `path`; none of them can write it."""

    def read(query: str, **values: Any) -> list[dict[str, Any]]:
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        database.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in database.execute(query, values)]
        finally:
            database.close()

    def stale(asked: Stale) -> list[dict[str, Any]]:
        return read(STALE, today=TODAY, days=asked.days, least_eur=asked.least_eur)

    def pipeline(asked: Quarter) -> dict[str, Any]:
        month = 3 * asked.quarter
        rows = read(PIPELINE, first=f"{asked.year}-{month - 2:02}-01", last=f"{asked.year}-{month:02}-31")
        for row in rows:
            row["weighted_eur"] = round(row["amount_eur"] * PROBABILITY[row["stage"]])
        return {"stages": rows, "weighted_eur": sum(row["weighted_eur"] for row in rows)}

    def notes(asked: OneDeal) -> list[dict[str, Any]]:
        rows = read(NOTES, deal=asked.deal)
        if not rows:
            raise ToolError(f"there is no deal {asked.deal}")
        return rows

    def log(asked: NewActivity) -> str:
        raise ToolError("the database is open for reading only")

    tools = (
        Tool("stale_deals", "Open deals without contact for some days, largest first.", Stale, stale, "crm:read"),
        Tool("pipeline", "Open deals that close in a quarter, by stage, also weighted.", Quarter, pipeline, "crm:read"),
        Tool("deal_notes", "A deal with its last activities.", OneDeal, notes, "crm:read"),
        Tool("log_activity", "Write down a call, meeting or mail.", NewActivity, log, "crm:write"),
    )
    return Toolset("crm", tools)
