"""What is measured of requests. Labels are bounded, and every series exists at zero from the start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram

from common.telemetry.metrics import FAST_SECONDS
from webhook_gateway.hooks.model import HOOKS, LEDGER, UNKNOWN_SOURCE, UNREADABLE, Outcome


class RequestMetrics:
    """One instance an application. Counts hooks and website orders alike."""

    def __init__(self, registry: CollectorRegistry, *, sources: Iterable[str]) -> None:
        """``sources`` are the configured ones and the website."""
        self._by_outcome = Counter(
            "gateway_requests_total",
            "Requests by their one outcome, fixed at answering.",
            ["source", "event", "outcome"],
            registry=registry,
        )
        self._by_source = Histogram(
            "gateway_ack_seconds",
            "From a request's head to its answer, in seconds.",
            ["source"],
            buckets=FAST_SECONDS,
            registry=registry,
        )
        self._received = Counter(
            "gateway_received_total",
            "Requests counted where they come in, apart from their outcome.",
            ["source"],
            registry=registry,
        )
        self._shown: dict[str, int] = {}
        self._requests: dict[tuple[str, str, str], Counter] = {}
        self._answered: dict[str, Histogram] = {}
        for source in (*sources, UNKNOWN_SOURCE):
            self._know(source)

    def _know(self, source: str) -> None:
        self._answered[source] = self._by_source.labels(source)
        for event in (*sorted(HOOKS), "other", UNREADABLE):
            for outcome in LEDGER:
                self._requests[source, event, outcome] = self._by_outcome.labels(source, event, outcome.value)

    def answered(self, source: str, event: str, outcome: Outcome, seconds: float) -> None:
        """Count one request by its one outcome. ``source`` is a configured one, a website that a token names, or ``UNKNOWN_SOURCE``."""
        if source not in self._answered:  # a token of another website was added
            self._know(source)
        self._requests[source, event_label(event), outcome].inc()
        self._answered[source].observe(seconds)

    def malformed(self) -> None:
        """Count a request that is not well-formed HTTP. When it began nobody can say."""
        self._requests[UNKNOWN_SOURCE, UNREADABLE, Outcome.REFUSED].inc()

    def received(self, totals: Mapping[str, int]) -> None:
        """Show how many requests this process has received, by source: read once a second, so that it costs no request anything."""
        for source, total in totals.items():
            self._received.labels(source).inc(total - self._shown.get(source, 0))
            self._shown[source] = total


def event_label(event: str) -> str:
    """Return the event as a label: one of the six, ``unreadable`` or ``other``, so that labels stay bounded."""
    return event if event in HOOKS or event == UNREADABLE else "other"
