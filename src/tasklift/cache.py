"""Where the current project keeps what can be computed again: `.tasklift/cache/`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path

from tasklift.llm.cache import ContentCache

_FOLDER: ContextVar[Path | None] = ContextVar("tasklift_cache_folder", default=None)


@contextmanager
def caching_in(folder: Path | None) -> Iterator[None]:
    """Inside the block, models and embedders that are opened keep their results in `folder`.

    None: in memory, for this process only.
    """
    token = _FOLDER.set(folder)
    try:
        yield
    finally:
        _FOLDER.reset(token)


def open_cache(name: str) -> ContentCache:
    """The cache called `name` of the current project; the same object for the same file.

    Raises:
        TaskliftError: the file cannot be opened.
    """
    folder = _FOLDER.get()
    return _open(None if folder is None else folder / f"{name}.sqlite", name)


@lru_cache(maxsize=16)
def _open(path: Path | None, name: str) -> ContentCache:
    return ContentCache(path)
