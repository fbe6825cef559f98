"""What is counted of website orders and of the desk that saves them (STYLE 18): bounded labels, everything at zero from the start."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from time import time
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge

from webhook_gateway.website.model import Category
from webhook_gateway.website.ports import Admission

LIMITED_BY = ("phone", "address", "ip")


class WebsiteMetrics:
    """One instance an application. Implements ``WebsiteObserver``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._limits = Counter(
            "gateway_order_limits_total",
            "Website orders by what the limits said; failed_open: the database was away, so the order passed.",
            ["outcome"],
            registry=registry,
        )
        self._limited = Counter(
            "gateway_orders_limited_total",
            "Website orders refused, by what there were too many of.",
            ["by"],
            registry=registry,
        )
        self._endangered = Counter(
            "gateway_endangered_orders_total",
            "Website orders that were not answered 201.",
            ["category"],
            registry=registry,
        )
        self._not_kept = Counter(
            "gateway_endangered_not_kept_total",
            "Endangered orders of which no record could be kept: a flood, or broker, disk and database away at once.",
            ["reason"],
            registry=registry,
        )
        self._reports = Counter(
            "gateway_endangered_reports_total",
            "Tries to mail a report on an endangered order.",
            ["outcome"],
            registry=registry,
        )
        self._waiting = Gauge(
            "gateway_endangered_waiting",
            "Endangered orders that nobody has saved or reported.",
            ["category"],
            registry=registry,
        )
        self._oldest = Gauge(
            "gateway_endangered_oldest_seconds", "Age of the oldest of them, 0 when there is none.", registry=registry
        )
        self._unsent = Gauge(
            "gateway_endangered_reports_waiting", "Reports whose mail has not gone yet.", registry=registry
        )
        self._unsent_age = Gauge(
            "gateway_endangered_reports_oldest_seconds",
            "Age of the oldest of them, 0 when there is none.",
            registry=registry,
        )
        for outcome in ("passed", "repeated", "limited", "failed_open", "manager"):
            self._limits.labels(outcome)
        for kind in LIMITED_BY:
            self._limited.labels(kind)
        for category in Category:
            self._endangered.labels(category.value)
            self._waiting.labels(category.value)
        for reason in ("flood", "nowhere"):
            self._not_kept.labels(reason)
        for tried in ("sent", "postponed", "failed"):
            self._reports.labels(tried)
        self._oldest_at: float | None = None
        self._unsent_at: float | None = None
        self._oldest.set_function(lambda: _age(self._oldest_at))
        self._unsent_age.set_function(lambda: _age(self._unsent_at))

    def admitted(self, admission: Admission) -> None:
        """Count what the limits said."""
        self._limits.labels(admission.outcome).inc()
        if admission.outcome == "limited":
            for kind in admission.by:
                self._limited.labels(kind).inc()

    def endangered(self, category: str) -> None:
        """Count an order that was refused."""
        self._endangered.labels(category).inc()

    def not_kept(self, reason: Literal["flood", "nowhere"]) -> None:
        """Count an endangered order without a record."""
        self._not_kept.labels(reason).inc()

    def reported(self, outcome: Literal["sent", "postponed", "failed"]) -> None:
        """Count a try to mail a report."""
        self._reports.labels(outcome).inc()

    def show(
        self, *, waiting: Mapping[str, int], oldest_at: datetime | None, unsent: int, unsent_at: datetime | None
    ) -> None:
        """Show what waits for people and for the mail server."""
        for category in Category:
            self._waiting.labels(category.value).set(waiting.get(category.value, 0))
        self._oldest_at = None if oldest_at is None else oldest_at.timestamp()
        self._unsent.set(unsent)
        self._unsent_at = None if unsent_at is None else unsent_at.timestamp()


def _age(since: float | None) -> float:
    return 0.0 if since is None else max(0.0, time() - since)
