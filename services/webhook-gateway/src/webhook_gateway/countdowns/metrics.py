"""What the watch over answers and orders shows (STYLE 18): bounded labels, everything there from the start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from math import inf
from time import time

from prometheus_client import CollectorRegistry, Counter, Gauge

from webhook_gateway.countdowns.model import Schedule
from webhook_gateway.countdowns.watch import Miss, Reason, Standing

_REASONS: tuple[Reason, ...] = ("slow", "hung_up")


class WatchMetrics:
    """Implements ``AnswerObserver``. Ages and remaining times are worked out when they are read, also while the database is away."""

    def __init__(
        self, registry: CollectorRegistry, *, schedules: Mapping[str, Schedule], spool_oldest_allowed: float
    ) -> None:
        names = tuple(schedules)
        self._late = Counter(
            "gateway_late_answers_total",
            "Answers that came later than the source waits, or after it had hung up.",
            ["source", "reason"],
            registry=registry,
        )
        self._lost = Counter(
            "gateway_countdown_lost_total", "Countdowns that could not even be remembered.", registry=registry
        )
        self._running = Gauge(
            "gateway_countdown_running",
            "Orders that the marketplace will cancel unless a repeat is answered in time; the same at every replica.",
            ["source"],
            registry=registry,
        )
        self._shortest = Gauge(
            "gateway_countdown_shortest_seconds",
            "Until the marketplace cancels the next of them; +Inf when none runs.",
            ["source"],
            registry=registry,
        )
        length = Gauge(
            "gateway_countdown_length_seconds",
            "What a whole countdown takes, by the source's schedule.",
            ["source"],
            registry=registry,
        )
        self._expired = Gauge(
            "gateway_countdown_expired",
            "Orders whose countdown ran out within the last day.",
            ["source"],
            registry=registry,
        )
        self._unsaved = Gauge(
            "gateway_countdown_unsaved", "Countdowns that only this process knows of.", registry=registry
        )
        self._unarrived = Gauge(
            "gateway_orders_unarrived",
            "Orders that were acknowledged and of which the orchestrator has not told.",
            registry=registry,
        )
        self._unarrived_oldest = Gauge(
            "gateway_orders_unarrived_oldest_seconds", "Age of the oldest of them, 0 when none.", registry=registry
        )
        self._ahead = Gauge(
            "gateway_delivery_partitions_ahead", "Coming days whose partition of deliveries is made.", registry=registry
        )
        self._misplaced = Gauge(
            "gateway_deliveries_misplaced", "Recent deliveries in the default partition.", registry=registry
        )
        Gauge(
            "gateway_spool_oldest_allowed_seconds",
            "How old an event in the spool may become; older ones are kept and alerted about.",
            registry=registry,
        ).set(spool_oldest_allowed)
        for source, schedule in schedules.items():
            length.labels(source).set(schedule.length)
            self._running.labels(source)
            self._expired.labels(source)
            for reason in _REASONS:
                self._late.labels(source, reason)
        self._names = names
        self._standing: dict[str, Standing] = {}
        self._memory: tuple[Miss, ...] = ()
        self._oldest_at: datetime | None = None
        for source in names:
            self._shortest.labels(source).set_function(partial(self._remaining, source))
        self._unarrived_oldest.set_function(self._age)

    def answered_late(self, source: str, reason: Reason) -> None:
        """Count an answer that the sender did not wait for."""
        self._late.labels(source, reason).inc()

    def countdown_lost(self) -> None:
        """Count a countdown that could not be remembered."""
        self._lost.inc()

    def countdowns(self, standing: Sequence[Standing] | None, unsaved: Sequence[Miss]) -> None:
        """Show how things stand; ``None`` leaves what was known of the database."""
        if standing is not None:
            self._standing = {one.source: one for one in standing}
        self._memory = tuple(unsaved)
        self._unsaved.set(len(unsaved))
        for source in self._names:
            known = self._standing.get(source)
            remembered = sum(1 for miss in unsaved if miss.source == source)
            self._running.labels(source).set((known.running if known else 0) + remembered)
            self._expired.labels(source).set(known.expired if known else 0)

    def unarrived(self, count: int, oldest_at: datetime | None) -> None:
        """Show what is on its way to the orchestrator."""
        self._unarrived.set(count)
        self._oldest_at = oldest_at

    def partitions(self, *, ahead: int, misplaced: int) -> None:
        """Show the partitions of deliveries."""
        self._ahead.set(ahead)
        self._misplaced.set(misplaced)

    def _remaining(self, source: str) -> float:
        known = self._standing.get(source)
        ends = [miss.cancels_at.timestamp() for miss in self._memory if miss.source == source]
        if known is not None and known.nearest is not None:
            ends.append(known.nearest.timestamp())
        return max(0.0, min(ends) - time()) if ends else inf

    def _age(self) -> float:
        return 0.0 if self._oldest_at is None else max(0.0, time() - self._oldest_at.timestamp())
