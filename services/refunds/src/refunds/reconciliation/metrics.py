"""Metrics of reconciliation."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from refunds.reconciliation.model import DifferenceKind, Reconciliation

_OUTCOMES = ("examined", "advanced", "unanswered")


class ReconciliationMetrics:
    """What runs of reconciliation found, and the differences that are not over."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._differences = Gauge(
            "refunds_differences", "What we and a payment system disagree about.", ["kind"], registry=registry
        )
        self._compared = Counter(
            "refunds_reconciled_total",
            "Refunds that reconciliation looked at, by what came of it.",
            ["outcome"],
            registry=registry,
        )
        self._reconciled_at = Gauge(
            "refunds_reconciled_timestamp_seconds",
            "When this process last finished a reconciliation, 0 before the first.",
            registry=registry,
        )
        for difference in DifferenceKind:
            self._differences.labels(difference)
        for outcome in _OUTCOMES:
            self._compared.labels(outcome)

    def reconciled(self, found: Reconciliation, *, at: float) -> None:
        """Count a run that has ended; ``at`` in seconds since 1970."""
        for outcome in _OUTCOMES:
            self._compared.labels(outcome).inc(getattr(found, outcome))
        self._reconciled_at.set(at)

    def show_differences(self, counts: Mapping[str, int]) -> None:
        """Set the gauges of differences that are not over."""
        for kind in DifferenceKind:
            self._differences.labels(kind).set(counts.get(kind, 0))
