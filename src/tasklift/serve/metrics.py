"""Figures for Prometheus: requests, traces, releases."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace

from tasklift.operate.service import Service
from tasklift.serve.settings import FOLDER_VARIABLE
from tasklift_platform.metrics import HttpMetrics, Metrics

_PERIOD_S = 1.0
_CHAT = {"method": "POST", "route": SimpleNamespace(path="/v1/chat/completions")}


class ServeMetrics:
    """The figures of one worker, or of all of them where they share a folder."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.http = HttpMetrics(metrics)
        self._traces = metrics.gauge("tasklift_traces", "Traces of living workers, by what became of them", ["state"])
        self._release = metrics.gauge("tasklift_release", "Release that is followed, summed over workers", ["task"])

    @classmethod
    def of_this_process(cls) -> ServeMetrics:
        """With the folder that the parent named."""
        folder = os.environ.get(FOLDER_VARIABLE)
        return cls(Metrics(Path(folder) if folder else None))

    def chat(self, status: int, seconds: float) -> None:
        """Count one chat completion."""
        self.http(_CHAT, status, seconds)

    async def keep_up(self, service: Service) -> None:
        """Note the gauges every second: a scrape may meet another worker."""
        while True:
            self.note(service)
            await asyncio.sleep(_PERIOD_S)

    def note(self, service: Service) -> None:
        """Note the gauges now."""
        writer = service.writer
        for state, value in (("written", writer.written), ("waiting", writer.waiting), ("lost", writer.lost)):
            self._traces.labels(state).set(value)
        for name, live in service.router.live.items():
            self._release.labels(name).set(live.version)

    def render(self) -> tuple[bytes, str]:
        """The page and its content type."""
        return self._metrics.render()
