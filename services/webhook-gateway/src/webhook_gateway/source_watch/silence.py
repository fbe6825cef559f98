"""Holds each source against its own weeks: how many hooks would usually have come since its last one."""

from __future__ import annotations

from datetime import datetime

from common.clock import Clock
from common.postgres import Database
from webhook_gateway.source_watch.metrics import SourceMetrics
from webhook_gateway.source_watch.model import Week
from webhook_gateway.source_watch.store import SourceStore


class WatchSilence:
    """Sets the gauges that the alert on silent sources looks at; every replica shows the same."""

    def __init__(self, database: Database, *, week: Week, clock: Clock, metrics: SourceMetrics) -> None:
        self._store = SourceStore(database)
        self._week = week
        self._clock = clock
        self._metrics = metrics
        self._counted_in: datetime | None = None

    async def step(self) -> None:
        """Add up the last slots where that is due, and show how things stand."""
        now, week = self._clock.now(), self._week
        due = week.start_of(now) if self._counted_in is None else self._counted_in
        if self._counted_in is None or (now - self._counted_in) * 60 >= week.slot:
            await self._store.count_slots(week.start_of(due) - week.slot, week)
            self._counted_in = now
        history = await self._store.history(now, week)
        for source, last in (await self._store.last_genuine()).items():
            known = history.get(source)
            self._metrics.source(
                source,
                last_genuine_at=last,
                per_minute=0.0
                if known is None
                else known.usual(week.start_of(now), week) * 60 / week.slot.total_seconds(),
                expected=0.0 if known is None else known.expected(last, now, week),
            )
