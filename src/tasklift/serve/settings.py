"""What a server is started with; handed to its worker processes through the environment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tasklift.operate.store import url_of

_VARIABLE = "TASKLIFT_SERVE"
#: Where several workers keep their figures; prometheus_client reads it when it is imported.
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """How to serve a project.

    Attributes:
        project: its folder.
        database: URL; '' for `.tasklift/traffic.db`.
        is_open: no keys are asked for.
        workers: processes, for the parts of rate limits.
    """

    project: str
    database: str = ""
    is_open: bool = False
    workers: int = 1

    @property
    def state(self) -> Path:
        """`.tasklift` of the project."""
        return Path(self.project) / ".tasklift"

    @property
    def url(self) -> str:
        """Of the database."""
        return self.database or url_of(self.state)

    def environment(self) -> dict[str, str]:
        """What a worker process needs to find these settings."""
        return {_VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> ServeSettings:
        """The settings that `environment` handed over."""
        return cls(**json.loads(environment[_VARIABLE]))
