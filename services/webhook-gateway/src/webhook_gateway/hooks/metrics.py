"""What the gateway counts (STYLE 18): bounded labels, everything at zero from the start."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from common.telemetry.metrics import FAST_SECONDS
from webhook_gateway.durable.breaker import BreakerState
from webhook_gateway.hooks import events
from webhook_gateway.hooks.model import LEDGER, UNKNOWN_SOURCE, Outcome
from webhook_gateway.hooks.ports import Lane
from webhook_gateway.website import model as website

_LANE_CODES = {
    "broker": ("broker_away", "publish_timeout", "unroutable", "publish_refused", "relay_failed"),
    "spool": ("spool_unavailable",),
}


class GatewayMetrics:
    """One instance an application. Implements ``DurabilityObserver`` and ``RequestObserver``; ``spool_*`` are written by the spool."""

    def __init__(self, registry: CollectorRegistry, *, sources: Iterable[str]) -> None:
        self._requests = Counter(
            "gateway_requests_total",
            "Requests by their one outcome, fixed at answering.",
            ["source", "event", "outcome"],
            registry=registry,
        )
        self._ack = Histogram(
            "gateway_ack_seconds",
            "From a request's head to its answer, in seconds.",
            ["source"],
            buckets=FAST_SECONDS,
            registry=registry,
        )
        self.lane_failures = Counter(
            "gateway_lane_failures_total", "Events that a lane could not take.", ["lane", "code"], registry=registry
        )
        self._breaker = Gauge(
            "gateway_breaker_state", "1 for the broker lane's present state.", ["state"], registry=registry
        )
        self._connected = Gauge(
            "gateway_broker_ready", "1 while the broker lane has a channel and the whole topology.", registry=registry
        )
        self.relayed_total = Counter(
            "gateway_spool_relayed_total", "Spooled events that the broker has confirmed since.", registry=registry
        )
        self.spool_depth = Gauge("gateway_spool_records", "Events that wait in the spool.", registry=registry)
        self.spool_bytes = Gauge("gateway_spool_bytes", "Bytes that wait in the spool.", registry=registry)
        self.spool_limit = Gauge("gateway_spool_limit_bytes", "Bytes that the spool may hold.", registry=registry)
        self.spool_oldest = Gauge(
            "gateway_spool_oldest_seconds", "Age of the oldest event in the spool, 0 when empty.", registry=registry
        )
        self.spool_torn = Counter(
            "gateway_spool_torn_total", "Records whose checksum did not fit; set aside.", registry=registry
        )
        self._counters: dict[tuple[str, str, str], Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        names = (*sources, website.SOURCE, UNKNOWN_SOURCE)
        labels = (*sorted(events.KNOWN), "other", events.UNREADABLE)
        for source in names:
            self._histograms[source] = self._ack.labels(source)
            for event in labels:
                for outcome in LEDGER:
                    self._counters[source, event, outcome] = self._requests.labels(source, event, outcome.value)
        for lane, codes in _LANE_CODES.items():
            for code in codes:
                self.lane_failures.labels(lane, code)
        self.breaker_is(BreakerState.CLOSED)
        self._oldest_at: float | None = None
        self.spool_oldest.set_function(self._age)

    def watch_broker(self, ready: Callable[[], bool]) -> None:
        """Show whether the broker lane can be used, whenever the metrics are read."""
        self._connected.set_function(lambda: 1.0 if ready() else 0.0)

    def answered(self, source: str, event: str, outcome: Outcome, seconds: float) -> None:
        """Count one request, by its outcome."""
        self._counters[source, events.label(event), outcome].inc()
        self._histograms[source].observe(seconds)

    def lane_failed(self, lane: Lane, code: str) -> None:
        """Count an event that a lane could not take."""
        self.lane_failures.labels(lane, code).inc()

    def breaker_is(self, state: BreakerState) -> None:
        """Show the breaker's state."""
        for candidate in BreakerState:
            self._breaker.labels(candidate.value).set(1 if candidate is state else 0)

    def relayed(self, count: int) -> None:
        """Count spooled events that have reached the broker."""
        self.relayed_total.inc(count)

    def spool_holds(self, *, records: int, size: int, oldest_at: float | None) -> None:
        """Show the spool. ``oldest_at`` is Unix time in seconds. Called from the spool's thread."""
        self.spool_depth.set(records)
        self.spool_bytes.set(size)
        self._oldest_at = oldest_at

    def _age(self) -> float:
        oldest_at = self._oldest_at
        return 0.0 if oldest_at is None else max(0.0, time() - oldest_at)
