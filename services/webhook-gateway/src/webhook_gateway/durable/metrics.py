"""What is measured of the two storage paths. Labels are bounded, and every series exists at zero from the start."""

from __future__ import annotations

from collections.abc import Callable
from time import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from common.resilience import CircuitState
from webhook_gateway.durable.model import StoragePath

_CODES = {
    "broker": ("broker_away", "publish_timeout", "unroutable", "publish_refused", "relay_failed"),
    "spool": ("spool_unavailable",),
}


class DurabilityMetrics:
    """One instance an application. Calls are cheap: they are on the way of every hook."""

    def __init__(self, registry: CollectorRegistry, *, spool_oldest_allowed: float) -> None:
        """``spool_oldest_allowed`` is in seconds; alerts compare the spool's age with it."""
        self._failures = Counter(
            "gateway_lane_failures_total", "Events that a path could not take.", ["lane", "code"], registry=registry
        )
        self._breaker = Gauge(
            "gateway_breaker_state", "1 for the broker path's present state.", ["state"], registry=registry
        )
        self._together = Histogram(
            "gateway_message_hooks",
            "Hooks in a message to the broker, where hooks may travel together.",
            buckets=(1, 2, 4, 8, 16, 32),
            registry=registry,
        )
        self._connected = Gauge(
            "gateway_broker_ready", "1 while the broker path has a channel and the whole topology.", registry=registry
        )
        self._relayed = Counter(
            "gateway_spool_relayed_total", "Spooled events that the broker has confirmed since.", registry=registry
        )
        self._depth = Gauge("gateway_spool_records", "Events that wait in the spool.", registry=registry)
        self._bytes = Gauge("gateway_spool_bytes", "Bytes that wait in the spool.", registry=registry)
        self._limit = Gauge("gateway_spool_limit_bytes", "Bytes that the spool may hold.", registry=registry)
        oldest = Gauge(
            "gateway_spool_oldest_seconds", "Age of the oldest event in the spool, 0 when empty.", registry=registry
        )
        Gauge(
            "gateway_spool_oldest_allowed_seconds",
            "How old an event in the spool may become; older ones are kept and alerted about.",
            registry=registry,
        ).set(spool_oldest_allowed)
        self._torn = Counter(
            "gateway_spool_torn_total", "Records whose checksum did not fit; set aside.", registry=registry
        )
        for path, codes in _CODES.items():
            for code in codes:
                self._failures.labels(path, code)
        self.breaker_is(CircuitState.CLOSED)
        self._oldest_at: float | None = None
        oldest.set_function(self._age)

    def watch_broker(self, ready: Callable[[], bool]) -> None:
        """Show whether events can go to the broker, whenever the metrics are read."""
        self._connected.set_function(lambda: 1.0 if ready() else 0.0)

    def path_failed(self, path: StoragePath, code: str) -> None:
        """Count an event that a path could not take."""
        self._failures.labels(path, code).inc()

    def breaker_is(self, state: CircuitState) -> None:
        """Show the breaker's state; to be called after every attempt that may have changed it."""
        for candidate in CircuitState:
            self._breaker.labels(candidate.value).set(1 if candidate is state else 0)

    def published(self, hooks: int) -> None:
        """Count a message that is given to the broker, with so many hooks in it."""
        self._together.observe(hooks)

    def relayed(self, count: int) -> None:
        """Count spooled events that the broker has confirmed."""
        self._relayed.inc(count)

    def spool_limit(self, size: int) -> None:
        """Show how many bytes the spool may hold."""
        self._limit.set(size)

    def spool_holds(self, *, records: int, size: int, oldest_at: float | None) -> None:
        """Show the spool. ``oldest_at`` is Unix time in seconds. Called from the spool's thread."""
        self._depth.set(records)
        self._bytes.set(size)
        self._oldest_at = oldest_at

    def spool_torn(self, count: int) -> None:
        """Count records whose checksum did not fit. Called from the spool's thread."""
        self._torn.inc(count)

    def _age(self) -> float:
        oldest_at = self._oldest_at
        return 0.0 if oldest_at is None else max(0.0, time() - oldest_at)
