"""Metrics: a registry of our own for each application, and the buckets that its histograms share.

Rules: metrics take a registry, labels are bounded (never an order id), and every series that can be named
exists at zero from the start.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from common.telemetry.logged_errors import LOGGED_ERRORS
from common.telemetry.service_info import SERVICE_INFO

FAST_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Buckets, in seconds, for requests and database calls: half a millisecond to ten seconds (a hook is answered within five)."""

SLOW_SECONDS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
"""Buckets, in seconds, for things that people or payment systems take part in: a tenth of a second to a day."""

SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Buckets for counts: batch sizes, queue depths."""


def new_registry() -> CollectorRegistry:
    """Return a registry with the process, platform and garbage collector metrics, the errors logged, and what runs here.

    Each application has its own.
    """
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    registry.register(LOGGED_ERRORS)
    registry.register(SERVICE_INFO)
    return registry
