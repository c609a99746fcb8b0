"""Data, encoders, learning curves: one row a file of this folder, found by its name.

    python3 dev.py bench tuning              list the rows
    python3 dev.py bench tuning ROW [ARGS]   run one; its figures go to benchmarks/results/tuning_ROW.json

A row is `ROW.py` with `main(arguments) -> exit status`, and the first line of its docstring says what it measures.
Files that begin with an underscore are shared by rows.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))  # what all benchmarks share


def rows() -> dict[str, Path]:
    """Name -> file of every row."""
    return {path.stem: path for path in sorted(HERE.glob("[!_]*.py"))}


def main(arguments: Sequence[str]) -> int:
    """Run the row that is named first, or list all."""
    found = rows()
    if arguments and arguments[0] in found:
        code: int = importlib.import_module(arguments[0]).main(arguments[1:])
        return code
    for name, path in found.items():
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        print(f"{name:24} {doc.partition(chr(10))[0]}")
    if not arguments or arguments[0] in ("-h", "--help"):
        return 0
    print(f"no row is called {arguments[0]!r}: the names stand above", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
