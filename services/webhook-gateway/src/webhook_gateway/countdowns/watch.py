"""Watches over orders that a marketplace may cancel by itself because we did not answer their ``order.created`` in time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from operator import attrgetter

from common.ids import order_number
from common.service import in_halves, kept_apart
from webhook_gateway.countdowns.metrics import CountdownMetrics
from webhook_gateway.countdowns.model import Miss, OpenCountdowns, Reason, Schedule
from webhook_gateway.countdowns.store import CountdownStore

_MOST_WAITING = 100_000


class WatchAnswers:
    """Remembers misses in memory on the hot path, and every second in the database, where all replicas see them.

    What was missed while the database was away is written when it is back; what had not been written when the process died is lost,
    unless the hook itself is durable (quarantined), as are requests that never reached a replica, could not be authenticated, or name no
    order. A 2xx that was answered in time stops a countdown: it is found among the deliveries, so any replica's counts.
    """

    def __init__(
        self,
        store: CountdownStore,
        *,
        schedules: Mapping[str, Schedule],
        replica: str,
        now: Callable[[], datetime],
        metrics: CountdownMetrics,
    ) -> None:
        self._store = store
        self._schedules = schedules
        self._replica = replica
        self._now = now
        self._metrics = metrics
        self._unsaved: dict[tuple[str, str], Miss] = {}

    @property
    def waiting(self) -> bool:
        """Whether anything is remembered in memory only, so that good answers matter as well."""
        return bool(self._unsaved)

    def answered(
        self, source: str, created: str | None, *, received_at: datetime, status: int, late: Reason | None
    ) -> None:
        """Take note of an answer to a genuine request: of every answer that is late or no 2xx, and of all others while ``waiting``.

        ``created`` is the source's id of the order whose ``order.created`` it was, None for anything else. Never raises.
        """
        if late is not None:
            self._metrics.answered_late(source, late)
        if created is None:
            return
        key = (source, created)
        if late is None and HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            known = self._unsaved.get(key)
            if known is not None and known.missed_at < received_at:
                del self._unsaved[key]
            return
        self._remember(self._miss(source, created, received_at=received_at, status=status, reason=late or "refused"))

    async def step(self) -> None:
        """Write what is unsaved, stop what was answered, show how things stand.

        When the database is away this raises, and nothing is forgotten. An order that fails by a fault keeps no other from being written.
        """
        open_countdowns: Sequence[OpenCountdowns] | None = None
        written = list(self._unsaved.values())
        try:
            saved = await self._save(written)
            recorded = await self._store.settle()
            await self._save(
                [
                    self._miss(
                        found.source,
                        found.external_id,
                        received_at=found.received_at,
                        status=found.status,
                        reason="refused",
                        started_at=found.received_at,
                    )
                    for found in recorded
                    if found.source in self._schedules
                ]
            )
            open_countdowns = await self._store.open_countdowns()
            # Only now: should the database go away between the two, they would be written and shown nowhere.
            self._forget(saved)
        finally:
            self._metrics.countdowns(open_countdowns, list(self._unsaved.values()))

    async def _save(self, misses: Sequence[Miss]) -> list[Miss]:
        """Write countdowns and return them, without those of orders that are kept apart because of a fault: they are tried again."""

        async def save(part: Sequence[Miss]) -> Sequence[Miss]:
            await self._store.save(part)
            return part

        parts = await in_halves(misses, save, name=attrgetter("number"), but=kept_apart())
        return [miss for part in parts for miss in part]

    def _forget(self, misses: Sequence[Miss]) -> None:
        for miss in misses:
            key = (miss.source, miss.external_id)
            if self._unsaved.get(key) is miss:
                del self._unsaved[key]

    def _remember(self, miss: Miss) -> None:
        key = (miss.source, miss.external_id)
        known = self._unsaved.get(key)
        if known is not None:
            miss = replace(miss, started_at=known.started_at, cancels_at=known.cancels_at)
        elif len(self._unsaved) >= _MOST_WAITING:
            self._metrics.countdown_lost()
            return
        self._unsaved[key] = miss

    def _miss(
        self,
        source: str,
        external_id: str,
        *,
        received_at: datetime,
        status: int,
        reason: Reason,
        started_at: datetime | None = None,
    ) -> Miss:
        started = started_at or self._now()
        return Miss(
            source=source,
            external_id=external_id,
            number=order_number(source, external_id),
            started_at=started,
            cancels_at=self._schedules[source].cancels_at(started),
            missed_at=received_at,
            status=status,
            reason=reason,
            replica=self._replica,
        )
