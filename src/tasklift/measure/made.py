"""How an evaluation was made: command, date, machine, versions of libraries."""

from __future__ import annotations

import platform
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

#: Libraries that figures may depend on.
LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "transformers", "wordllama")


def made_now(command: str, seed: int) -> dict[str, Any]:
    """What is kept of a run that ends now.

    Args:
        command: what the user typed.
        seed: passed to the candidates.
    """
    return {"command": command, "at": now(), "machine": machine(), "versions": versions(), "seed": seed}


def now() -> str:
    """Date and time with the offset from UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def machine() -> str:
    """The machine in a few words: what a reader needs to judge seconds."""
    installed = version("tasklift")
    return f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, tasklift {installed}"


def versions() -> dict[str, str]:
    """Versions of the libraries that figures may depend on, of those that are installed."""
    found = {}
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
