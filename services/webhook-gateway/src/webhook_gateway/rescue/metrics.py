"""What is measured of endangered orders and their reports. Labels are bounded, and every series exists at zero from the start."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from time import time
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

from webhook_gateway.rescue.model import ClosedAs
from webhook_gateway.website.model import Category

_LABELS = (*(category.value for category in Category), "anonymous")


class RescueMetrics:
    """One instance an application. Ages are worked out when they are read, also while the database is away."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._reports = Counter(
            "gateway_endangered_reports_total",
            "Tries to mail a report on an endangered order.",
            ["outcome"],
            registry=registry,
        )
        self._waiting = Gauge(
            "gateway_endangered_waiting",
            "Endangered orders that nobody has saved or reported; anonymous: without a valid token.",
            ["category"],
            registry=registry,
        )
        oldest = Gauge(
            "gateway_endangered_oldest_seconds",
            "Age of the oldest of them that is not anonymous, 0 when there is none.",
            registry=registry,
        )
        self._unsent = Gauge(
            "gateway_endangered_reports_waiting", "Reports whose mail has not gone yet.", registry=registry
        )
        unsent_oldest = Gauge(
            "gateway_endangered_reports_oldest_seconds",
            "Age of the oldest of them, 0 when there is none.",
            registry=registry,
        )
        self._closed = Counter(
            "gateway_endangered_closed_total",
            "Endangered orders that people closed; own_test: it was a test of our own.",
            ["outcome"],
            registry=registry,
        )
        for outcome in get_args(ClosedAs):
            self._closed.labels(outcome)
        for category in _LABELS:
            self._waiting.labels(category)
        for tried in ("sent", "postponed", "failed"):
            self._reports.labels(tried)
        self._oldest_at: datetime | None = None
        self._unsent_at: datetime | None = None
        oldest.set_function(lambda: _age(self._oldest_at))
        unsent_oldest.set_function(lambda: _age(self._unsent_at))

    def reported(self, outcome: Literal["sent", "postponed", "failed"]) -> None:
        """Count a try to mail a report."""
        self._reports.labels(outcome).inc()

    def closed(self, outcome: ClosedAs) -> None:
        """Count an order that a person closed."""
        self._closed.labels(outcome).inc()

    def show(
        self, waiting: Mapping[str, int], oldest_at: datetime | None, unsent: int, unsent_at: datetime | None
    ) -> None:
        """Show what waits for people, by category, and what waits for the mail server."""
        for category in _LABELS:
            self._waiting.labels(category).set(waiting.get(category, 0))
        self._oldest_at = oldest_at
        self._unsent.set(unsent)
        self._unsent_at = unsent_at


def _age(since: datetime | None) -> float:
    return 0.0 if since is None else max(0.0, time() - since.timestamp())
