"""Two numbers that outlive a killed process: traces taken, traces written."""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

_PAIR = struct.Struct("<QQ")


class Ledger:
    """Counts in a memory-mapped file: the kernel keeps it when the process is killed.

    Args:
        folder: where the files of all workers are; None: count in memory only.
    """

    def __init__(self, folder: Path | None) -> None:
        self._taken = self._written = 0
        self._path: Path | None = None
        self._map: mmap.mmap | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._path = folder / f"{os.getpid()}-{_started(os.getpid())}.ledger"
            with self._path.open("w+b") as file:
                file.write(_PAIR.pack(0, 0))
                file.flush()
                self._map = mmap.mmap(file.fileno(), _PAIR.size)

    def took(self) -> None:
        """One trace more was taken."""
        self._taken += 1
        self._note()

    def wrote(self, count: int) -> None:
        """So many more are in the database."""
        self._written += count
        self._note()

    def close(self) -> None:
        """A clean end: what was lost has been counted by its owner, and the file goes."""
        if self._map is not None and self._path is not None:
            self._map.close()
            self._map = None
            self._path.unlink(missing_ok=True)

    def _note(self) -> None:
        if self._map is not None:
            _PAIR.pack_into(self._map, 0, self._taken, self._written)


def left_behind(folder: Path) -> dict[Path, int]:
    """Files of workers that are gone, each with the number of traces it lost.

    A file belongs to a worker that runs where a process has its id and its starting time.
    """
    found: dict[Path, int] = {}
    for path in folder.glob("*.ledger"):
        process, _, started = path.stem.partition("-")
        if process.isdecimal() and _started(int(process)) == started:
            continue
        try:
            taken, written = _PAIR.unpack(path.read_bytes())
        except (OSError, struct.error):  # being made, or taken away, by another worker
            continue
        found[path] = max(0, taken - written)
    return found


def _started(process: int) -> str:
    """When a process began, in the kernel's own ticks; '' where there is no such process."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except OSError:
        return _alive_elsewhere(process)


def _alive_elsewhere(process: int) -> str:
    """Without /proc: whether the process exists at all."""
    if Path("/proc/self").exists():
        return ""
    try:
        os.kill(process, 0)
    except OSError:
        return ""
    return "0"
