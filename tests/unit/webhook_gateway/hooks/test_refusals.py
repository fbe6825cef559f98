"""Refusals are counted for the ledger, whatever the database does."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from common.clock import ManualClock
from common.contracts import intake
from common.contracts.intake import IntakeMessage
from common.errors import Unavailable
from webhook_gateway.hooks.refusals import CountRefusals
from webhook_gateway.hooks.store import Disowned, Refusals, RefusalStore

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
