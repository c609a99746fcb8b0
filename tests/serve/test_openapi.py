"""What the OpenAPI page promises holds for requests that nobody thought of."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest


def test_the_page_names_every_address(running: Any) -> None:
    paths = running.get("/openapi.json")["paths"]
    assert {"/v1/chat/completions", "/v1/models", "/v1/tasks/{task}/predict", "/v1/feedback", "/v1/reviews"} <= set(
        paths
    )
    assert "422" not in str(paths)
    assert paths["/v1/feedback"]["post"]["security"] == [{"key": []}]


@pytest.mark.slow
def test_schemathesis_finds_no_failure(running: Any, tmp_path: Any) -> None:
    pytest.importorskip("schemathesis", reason="schemathesis is not installed: python3 dev.py setup test")
    program = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"]
    address = ["run", f"{running.url}/openapi.json", "--url", running.url, "-H", f"Authorization: Bearer {running.key}"]
    how = ["--max-examples", "3", "--phases", "coverage,fuzzing", "--seed", "1", "--no-color"]
    done = subprocess.run(
        [*program, *address, *how], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-500:]
