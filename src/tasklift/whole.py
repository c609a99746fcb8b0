"""Files appear whole or not at all, whatever stops the writing: a kill, a full disk, another writer."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from tasklift.errors import DataError, TaskliftError


def write_whole(path: Path, text: str, error: type[TaskliftError] = DataError, hint: str = "free some space") -> None:
    """Write `text` as UTF-8 in place of what is at `path`, folders before it included.

    Args:
        error: what is raised.
        hint: what to do then, as the end of the message.

    Raises:
        TaskliftError: the disk refused; the old file is still there.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    except BaseException as failed:
        if temporary.is_file():
            temporary.unlink()
        if isinstance(failed, OSError):
            raise error(f"{path}: cannot be written ({failed.strerror or failed}); {hint}") from failed
        raise
