"""One process at a time: a lock file that the system lets go of when its holder dies, however it dies."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tasklift.errors import InUseError, TaskliftError

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> bool:
        """Lock a byte far behind the text; False where another holds it."""
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _take(descriptor: int) -> bool:
        """Lock the file; False where another holds it."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


_PAUSE_S = 0.2  # between two tries of one who waits


@contextmanager
def locked(path: Path, what: str, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Inside the block no other process (or thread) is in a block with the same `path`.

    The file holds the process id for whoever is refused, and is removed at the end. After a crash it may
    stay; it is then free to be taken.

    Args:
        what: what is being done, for the message of one who is refused or waits.
        waiting: told once when the lock is held by another, whose end is then waited for; None: refuse.

    Raises:
        InUseError: another process holds it, and `waiting` is None.
        TaskliftError: the file cannot be made.
    """
    descriptor = _taken(path)
    if descriptor is None:
        said = f"another process{_holder(path)} is {what}"
        if waiting is None:
            raise InUseError(f"{path.parent}: {said}; wait for it, or stop it, and run the same command again")
        waiting(f"waiting: {said}")
        while (descriptor := _taken(path)) is None:
            time.sleep(_PAUSE_S)
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows keeps a file that is open: an unlocked one is as good
            path.unlink()
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Does a living process hold this lock?"""
    if not path.exists():
        return False
    descriptor = _taken(path)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def _taken(path: Path) -> int | None:
    """The locked file's descriptor; None where another holds it."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise TaskliftError(
                f"{path}: cannot be written ({error.strerror or error}); free some space or rights"
            ) from error
        if not _take(descriptor):
            os.close(descriptor)
            return None
        if _is_the_file(descriptor, path):
            return descriptor
        os.close(descriptor)  # its last holder removed it while we waited for it: take the new one


def _is_the_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _holder(path: Path) -> str:
    try:
        number = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
    return f" (process {number})" if number else ""
