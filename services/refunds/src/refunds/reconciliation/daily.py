"""Reconciles once a day, whichever replica comes first."""

from __future__ import annotations

from datetime import timedelta

from common.clock import Clock
from common.telemetry import get_logger
from refunds.reconciliation.metrics import ReconciliationMetrics
from refunds.reconciliation.reconcile import Reconcile
from refunds.reconciliation.store import ReconciliationStore

_log = get_logger()


class DailyReconciliation:
    """From ``hour`` (UTC) on, ``back`` far back. Safe to call at any time, by any number of replicas.

    A day counts as reconciled once every gateway's register was seen: until then it is taken up again when its lease is over.
    """

    def __init__(
        self,
        reconcile: Reconcile,
        days: ReconciliationStore,
        metrics: ReconciliationMetrics,
        clock: Clock,
        *,
        hour: int,
        back: timedelta,
    ) -> None:
        self._reconcile = reconcile
        self._days = days
        self._metrics = metrics
        self._clock = clock
        self._hour = hour
        self._back = back

    async def __call__(self) -> None:
        """Reconcile if it is time, and if nobody has."""
        now = self._clock.now()
        if now.hour < self._hour or not await self._days.claim_day(now.date(), now=now):
            return
        found = await self._reconcile(since=now - self._back, until=now)
        if not found.unseen:
            await self._days.finish_day(now.date(), now=self._clock.now())
        self._metrics.reconciled(found)
        _log.info(
            "refunds_reconciled",
            examined=found.examined,
            advanced=found.advanced,
            unanswered=found.unanswered,
            differences=len(found.differences),
            registers=found.registers,
        )
