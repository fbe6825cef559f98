"""What is measured of kept deliveries and of orders on their way to the orchestrator."""

from __future__ import annotations

from datetime import datetime
from time import time

from prometheus_client import CollectorRegistry, Gauge


class DeliveryMetrics:
    """One instance an application. The age is worked out when it is read, also while the database is away."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._unarrived = Gauge(
            "gateway_orders_unarrived",
            "Orders that were acknowledged and that the orchestrator has not announced.",
            registry=registry,
        )
        oldest = Gauge(
            "gateway_orders_unarrived_oldest_seconds", "Age of the oldest of them, 0 when none.", registry=registry
        )
        self._ahead = Gauge(
            "gateway_delivery_partitions_ahead", "Coming days whose partition of deliveries is made.", registry=registry
        )
        self._misplaced = Gauge(
            "gateway_deliveries_misplaced", "Recent deliveries in the default partition.", registry=registry
        )
        self._difference = Gauge(
            "gateway_ledger_difference",
            "Requests of the last hour, until a minute ago, whose receipt and outcome do not add up.",
            registry=registry,
        )
        self._oldest_at: datetime | None = None
        oldest.set_function(self._age)

    def unarrived(self, count: int, oldest_at: datetime | None) -> None:
        """Show what is on its way to the orchestrator."""
        self._unarrived.set(count)
        self._oldest_at = oldest_at

    def ledger_difference(self, count: int) -> None:
        """Show by how much the two counts of the ledger differ."""
        self._difference.set(count)

    def partitions(self, *, ahead: int, misplaced: int) -> None:
        """Show the partitions of deliveries."""
        self._ahead.set(ahead)
        self._misplaced.set(misplaced)

    def _age(self) -> float:
        return 0.0 if self._oldest_at is None else max(0.0, time() - self._oldest_at.timestamp())
