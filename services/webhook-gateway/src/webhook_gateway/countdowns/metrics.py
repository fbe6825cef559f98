"""What is measured of late answers and countdowns. Labels are bounded, and every series exists from the start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import inf
from time import time

from prometheus_client import CollectorRegistry, Counter, Gauge

from webhook_gateway.countdowns.model import Miss, OpenCountdowns, Reason, Schedule

_REASONS: tuple[Reason, ...] = ("slow", "hung_up")


class CountdownMetrics:
    """One instance an application. Remaining times are worked out when they are read, also while the database is away."""

    def __init__(self, registry: CollectorRegistry, *, schedules: Mapping[str, Schedule]) -> None:
        """``schedules`` are those of now and later."""
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
        self._length = Gauge(
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
        self._schedules = schedules
        self._known: dict[str, OpenCountdowns] = {}
        self._memory: tuple[Miss, ...] = ()
        for source in schedules:
            self._shortest.labels(source)
            for reason in _REASONS:
                self._late.labels(source, reason)
        self.countdowns((), ())

    def answered_late(self, source: str, reason: Reason) -> None:
        """Count an answer that the sender did not wait for."""
        self._late.labels(source, reason).inc()

    def countdown_lost(self) -> None:
        """Count a countdown that could not be remembered."""
        self._lost.inc()

    def countdowns(self, known: Sequence[OpenCountdowns] | None, unsaved: Sequence[Miss]) -> None:
        """Show how things stand; ``None`` leaves what was known of the database."""
        if known is not None:
            self._known = {one.source: one for one in known}
        self._memory = tuple(unsaved)
        self._unsaved.set(len(unsaved))
        for source, schedule in self._schedules.items():
            self._length.labels(source).set(schedule.length)
            self._shortest.labels(source).set_function(partial(self._remaining, source))
            stored = self._known.get(source)
            remembered = sum(1 for miss in unsaved if miss.source == source)
            self._running.labels(source).set((stored.running if stored else 0) + remembered)
            self._expired.labels(source).set(stored.expired if stored else 0)

    def _remaining(self, source: str) -> float:
        known = self._known.get(source)
        ends = [miss.cancels_at.timestamp() for miss in self._memory if miss.source == source]
        if known is not None and known.nearest is not None:
            ends.append(known.nearest.timestamp())
        return max(0.0, min(ends) - time()) if ends else inf
