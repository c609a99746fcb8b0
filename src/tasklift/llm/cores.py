"""How many processor threads a local model should take."""

from __future__ import annotations

import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def free_cores() -> int:
    """Cores that this process may use, less the load of the last minute; at least 1.

    The threads of a matrix product wait for each other, so one on a core that something else also
    wants makes all of them slow: fewer threads are then faster.
    """
    usable: float = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return max(1, round(min(usable, _quota()) - load))


def _quota() -> float:
    """Cores that the container may use on average; infinite where there is no limit."""
    try:
        allowed_us, period_us = _QUOTA.read_text(encoding="ascii").split()
        return int(allowed_us) / int(period_us)
    except (OSError, ValueError):  # no container, or the word "max"
        return float("inf")
