"""The examples, by the one command of their README: offline, without a key."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run(example: str) -> str:
    """Standard output of an example's run.py, which its README names."""
    command = f"python examples/{example}/run.py"
    assert command in (ROOT / "examples" / example / "README.md").read_text(encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    env["PYTHONPATH"] = str(ROOT / "src")
    done = subprocess.run(
        [sys.executable, *command.split()[1:]],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_copilot_reads_cites_and_writes_nothing() -> None:
    out = run("crm_copilot")
    assert "a scripted model chooses the tools" in out
    assert "4 open deals are stale" in out
    assert "1,041,000 EUR" in out
    assert "log_activity needs the permission 'crm:write'" in out
    assert "deal 111" in out
    assert "won" not in out.split("deal 111")[1].split("\n>")[0]
    assert "checklist: prompt" in out
    assert "cheapest: prompt" in out


def test_the_policy_check_is_checked_by_rules_and_replays() -> None:
    out = run("policy_check")
    assert "not_acceptable, P3" in out
    assert "to a person" in out
    assert out.count("acceptable, P") == 7
    assert "replayed: the same to the byte" in out
