"""Prometheus metrics of one process, and of several that answer for one service.

A process has a registry of its own. Where several workers stand behind one port, a scrape meets any one of them, so
the parent sets PROMETHEUS_MULTIPROC_DIR to an empty folder before it starts them: values then live in files there,
every scrape adds them up over all workers, and what workers counted that are gone stays in, so no counter falls.
Gauges are added up over living workers; tell `worker_gone` when one died.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from starlette.types import Scope

from tasklift.errors import ConfigError

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """What this process measures.

    Args:
        folder: of all workers' values, the same as in PROMETHEUS_MULTIPROC_DIR; None: this process is the only one.

    Raises:
        ConfigError: `folder` and the variable do not agree: prometheus_client read it when it was imported.
    """

    def __init__(self, folder: Path | None = None) -> None:
        is_shared = bool(getattr(values.ValueClass, "_multiprocess", False))
        if is_shared != (folder is not None):
            raise ConfigError("set PROMETHEUS_MULTIPROC_DIR before the workers start where there are several, else not")
        self._folder = folder
        self.registry = CollectorRegistry()

    def counter(self, name: str, what: str, labels: Sequence[str] = ()) -> Counter:
        """Counts up; `name` ends in `_total`."""
        return Counter(name, what, labels, registry=self.registry)

    def gauge(self, name: str, what: str, labels: Sequence[str] = ()) -> Gauge:
        """Goes up and down; several workers' values are added up."""
        return Gauge(name, what, labels, registry=self.registry, multiprocess_mode="livesum")

    def histogram(
        self, name: str, what: str, labels: Sequence[str] = (), buckets: Sequence[float] = _BUCKETS_S
    ) -> Histogram:
        """Counts values by size; the buckets are for seconds, unless others are given."""
        return Histogram(name, what, labels, registry=self.registry, buckets=buckets)

    def render(self) -> tuple[bytes, str]:
        """The page for Prometheus and its content type; of all workers, where there are several."""
        registry = self.registry
        if self._folder is not None:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, path=str(self._folder))  # type: ignore[no-untyped-call]
        return generate_latest(registry), CONTENT_TYPE_LATEST

    def worker_gone(self, pid: int) -> None:
        """For the parent: the worker `pid` died, its gauges end with it."""
        if self._folder is not None:
            mark_process_dead(pid, path=str(self._folder))  # type: ignore[no-untyped-call]


class _Counting(Protocol):
    def inc(self, amount: float = 1) -> None: ...


class _Timing(Protocol):
    def observe(self, amount: float) -> None: ...


class HttpMetrics:
    """Requests by route and status, and their duration; an observer for `web.shell.ShellOptions`.

    Labels are few by construction: the route's pattern and not its path, and no method that a caller made up.
    """

    def __init__(self, metrics: Metrics, prefix: str = "tasklift") -> None:
        self._requests = metrics.counter(
            f"{prefix}_http_requests_total", "Requests answered.", ("method", "route", "status")
        )
        self._seconds = metrics.histogram(f"{prefix}_http_request_seconds", "From request to the end.", ("route",))
        self._known: dict[tuple[str, str, int], tuple[_Counting, _Timing]] = {}

    def __call__(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one answer."""
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        known = self._known.get((method, route, status)) or self._new(method, route, status)
        known[0].inc()
        known[1].observe(seconds)

    def _new(self, method: str, route: str, status: int) -> tuple[_Counting, _Timing]:
        made = self._requests.labels(method, route, str(status)), self._seconds.labels(route)
        self._known[method, route, status] = made
        return made
