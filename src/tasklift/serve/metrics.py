"""Figures for Prometheus."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from tasklift.operate.service import Service

CONTENT_TYPE = CONTENT_TYPE_LATEST


def exposition(service: Service) -> bytes:
    """The figures of this worker as text."""
    registry = CollectorRegistry()
    traces = Gauge("tasklift_traces", "Traces by what became of them", ["state"], registry=registry)
    traces.labels("written").set(service.writer.written)
    traces.labels("waiting").set(service.writer.waiting)
    traces.labels("lost").set(service.writer.lost)
    release = Gauge("tasklift_release", "Version of the release that is followed", ["task"], registry=registry)
    for name, live in service.router.live.items():
        release.labels(name).set(live.version)
    return generate_latest(registry)
