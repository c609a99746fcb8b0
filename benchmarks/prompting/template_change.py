"""A changed template, compared with the one before on 200 rows: one command, one screen, nothing asked twice.

    python3 dev.py bench prompting template_change

The shipped example and the small local model. A sentence of the policy is changed, `tasklift prompt diff` is typed, and
typed again: what it prints is counted in lines, and the second time no model is asked.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from _common import RESULTS, Figure, finish, note
from _run import options_of

COMMAND = "python3 dev.py bench prompting template_change"
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "support_triage"
PLACE = RESULTS / "cache" / "template_change"
OLD = "A refund that was promised and has not arrived is refund_status, also where the customer is angry."
NEW = "A refund that was promised and has not arrived is refund_status; an angry tone alone is no complaint."
ROWS = "200"
#: Lines of a usual terminal window that fills a screen.
SCREEN_LINES = 50
#: Seconds in which a cached comparison should stand there.
AGAIN_S = 30.0


def main() -> int:
    """Run, print, write."""
    options_of(__doc__).parse_args()
    prompts = PLACE / "project" / "tasks" / "support_triage" / "prompts"
    if not PLACE.exists():
        shutil.copytree(EXAMPLE, PLACE / "project")
    base = prompts / "base.md"
    base.write_text((EXAMPLE / base.relative_to(PLACE / "project")).read_text(encoding="utf-8"), encoding="utf-8")
    typed("prompt", "use", "base", "--note", "before")
    ref = json.loads(typed("prompt", "list", "--json"))["used"]["prompt"]
    base.write_text(base.read_text(encoding="utf-8").replace(OLD, NEW), encoding="utf-8")
    command = ("prompt", "diff", ref, "base", "--rows", ROWS)
    begun = time.perf_counter()
    screen = typed(*command)
    first_s = time.perf_counter() - begun
    note(screen)
    begun = time.perf_counter()
    found = json.loads(typed(*command, "--json"))["measured"]
    again_s = time.perf_counter() - begun
    d, rows = found["difference"], found["rows"]
    said = f"p = {found['p']:.2g}, {found['changed']} of {rows} answers changed"
    difference = Figure("accuracy after the change", 100 * d["value"], None, 100 * d["low"], 100 * d["high"], said)
    cpu_s = found["after"]["cpu_s"]
    figures = [
        Figure(
            "lines on the screen", len(screen.splitlines()), at_most=SCREEN_LINES, unit=" lines", note="one command"
        ),
        Figure("the same command again", again_s, at_most=AGAIN_S, unit=" s", note="no model is asked"),
        Figure("the first time", first_s, unit=" s", note=f"2 x {rows} rows at most, {cpu_s:.2f} CPU-s a row"),
        Figure(difference.what, difference.value, None, difference.low, difference.high, said, unit=" points"),
    ]
    return finish("prompting_template_change", COMMAND, figures, {"title": "Prompting: a template change, measured"})


def typed(*words: str) -> str:
    """A command of the project as typed; its standard output."""
    command = [sys.executable, "-m", "tasklift", *words, "-p", str(PLACE / "project")]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=os.environ)
    if done.returncode:
        raise SystemExit(f"tasklift {' '.join(words)} ended with {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
