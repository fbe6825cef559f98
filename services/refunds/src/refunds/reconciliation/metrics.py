"""Metrics of reconciliation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge

from refunds.differences.model import DifferenceKind
from refunds.reconciliation.model import Reconciliation

_OUTCOMES = ("examined", "advanced", "unanswered")


class ReconciliationMetrics:
    """What runs of reconciliation found, and the differences that are neither over nor acknowledged."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._differences = Gauge(
            "refunds_differences",
            "What we and a payment system disagree about, and nobody has acknowledged.",
            ["kind"],
            registry=registry,
        )
        self._compared = Counter(
            "refunds_reconciled_total",
            "Refunds that reconciliation looked at, by what came of it.",
            ["outcome"],
            registry=registry,
        )
        self._reconciled_at = Gauge(
            "refunds_reconciled_timestamp_seconds",
            "When a day's reconciliation last ended, in whichever replica; before the first, since when one is due.",
            registry=registry,
        )
        for difference in DifferenceKind:
            self._differences.labels(difference)
        for outcome in _OUTCOMES:
            self._compared.labels(outcome)

    def reconciled(self, found: Reconciliation) -> None:
        """Count a run that has ended."""
        for outcome in _OUTCOMES:
            self._compared.labels(outcome).inc(getattr(found, outcome))

    def show_reconciled(self, at: datetime) -> None:
        """Set when a day's reconciliation last ended."""
        self._reconciled_at.set(at.timestamp())

    def show_differences(self, counts: Mapping[str, int]) -> None:
        """Set the gauges of differences that are not over."""
        for kind in DifferenceKind:
            self._differences.labels(kind).set(counts.get(kind, 0))
