"""What is measured of sources."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from prometheus_client import CollectorRegistry, Gauge


class SourceMetrics:
    """One instance an application. Labels are the configured sources and those that have been genuine."""

    def __init__(self, registry: CollectorRegistry, *, sources: Iterable[str]) -> None:
        self._last = Gauge(
            "gateway_source_last_genuine_timestamp_seconds",
            "When a request of the source was last taken, at any replica; Unix time.",
            ["source"],
            registry=registry,
        )
        self._usual = Gauge(
            "gateway_source_expected_per_minute",
            "What the source usually sends now, by the same hours of its past weeks; 0 when it is new or sends little.",
            ["source"],
            registry=registry,
        )
        self._expected = Gauge(
            "gateway_source_expected_hooks",
            "How many hooks the source's past weeks let expect since its last one.",
            ["source"],
            registry=registry,
        )
        for source in sources:
            self._usual.labels(source)
            self._expected.labels(source)

    def source(self, source: str, *, last_genuine_at: datetime, per_minute: float, expected: float) -> None:
        """Show one source."""
        self._last.labels(source).set(last_genuine_at.timestamp())
        self._usual.labels(source).set(per_minute)
        self._expected.labels(source).set(expected)
