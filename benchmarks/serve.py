"""The server, row by row: speed, cost, survival, alarms, a replay of Banking77.

    python3 dev.py bench serve [ROW ...] [--peers mlflow,litellm] [--kills 50] [--slow 2000] [--rows 300]

Rows: alarms, gateway, latency, encoder, rollback, killed, postgres, slow, replay; all of them without a name. Each row
replaces its own figures in results/serve.json and leaves the others. Endpoint, load generator and every server have
processes of their own. The peers are fetched once, into environments of their own. Seconds depend on what else the
machine does: what is compared is measured in turns, in one run, and notes tell the load.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from _common import RESULTS, Figure, finish, note
from _serve_replay import alarms, replay
from _serve_speed import encoder, gateway, latency
from _serve_survival import killed, postgres, rollback, slow

TITLE = "The server: speed beside other gateways, kills, restarts, slow clients, alarms"
ROWS: dict[str, Callable[[argparse.Namespace], list[Figure]]] = {
    "alarms": alarms,
    "gateway": gateway,
    "latency": latency,
    "encoder": encoder,
    "rollback": rollback,
    "killed": killed,
    "postgres": postgres,
    "slow": slow,
    "replay": replay,
}


def main() -> int:
    """Measure the rows that are named; 0 where every bar is reached, else 3."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--peers", default="mlflow,litellm", help="gateways to compare with")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--at-most", type=int, default=1000, help="kills of this run: the next one goes on")
    parser.add_argument("--afresh", action="store_true", help="forget the kills of earlier runs")
    parser.add_argument("--slow", type=int, default=2000, help="slow clients")
    parser.add_argument("--rows", type=int, default=300, help="rows of Banking77 that are replayed")
    parser.add_argument("--per-label", type=int, help="so many training rows of each label (default: all)")
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--keep", type=Path, help="folder for the replayed project: its fits are found again")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in ROWS]
    if unknown:
        parser.error(f"no row is called {unknown[0]!r}: there are {', '.join(ROWS)}")
    code = 0
    for name in options.names or ROWS:
        note(f"== {name}")
        made = ROWS[name](options)
        kept = stored()  # now: another row may have been measured meanwhile
        kept[name] = {"date": time.strftime("%Y-%m-%d"), "figures": [asdict(figure) for figure in made]}
        code = finish("serve", "python3 dev.py bench serve", figures_of(kept), {"title": TITLE, "rows": kept})
    return code


def stored() -> dict[str, Any]:
    """Row -> figures, of earlier runs."""
    path = RESULTS / "serve.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))["rows"]) if path.exists() else {}


def figures_of(kept: dict[str, Any]) -> list[Figure]:
    """All figures, in the order of the rows."""
    return [Figure(**figure) for name in ROWS if name in kept for figure in kept[name]["figures"]]


if __name__ == "__main__":
    sys.exit(main())
