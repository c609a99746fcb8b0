"""Who sits at the terminal."""

from __future__ import annotations

import getpass


def operator() -> str:
    """Who sits at the terminal."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number without a name
        return "unknown"
