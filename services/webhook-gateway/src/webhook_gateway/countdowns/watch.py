"""Watches over orders that the marketplace may cancel by itself because we did not answer their ``order.created`` (M2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from typing import Literal, Protocol

from common.ids import order_number
from webhook_gateway.countdowns.model import Schedule
from webhook_gateway.hooks.glimpse import created_order

Reason = Literal["refused", "slow", "hung_up"]
"""Not a 2xx; later than the marketplace waits; the marketplace had hung up before the answer."""

_MOST_WAITING = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """An ``order.created`` that was not answered 2xx in time. ``started_at``: our first such answer; ``missed_at``: when the newest such
    request came in; ``status``: what it was answered, too late or not."""

    source: str
    external_id: str
    number: str
    started_at: datetime
    cancels_at: datetime
    missed_at: datetime
    status: int
    reason: Reason
    replica: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The countdowns of one source: how many run, when the nearest ends, how many ran out within the last day."""

    source: str
    running: int
    nearest: datetime | None
    expired: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedCreated:
    """A quarantined ``order.created`` that was answered negatively, as the recorder has kept it."""

    source: str
    external_id: str
    received_at: datetime
    status: int


class Countdowns(Protocol):
    """Where countdowns are kept, for all replicas. Every method raises ``Unavailable`` when the database is away."""

    async def save(self, misses: Sequence[Miss]) -> None:
        """Start countdowns, or let them run on. Writing the same twice changes nothing, in whatever order."""
        ...

    async def settle(self) -> Sequence[RefusedCreated]:
        """Stop those that were answered well since; return recorded refusals that have no countdown yet."""
        ...

    async def standing(self) -> Sequence[Standing]:
        """Return how things stand, by source."""
        ...


class AnswerObserver(Protocol):
    """Hears of answers that came too late, and of how the countdowns stand."""

    def answered_late(self, source: str, reason: Reason) -> None:
        """Count an answer that the sender did not wait for, whatever the hook."""
        ...

    def countdown_lost(self) -> None:
        """Count a countdown that could not be remembered."""
        ...

    def countdowns(self, standing: Sequence[Standing] | None, unsaved: Sequence[Miss]) -> None:
        """Show how things stand: in the database (None: as last known) and, besides, in this process's memory only."""
        ...


class WatchAnswers:
    """Remembers misses in memory on the hot path, and every second in the database, where all replicas see them.

    What was missed while the database was away is written when it is back; what had not been written when the process died is lost,
    unless the hook itself is durable (quarantined), as are requests that never reached a replica, could not be authenticated, or name no
    order. A 2xx that was answered in time stops a countdown: it is found among the deliveries, so any replica's counts.
    """

    def __init__(
        self,
        store: Countdowns,
        *,
        schedules: Mapping[str, Schedule],
        replica: str,
        now: Callable[[], datetime],
        observer: AnswerObserver,
    ) -> None:
        self._store = store
        self._schedules = schedules
        self._replica = replica
        self._now = now
        self._observer = observer
        self._unsaved: dict[tuple[str, str], Miss] = {}

    @property
    def waiting(self) -> bool:
        """Whether anything is remembered in memory only, so that good answers have to be heard of as well."""
        return bool(self._unsaved)

    def heard(self, source: str, body: bytes, *, received_at: datetime, status: int, late: Reason | None) -> None:
        """Take note of an answer to a genuine request. ``body`` may be cut off. To be called for every answer that is late or no 2xx,
        and for all others while ``waiting``. Never raises."""
        if late is not None:
            self._observer.answered_late(source, late)
        good = late is None and HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES
        if good and not self._unsaved:
            return
        external_id = created_order(body)
        if external_id is None:
            return
        key = (source, external_id)
        if good:
            known = self._unsaved.get(key)
            if known is not None and known.missed_at < received_at:
                del self._unsaved[key]
            return
        self._remember(
            self._miss(source, external_id, received_at=received_at, status=status, reason=late or "refused")
        )

    async def step(self) -> None:
        """Write what is unsaved, stop what was answered, show how things stand. Raises ``Unavailable``; nothing is forgotten then."""
        standing: Sequence[Standing] | None = None
        written = list(self._unsaved.values())
        try:
            if written:
                await self._store.save(written)
            recorded = await self._store.settle()
            await self._store.save(
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
            standing = await self._store.standing()
            # Only now: should the database go away between the two, they would be written and shown nowhere.
            self._forget(written)
        finally:
            self._observer.countdowns(standing, list(self._unsaved.values()))

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
            self._observer.countdown_lost()
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
