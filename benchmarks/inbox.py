"""Tasklift Inbox: how fast it takes messages in, and that none is lost or doubled, whatever happens.

python3 dev.py bench inbox                  all rows that are not in benchmarks/results/inbox.json yet
python3 dev.py bench inbox ingest killed    these rows, again
python3 dev.py bench inbox trimming --peer-python VENV/bin/python    with further libraries, from their environment
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent / "_inbox"))

from _common import RESULTS, Figure, finish, note
from feeding import auto_responders, memory, shuffled
from ingest import ingest
from killing import disk_full, killed
from mails import mails, payloads, trimming

Row = Callable[[argparse.Namespace], Any]
ROWS: dict[str, Row] = {
    "ingest": ingest,
    "shuffled": shuffled,
    "killed": killed,
    "disk_full": disk_full,
    "payloads": payloads,
    "mails": mails,
    "trimming": trimming,
    "auto_responders": auto_responders,
    "memory": memory,
}


def main() -> int:
    """Measure, and keep what other rows have measured before; 0 where every bar is reached, else 3."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rows", nargs="*", help=", ".join(ROWS))
    parser.add_argument("--data", type=Path, help="folder of the data sets, else TASKLIFT_DATA")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=200, help="kills in this run; a later run goes on to --kills")
    parser.add_argument("--database", choices=("SQLite", "Postgres"), help="of `ingest` and `killed`: this one only")
    parser.add_argument("--messages", type=int, default=100_000, help="of `shuffled`")
    parser.add_argument(
        "--cpu-s", type=float, default=1e9, help="`shuffled` stops after so long, and goes on next time"
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="of each part of `ingest`")
    parser.add_argument("--peer-python", type=Path, help="python of an environment with other libraries for `trimming`")
    asked = parser.parse_args()
    unknown = [name for name in asked.rows if name not in ROWS]
    if unknown:
        raise SystemExit(f"no row is called {unknown[0]!r}: there are {', '.join(ROWS)}")
    kept, *_ = _kept()
    for name in asked.rows or [name for name in ROWS if name not in kept]:
        note(f"== {name}")
        kept, asked.segments, _ = _kept()
        asked.kept, before = kept.get(name, []), len(asked.segments)
        figures = ROWS[name](asked)
        if asyncio.iscoroutine(figures):
            figures = asyncio.run(figures)
        for figure in figures:
            note(figure.line())
        kept, segments, days = _kept()  # another run may have measured another row meanwhile
        if not figures:
            continue  # not finished yet
        kept[name], days[name] = figures, time.strftime("%Y-%m-%d")
        _finish(kept, [*segments, *asked.segments[before:]], days)
    return _finish(*_kept())


def _kept() -> tuple[dict[str, list[Figure]], list[dict[str, Any]], dict[str, str]]:
    """What was measured before, by row; the runs that `killed` adds up; the day of each row."""
    path = RESULTS / "inbox.json"
    if not path.exists():
        return {}, [], {}
    stored = json.loads(path.read_text(encoding="utf-8"))
    figures = [{key: value for key, value in one.items() if key != "met"} for one in stored["figures"]]
    kept = {name: [Figure(**figures[n]) for n in numbers] for name, numbers in stored["rows"].items()}
    return kept, stored.get("segments", []), stored["days"]


def _finish(kept: dict[str, list[Figure]], segments: list[dict[str, Any]], days: dict[str, str]) -> int:
    figures = [figure for name in ROWS if name in kept for figure in kept[name]]
    numbers = {name: [figures.index(figure) for figure in kept[name]] for name in kept}
    measured = "; ".join(
        f"{day}: {', '.join(name for name in kept if days[name] == day)}" for day in sorted(set(days.values()))
    )
    remarks = [
        f"Each row was measured by itself. {measured}.",
        "Server, load generator and database share the machine's 2 cores. Where a row does not say how busy the "
        "machine was, it was not free of other work.",
        "Postgres is a scratch server on this machine without fsync; SQLite waits for the disk at every commit.",
    ]
    extra = {"title": "Tasklift Inbox", "rows": numbers, "days": days, "remarks": remarks, "segments": segments}
    return finish("inbox", "python3 dev.py bench inbox", figures, extra)


if __name__ == "__main__":
    sys.exit(main())
