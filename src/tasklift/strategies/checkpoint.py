"""How far a fit has come, kept on disk: a fit that was stopped goes on and ends as if it never had been.

A checkpoint is one safetensors file, `.partial-<fingerprint>/checkpoint.safetensors` beside the artifacts, with
plain values as JSON in its header. It is replaced as a whole and reaches the disk before it replaces the one
before; a damaged one counts as none. It is removed once the candidate is saved.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from tasklift.errors import ArtifactError

Report = Callable[[str], None]

#: Raised when the file's meaning changes: an older one then counts as none.
_VERSION = "1"


@dataclass(frozen=True)
class Home:
    """Where the fit that is under way keeps what it makes.

    Attributes:
        artifacts: the folder of artifacts; None: nothing is kept.
        report: told what a waiting user should know.
        keep_every_s: a checkpoint is written only where more seconds of work would be lost: it holds all
            weights several times over.
    """

    artifacts: Path | None = None
    report: Report = lambda line: None
    keep_every_s: float = 10.0


_HOME: ContextVar[Home | None] = ContextVar("tasklift_fitting_home", default=None)


@contextmanager
def fitting_in(home: Home) -> Iterator[None]:
    """Inside the block, fits (and fits inside of fits) keep what they make there."""
    token = _HOME.set(home)
    try:
        yield
    finally:
        _HOME.reset(token)


def home() -> Home:
    """Where the fit that is under way keeps what it makes."""
    return _HOME.get() or Home()


class Checkpoint:
    """What a fit has reached: plain values and arrays. Without a home nothing is kept.

    Args:
        fingerprint: of the candidate that is being made.
    """

    def __init__(self, fingerprint: str) -> None:
        artifacts = home().artifacts
        self.folder = None if artifacts is None else artifacts / f".partial-{fingerprint}"
        self._every_s, self._last = home().keep_every_s, time.monotonic()

    @property
    def is_due(self) -> bool:
        """Would so much work be lost that `save` is worth its time?"""
        return self.folder is not None and time.monotonic() - self._last >= self._every_s

    def load(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]] | None:
        """What was saved last; None where there is nothing that can be read."""
        if self.folder is None:
            return None
        try:
            with safe_open(self.folder / "checkpoint.safetensors", "numpy") as stored:
                header = stored.metadata() or {}
                if header.get("version") != _VERSION:
                    return None
                return json.loads(header["state"]), {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, ValueError, KeyError):
            return None

    def save(self, state: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Replace what was saved before.

        Raises:
            ArtifactError: the disk refused; what was saved before is still there.
        """
        if self.folder is None:
            return
        part, whole = self.folder / "checkpoint.part", self.folder / "checkpoint.safetensors"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
            save_file(plain, part, {"version": _VERSION, "state": json.dumps(state)})
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(part, whole)
            self._last = time.monotonic()
        except (OSError, SafetensorError) as error:
            with contextlib.suppress(OSError):
                part.unlink()
            raise ArtifactError(
                f"{self.folder}: the state of the fit cannot be written ({error}); free some space and go on"
            ) from error

    def remove(self) -> None:
        """Forget it: the candidate is saved."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
