"""Prompting: every row of its table by name, cached and resumable.

    python3 dev.py bench prompting              all rows, one after the other
    python3 dev.py bench prompting --list       their names
    python3 dev.py bench prompting ROW [...]    one or several; what follows `--` goes to the row's own program

A row is a file `<row>.py` in this folder, or `prompting_<row>.py` beside it, that runs by itself, takes `--data
FOLDER`, prints its figures and returns 0 where every bar is reached, else 3. Rows that another benchmark measures
are named in `ELSEWHERE`.
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
BENCHMARKS = FOLDER.parent
#: Row -> the benchmark that measures it, with its arguments.
ELSEWHERE: Mapping[str, Sequence[str]] = {
    "retrieved_examples": ("banking77.py", "--only", "prompted", "--rows", "500"),
    "prefix": ("banking77.py", "--only", "prefix"),
}
EXIT_UNMET = 3


def rows() -> dict[str, list[str]]:
    """Row -> program and its arguments."""
    found = {name: [str(BENCHMARKS / file), *rest] for name, (file, *rest) in ELSEWHERE.items()}
    found |= {path.stem: [str(path)] for path in sorted(FOLDER.glob("[!_]*.py"))}
    beside = sorted(BENCHMARKS.glob("prompting_*.py"))
    return found | {path.stem.removeprefix("prompting_"): [str(path)] for path in beside}


def main(argv: Sequence[str]) -> int:
    """Run the asked rows; 3 where a bar is missed, another code where a row could not be run."""
    at = list(argv).index("--") if "--" in argv else len(argv)
    own, rest = list(argv[:at]), list(argv[at + 1 :])
    known = rows()
    parser = argparse.ArgumentParser(
        prog="bench prompting", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("row", nargs="*", help=f"one of: {', '.join(known)}")
    parser.add_argument("--list", action="store_true", help="only list the rows")
    parser.add_argument("--data", type=Path, help="folder that holds the data sets; else TASKLIFT_DATA")
    asked = parser.parse_args(own)
    if unknown := [name for name in asked.row if name not in known]:
        parser.error(f"there is no row {unknown[0]!r}; there are {', '.join(known)}")
    if asked.list:
        for name, program in known.items():
            print(f"{name:24} {_first_line(Path(program[0]))}")
        return 0
    data = ["--data", str(asked.data)] if asked.data else []
    codes = {name: _run([*known[name], *data, *rest]) for name in asked.row or known}
    for name, code in codes.items():
        if code not in (0, EXIT_UNMET):
            print(f"{name}: could not be run (exit code {code})", file=sys.stderr)
    return max(codes.values(), key=lambda code: (code not in (0, EXIT_UNMET), code))


def _run(program: list[str]) -> int:
    path = os.pathsep.join([str(BENCHMARKS), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run([sys.executable, *program], env=os.environ | {"PYTHONPATH": path}, check=False).returncode


def _first_line(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
