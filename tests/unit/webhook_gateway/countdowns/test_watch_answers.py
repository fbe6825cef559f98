"""When a countdown starts, runs on and stops in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf

import pytest
from prometheus_client import CollectorRegistry

from common.errors import Unavailable
from common.ids import order_number
from tests.support.clocks import ManualClock
from webhook_gateway.countdowns.metrics import CountdownMetrics
from webhook_gateway.countdowns.model import Miss, OpenCountdowns, RefusedCreated, Schedule
from webhook_gateway.countdowns.store import CountdownStore
from webhook_gateway.countdowns.watch import WatchAnswers

AT = datetime(2026, 11, 21, 7, tzinfo=UTC)
SCHEDULE = Schedule(answer_within=5, repeats=(10, 20, 30))
MISS = Miss(
    source="sbermarket",
    external_id="H1",
    number=order_number("sbermarket", "H1"),
    started_at=AT,
    cancels_at=AT + timedelta(seconds=65),
    missed_at=AT,
    status=503,
    reason="refused",
    replica="gw-1",
)


class Store(CountdownStore):
    """Keeps countdowns in memory, and is away on command."""

    def __init__(self) -> None:
        self.away = False
        self.blind = False
        self.saved: list[Miss] = []
        self.recorded: list[RefusedCreated] = []

    async def save(self, misses: Sequence[Miss]) -> None:
        if self.away:
            raise Unavailable("away")
        self.saved += misses

    async def settle(self) -> Sequence[RefusedCreated]:
        found, self.recorded = self.recorded, []
        return found

    async def open_countdowns(self) -> Sequence[OpenCountdowns]:
        if self.blind:
            raise Unavailable("away")
        return [OpenCountdowns(source="sbermarket", running=2, nearest=AT + timedelta(days=36500), expired=1)]


def watch() -> tuple[WatchAnswers, Store, ManualClock, CollectorRegistry]:
    store, clock, registry = Store(), ManualClock(AT), CollectorRegistry()
    metrics = CountdownMetrics(registry, schedules={"sbermarket": SCHEDULE, "kuper": SCHEDULE})
    watching = WatchAnswers(store, schedules={"sbermarket": SCHEDULE}, replica="gw-1", now=clock.now, metrics=metrics)
    return watching, store, clock, registry


def waits(watching: WatchAnswers) -> bool:
    return watching.waiting


async def test_a_refused_created_is_remembered_until_it_is_written() -> None:
    watching, store, clock, registry = watch()
    watching.answered("sbermarket", "H1", received_at=AT, status=503, late=None)
    assert waits(watching)
    store.away = True
    with pytest.raises(Unavailable):
        await watching.step()
    assert registry.get_sample_value("gateway_countdown_running", {"source": "sbermarket"}) == 1
    clock.move_to(AT + timedelta(seconds=9))
    watching.answered("sbermarket", "H1", received_at=AT + timedelta(seconds=8), status=503, late=None)
    store.away = False
    await watching.step()
    assert store.saved == [replace(MISS, missed_at=AT + timedelta(seconds=8))]
    assert not waits(watching)
    assert registry.get_sample_value("gateway_countdown_running", {"source": "sbermarket"}) == 2
    assert registry.get_sample_value("gateway_countdown_expired", {"source": "sbermarket"}) == 1
    assert registry.get_sample_value("gateway_countdown_shortest_seconds", {"source": "kuper"}) == inf


async def test_a_countdown_is_shown_though_the_database_fails_between_write_and_read() -> None:
    watching, store, _, registry = watch()
    watching.answered("sbermarket", "H1", received_at=AT, status=503, late=None)
    store.blind = True
    for _ in range(2):
        with pytest.raises(Unavailable):
            await watching.step()
        assert registry.get_sample_value("gateway_countdown_running", {"source": "sbermarket"}) == 1
    store.blind = False
    await watching.step()
    assert (
        registry.get_sample_value("gateway_countdown_running", {"source": "sbermarket"}) == 2
    )  # the database's own word
    assert (store.saved, waits(watching)) == ([MISS] * 3, False)  # writing the same again changes nothing


async def test_a_good_answer_ends_what_only_memory_knows_and_a_late_one_does_not() -> None:
    watching, store, _, registry = watch()
    watching.answered("sbermarket", "H1", received_at=AT, status=503, late=None)
    watching.answered("sbermarket", "H1", received_at=AT + timedelta(seconds=1), status=200, late="hung_up")
    assert waits(watching)
    watching.answered("sbermarket", "H1", received_at=AT + timedelta(seconds=1), status=200, late=None)
    assert waits(watching)  # no younger than the miss
    watching.answered("sbermarket", "H1", received_at=AT + timedelta(seconds=2), status=200, late=None)
    assert not waits(watching)
    await watching.step()
    assert store.saved == []
    late = registry.get_sample_value("gateway_late_answers_total", {"source": "sbermarket", "reason": "hung_up"})
    assert late == 1


async def test_a_refusal_that_only_the_recorder_knows_of_starts_a_countdown_too() -> None:
    watching, store, _, _ = watch()
    known = RefusedCreated(source="sbermarket", external_id="H1", received_at=AT, status=503)
    store.recorded = [known, replace(known, source="gone")]
    await watching.step()
    assert store.saved == [MISS]


def test_the_marketplace_cancels_after_the_last_repeat_has_failed() -> None:
    assert SCHEDULE.cancels_at(AT) == AT + timedelta(seconds=10 + 20 + 30 + 5)
