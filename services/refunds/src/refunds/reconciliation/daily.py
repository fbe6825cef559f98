"""Reconciles once a day, whichever replica comes first."""

from __future__ import annotations

from datetime import timedelta

from common.clock import Clock
from common.telemetry import get_logger
from refunds.reconciliation.metrics import ReconciliationMetrics
from refunds.reconciliation.model import Reconciliation
from refunds.reconciliation.reconcile import Reconcile
from refunds.reconciliation.store import ReconciliationStore

_log = get_logger()


class DailyReconciliation:
    """From ``hour`` (UTC) on, ``back`` far back. Safe to call at any time, by any number of replicas.

    A day counts as reconciled once every gateway's register was seen, and no refund is kept apart because it failed by a fault: until
    then it is taken up again when its lease is over. What is kept apart is tried again before that, as items of any task are.
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
        self._due = False
        self._left: Reconciliation | None = None

    async def __call__(self) -> None:
        """Reconcile if it is time, and if nobody has; else look again at what the last run of this replica has left."""
        now, found = self._clock.now(), self._left
        if now.hour >= self._hour and await self._days.claim_day(now.date(), now=now):
            self._due = True  # until a run has come to its end: one that fails is begun again, and does not pass for a round without work
        if self._due:
            self._left = found = await self._reconcile(since=now - self._back, until=now)
            self._due = False
            self._metrics.reconciled(found)
            _log.info(
                "refunds_reconciled",
                examined=found.examined,
                advanced=found.advanced,
                unanswered=found.unanswered,
                differences=len(found.differences),
                failed=len(found.failed),
                registers=found.registers,
            )
        elif found is not None:
            await self._reconcile.again(found)
        if found is not None and not found.failed:
            self._left = None
            if not found.unseen:
                await self._days.finish_day(found.until.date(), now=self._clock.now())
