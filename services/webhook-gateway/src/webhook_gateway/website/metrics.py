"""What is measured of website orders. Labels are bounded, and every series exists at zero from the start."""

from __future__ import annotations

from typing import Literal

from prometheus_client import CollectorRegistry, Counter

from webhook_gateway.website.model import Admission, Category


class WebsiteMetrics:
    """One instance an application."""

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
            "Website orders that were not answered 201; anonymous: without a valid token.",
            ["category"],
            registry=registry,
        )
        self._not_kept = Counter(
            "gateway_endangered_not_kept_total",
            "Endangered orders of which no record could be kept: a flood, or broker, disk and database away at once.",
            ["reason"],
            registry=registry,
        )
        for outcome in ("passed", "repeated", "limited", "reused", "failed_open"):
            self._limits.labels(outcome)
        for kind in ("phone", "address", "ip"):
            self._limited.labels(kind)
        for category in (*Category, "anonymous"):
            self._endangered.labels(category)
        for reason in ("flood", "anonymous_flood", "nowhere"):
            self._not_kept.labels(reason)

    def admitted(self, admission: Admission) -> None:
        """Count what the limits said."""
        self._limits.labels(admission.outcome).inc()
        if admission.outcome == "limited":
            for kind in admission.by:
                self._limited.labels(kind).inc()

    def endangered(self, category: Category | Literal["anonymous"]) -> None:
        """Count an order that was refused; without a valid token it is anonymous, wherever to look."""
        self._endangered.labels(category).inc()

    def not_kept(self, reason: Literal["flood", "anonymous_flood", "nowhere"]) -> None:
        """Count an endangered order without a record."""
        self._not_kept.labels(reason).inc()
