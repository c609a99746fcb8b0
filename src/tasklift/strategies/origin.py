"""Where a fitted candidate comes from: `made.json` beside its card, written once, when it is fitted."""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tasklift.dataset import Dataset
from tasklift.errors import ArtifactError
from tasklift.task import Task
from tasklift.whole import write_whole

SCHEMA_VERSION = 1
FILE = "made.json"
#: What an answer may depend on beside the code.
LIBRARIES = ("tasklift", "numpy", "scikit-learn", "torch", "transformers", "xllamacpp", "wordllama")


@dataclass(frozen=True)
class Origin:
    """Where a candidate comes from.

    Attributes:
        task: name of the task.
        task_hash: hash of what decides answers to it.
        at: when it was fitted, local time; "" where that is not known.
        data: name, rows, content hash, origin (hash of the whole file) and lineage of the training rows.
        base: snapshot of the pre-trained model underneath; "" where there is none.
        versions: library -> version; python too.
        machine: processor architecture, cores, system.
    """

    task: str
    task_hash: str = ""
    at: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    base: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    machine: str = ""

    @classmethod
    def now(cls, task: Task, train: Dataset, base: str) -> Origin:
        """Of a candidate that is fitted here and now."""
        data = {
            "name": train.name,
            "rows": len(train),
            "content_hash": train.content_hash,
            "origin": train.origin,
            "lineage": list(train.lineage),
        }
        machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}"
        at = time.strftime("%Y-%m-%dT%H:%M:%S")
        return cls(task.name, task.content_hash, at, data, base, _versions(), machine)

    def write(self, folder: Path) -> None:
        """Beside the card.

        Raises:
            ArtifactError: the disk refused.
        """
        row = {"schema_version": SCHEMA_VERSION, **asdict(self)}
        write_whole(folder / FILE, json.dumps(row, ensure_ascii=False, indent=1) + "\n", ArtifactError)


def read_origin(folder: Path) -> Origin | None:
    """What is known; None where nothing was written, as by earlier versions.

    Raises:
        ArtifactError: damaged, or written by a newer version.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
        schema = row.pop("schema_version", None)
        if schema != SCHEMA_VERSION:
            raise ArtifactError(
                f"{path}: schema_version {schema}, this version reads {SCHEMA_VERSION}; upgrade tasklift"
            )
        return Origin(**row)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path}: damaged ({error}); delete it, and the rest of the model stays usable") from error


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
