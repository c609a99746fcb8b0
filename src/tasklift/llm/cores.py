"""How many processor threads a local model should take."""

from __future__ import annotations

import os
import time
from functools import lru_cache
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_TICKS = Path("/proc/stat")
#: Long enough to see what others do, short enough not to be noticed.
_SAMPLE_S = 0.2


@lru_cache(maxsize=1)
def free_cores() -> int:
    """Cores that this process may use and nothing else is using now; at least 1. Looked at once.

    The threads of a matrix product wait for each other, so one on a core that something else also
    wants makes all of them slow: fewer threads are then faster. The load average will not do, because
    it counts this process too.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    idle_before, own_before = _idle_s(cores), time.process_time()
    if idle_before is None:  # not Linux
        return len(cores)
    time.sleep(_SAMPLE_S)
    idle = (_idle_s(cores) or 0.0) - idle_before
    free = (idle + time.process_time() - own_before) / _SAMPLE_S
    return max(1, round(min(len(cores), _quota(), free)))


def _idle_s(cores: list[int]) -> float | None:
    """Seconds that these cores have been idle since the machine started; None where it is not known."""
    try:
        lines = _TICKS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    ticks = {
        fields[0]: int(fields[4]) + int(fields[5]) for fields in map(str.split, lines) if fields[0].startswith("cpu")
    }
    return sum(ticks.get(f"cpu{core}", 0) for core in cores) / os.sysconf("SC_CLK_TCK")


def _quota() -> float:
    """Cores that the container may use on average; infinite where there is no limit."""
    try:
        allowed_us, period_us = _QUOTA.read_text(encoding="ascii").split()
        return int(allowed_us) / int(period_us)
    except (OSError, ValueError):  # no container, or the word "max"
        return float("inf")
