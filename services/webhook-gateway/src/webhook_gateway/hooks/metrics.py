"""What is measured of requests. Labels are bounded, and every series exists at zero from the start."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram

from common.telemetry.metrics import FAST_SECONDS
from webhook_gateway.hooks.model import HOOKS, LEDGER, UNKNOWN_SOURCE, UNREADABLE, Outcome


class RequestMetrics:
    """One instance an application. Counts hooks and website orders alike."""

    def __init__(self, registry: CollectorRegistry, *, sources: Iterable[str]) -> None:
        """``sources`` are the configured ones and the website."""
        requests = Counter(
            "gateway_requests_total",
            "Requests by their one outcome, fixed at answering.",
            ["source", "event", "outcome"],
            registry=registry,
        )
        answered = Histogram(
            "gateway_ack_seconds",
            "From a request's head to its answer, in seconds.",
            ["source"],
            buckets=FAST_SECONDS,
            registry=registry,
        )
        self._requests: dict[tuple[str, str, str], Counter] = {}
        self._answered: dict[str, Histogram] = {}
        for source in (*sources, UNKNOWN_SOURCE):
            self._answered[source] = answered.labels(source)
            for event in (*sorted(HOOKS), "other", UNREADABLE):
                for outcome in LEDGER:
                    self._requests[source, event, outcome] = requests.labels(source, event, outcome.value)

    def answered(self, source: str, event: str, outcome: Outcome, seconds: float) -> None:
        """Count one request by its one outcome. ``source`` is a configured one, the website, or ``UNKNOWN_SOURCE``."""
        self._requests[source, event_label(event), outcome].inc()
        self._answered[source].observe(seconds)


def event_label(event: str) -> str:
    """Return the event as a label: one of the six, ``unreadable`` or ``other``, so that labels stay bounded."""
    return event if event in HOOKS or event == UNREADABLE else "other"
