"""Reconciles once a day, whichever replica comes first, and makes up for days on which nobody did."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from common.clock import Clock
from common.telemetry import get_logger
from refunds.reconciliation.metrics import ReconciliationMetrics
from refunds.reconciliation.model import Reconciliation
from refunds.reconciliation.reconcile import Reconcile
from refunds.reconciliation.store import ReconciliationStore

_log = get_logger()
_DAY = timedelta(days=1)


class DailyReconciliation:
    """From ``hour`` (UTC) on, from ``back`` before it up to now. Safe to call at any time, by any number of replicas.

    A day counts as reconciled once every gateway's register was seen for the 24 hours before it, or refused to show them, which is told,
    and no refund is kept apart because it failed by a fault: until then it is taken up again when its lease is over, also on a later day,
    and also after days on which no replica ran; a run that comes to its end from the oldest of them up to now reconciles all that it saw.
    What is kept apart is tried again before that, as items of any task are.
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
        self._hour = timedelta(hours=hour)
        self._back = back
        self._day: date | None = None
        self._left: Reconciliation | None = None

    async def __call__(self) -> None:
        """Reconcile if it is time, and if nobody has; else look again at what the last run of this replica has left."""
        now, found = self._clock.now(), self._left
        if (day := await self._days.claim_day((now - self._hour).date(), now=now)) is not None:
            # Also begun again where it fails: that is no round without work.
            self._day, self._left, found = day, None, None
        if self._day is None:
            return
        if found is None:
            begin = self._begin(self._day)
            self._left = found = await self._reconcile(since=begin - self._back, until=now, new_from=begin - _DAY)
            self._metrics.reconciled(found)
            _log.info(
                "refunds_reconciled",
                day=str(self._day),
                examined=found.examined,
                advanced=found.advanced,
                unanswered=found.unanswered,
                differences=len(found.differences),
                failed=len(found.failed),
                registers=found.registers,
            )
        else:
            await self._reconcile.again(found)
        if not found.failed:
            day, self._day, self._left = self._day, None, None
            days = (day + _DAY * number for number in range(((found.until - self._hour).date() - day).days + 1))
            seen = [one for one in days if found.seen(self._begin(one) - _DAY, self._begin(one))]
            await self._days.finish_days(day, seen, now=self._clock.now())

    def _begin(self, day: date) -> datetime:
        return datetime.combine(day, time(), UTC) + self._hour
