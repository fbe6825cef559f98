"""Refusals are counted for the ledger, whatever the database does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from common.contracts import intake
from common.contracts.intake import IntakeMessage
from common.errors import Unavailable
from tests.support.clocks import ManualClock
from webhook_gateway.hooks.refusals import CountRefusals
from webhook_gateway.hooks.store import Disowned, Received, Refusals, RefusalStore, Run

AT = datetime(2026, 11, 21, 7, tzinfo=UTC)
HOOK = IntakeMessage(
    type=intake.HOOK_RECEIVED,
    event_id="e",
    delivery_id="01a1fcc2-ffa5-76f2-8271-2bb638b97e43",
    source="sbermarket",
    event="order.created",
    body_form="envelope",
    body=b"{}",
    received_at=AT,
    replica="gw-1",
)


class Store(RefusalStore):
    """Keeps counts in memory; is away, or loses its answer, on command."""

    def __init__(self) -> None:
        self.rows: dict[tuple[datetime, str, str], int] = {}
        self.disowned: list[Disowned] = []
        self.received: dict[tuple[datetime, str], tuple[int, int]] = {}
        self.last_taken: dict[str, datetime] = {}
        self.runs: list[Run] = []
        self.away = False
        self.loses_answer = False

    async def save(self, replica: str, run: str, rows: Sequence[Refusals]) -> None:
        if self.away:
            raise Unavailable("away")
        for row in rows:
            self.rows[row.bucket, row.source, row.reason] = row.count
        if self.loses_answer:
            self.loses_answer = False
            raise Unavailable("the answer was lost")

    async def save_received(self, run: Run, rows: Sequence[Received], last_taken: Mapping[str, datetime]) -> None:
        if self.away:
            raise Unavailable("away")
        self.runs.append(run)
        self.last_taken |= last_taken
        self.received |= {(row.bucket, row.source): (row.received, row.taken) for row in rows}

    async def disown(self, deliveries: Sequence[Disowned]) -> None:
        if self.away:
            raise Unavailable("away")
        self.disowned += deliveries


async def test_refusals_are_counted_once_whatever_the_database_does() -> None:
    store, clock = Store(), ManualClock(AT)
    refusals = CountRefusals(store, replica="gw-1", clock=clock)
    refusals.count("sbermarket", "forbidden")
    store.away = True
    with pytest.raises(Unavailable):
        await refusals.flush()
    store.away, store.loses_answer = False, True
    refusals.count("sbermarket", "forbidden")
    with pytest.raises(Unavailable):
        await refusals.flush()
    await refusals.flush()
    refusals.count("sbermarket", "forbidden")
    await refusals.flush()
    clock.move_to(AT + timedelta(seconds=10))
    refusals.count("website", "unprocessable")
    await refusals.flush()
    assert store.rows == {
        (AT, "sbermarket", "forbidden"): 3,
        (AT + timedelta(seconds=10), "website", "unprocessable"): 1,
    }


async def test_what_is_answered_503_and_may_be_stored_is_disowned_once() -> None:
    store = Store()
    refusals = CountRefusals(store, replica="gw-1", clock=ManualClock(AT))
    refusals.disown(HOOK)
    store.away = True
    with pytest.raises(Unavailable):
        await refusals.flush()
    store.away = False
    await refusals.flush()
    await refusals.flush()
    assert store.disowned == [Disowned(HOOK.delivery_id, AT)]


async def test_receipts_are_written_when_their_second_is_over_and_say_how_far_they_go() -> None:
    store, clock = Store(), ManualClock(AT)
    counts = CountRefusals(store, replica="gw-1", clock=clock)
    late = AT + timedelta(milliseconds=900)
    for at in (AT, late):
        counts.received("sbermarket", at)
    counts.taken("sbermarket", late)
    await counts.flush()
    assert (store.received, store.last_taken, store.runs[-1].counted_until) == ({}, {"sbermarket": late}, AT)
    clock.move_to(AT + timedelta(seconds=1))
    store.away = True
    with pytest.raises(Unavailable):
        await counts.flush()
    store.away = False
    await counts.flush()
    assert (store.received, store.runs[-1].counted_until) == (
        {(AT, "sbermarket"): (2, 1)},
        AT + timedelta(seconds=1),
    )
    clock.move_to(AT + timedelta(seconds=4))
    counts.taken("sbermarket", AT)  # answered late
    counts.received("website", clock.now())
    await counts.flush(last=True)
    assert store.received == {(AT, "sbermarket"): (2, 2), (AT + timedelta(seconds=4), "website"): (1, 0)}
    assert (store.runs[-1].ended, dict(counts.totals())) == (True, {"sbermarket": 2, "website": 1})


async def test_what_was_received_stays_in_the_total_when_its_second_is_forgotten() -> None:
    clock = ManualClock(AT)
    counts = CountRefusals(Store(), replica="gw-1", clock=clock)
    counts.received("sbermarket", AT)
    for seconds in (1, 100, 200):
        clock.move_to(AT + timedelta(seconds=seconds))
        await counts.flush()
    assert dict(counts.totals()) == {"sbermarket": 1}
