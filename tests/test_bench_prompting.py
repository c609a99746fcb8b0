"""The rows of the prompting benchmark are found by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[1] / "benchmarks" / "prompting" / "__main__.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, PROGRAM, *arguments], capture_output=True, text=True, check=False)


def test_rows_of_its_own_and_of_other_benchmarks_are_listed() -> None:
    listed = [line.split()[0] for line in run("--list").stdout.splitlines()]
    assert {"retrieved_examples", "prefix", "optimiser", "template_change"} <= set(listed)


def test_an_unknown_row_is_answered_with_those_there_are() -> None:
    done = run("optimizer")
    assert done.returncode == 2
    assert "there is no row 'optimizer'" in done.stderr
