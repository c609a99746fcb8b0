"""Parts of a row that were computed before: a stopped row goes on with the next part."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

from _common import RESULTS

CPU_S = "cpu_s"


def remembered(row: str, part: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result of `work`, computed once for a name; with it stands the CPU time it took.

    Args:
        row: of the benchmark.
        part: names everything that decides the result.
    """
    path = RESULTS / "cache" / "tuning" / f"{row}.json"
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if part not in known:
        begun = time.process_time()
        found = work()
        known[part] = found | {CPU_S: round(time.process_time() - begun, 2)}
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".part")
        temporary.write_text(json.dumps(known, indent=1), encoding="utf-8")
        os.replace(temporary, path)
    result: dict[str, Any] = known[part]
    return result
