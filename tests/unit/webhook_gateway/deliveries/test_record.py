"""What the recorder keeps and promises, and what an operator may send again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from common.clock import ManualClock
from common.contracts import intake
from common.contracts.alerts import ProblemRaisedV1, ProblemResolvedV1
from common.contracts.envelope import Envelope, parse
from common.contracts.intake import Hook
from common.contracts.journal import JournalEntryV1
from common.errors import NotFound, Unavailable, Unprocessable
from common.ids import derived_id, order_number
from webhook_gateway.deliveries.record import RecordDeliveries, endangered_fingerprint, outcome_of
from webhook_gateway.deliveries.replay import replay_delivery
from webhook_gateway.hooks.model import Outcome
from webhook_gateway.hooks.ports import (
    ArrivedOrder,
    AwaitedOrder,
    DeliveryRow,
    Disowned,
    EndangeredRow,
    Refusals,
    StoredDelivery,
)
from webhook_gateway.hooks.refusals import CountRefusals

AT = datetime(2026, 11, 21, 7, tzinfo=UTC)
PAYLOAD: dict[str, Any] = {"originalOrderId": "H1", "positions": [{"id": "1", "quantity": 2}]}
BODY = json.dumps({"event_type": "order.created", "payload": PAYLOAD}).encode()
NUMBER = order_number("sbermarket", "H1")
HOOK = Hook(
    type=intake.HOOK_RECEIVED,
    event_id="e",
    delivery_id="01a1fcc2-ffa5-76f2-8271-2bb638b97e43",
    source="sbermarket",
    event="order.created",
    body_form="envelope",
    body=BODY,
    received_at=AT,
    replica="gw-1",
    number=NUMBER,
    external_id="H1",
    status=200,
    headers='{"host":"x"}',
    traceparent="00-d89ee8df3b1cbae3cf864d924fbcf378-8c992dbd7342a936-01",
)
QUARANTINED = replace(HOOK, type=intake.HOOK_QUARANTINED, number=None, reason="not_json", status=400)
REFUSED = replace(
    HOOK,
    type=intake.WEBSITE_ORDER_REFUSED,
    source="website",
    number=None,
    body=json.dumps({"customer": {"phone": "+79990001122"}}).encode(),
    reason="banned",
    status=429,
    answer='{"code":"too_many_requests"}',
)


class Unit:
    def __init__(self) -> None:
        self.deliveries: list[DeliveryRow] = []
        self.endangered: list[EndangeredRow] = []
        self.awaited: list[AwaitedOrder] = []
        self.names: list[str] = []
        self.events: list[Envelope] = []

    async def save_deliveries(self, rows: Sequence[DeliveryRow]) -> None:
        self.deliveries += rows

    async def save_endangered(self, rows: Sequence[EndangeredRow]) -> None:
        self.endangered += rows

    async def settle_arrived(self, names: Sequence[str]) -> Sequence[ArrivedOrder]:
        self.names += names
        return [ArrivedOrder(endangered_id="e-1", number=NUMBER, arrived_at=AT) for name in names if name == "W-1"]

    async def expect_orders(self, orders: Sequence[AwaitedOrder]) -> None:
        self.awaited += orders

    async def publish(self, events: Sequence[Envelope]) -> None:
        self.events += events


class Desk:
    def __init__(self, *, delivery: StoredDelivery | None = None) -> None:
        self.stored = delivery
        self.events: list[Envelope] = []

    async def delivery(self, delivery_id: str) -> StoredDelivery | None:
        return self.stored

    async def publish(self, events: Sequence[Envelope]) -> None:
        self.events += events


async def recorded(*hooks: Hook) -> Unit:
    unit = Unit()
    await RecordDeliveries(public_url="https://gw/")(unit, hooks)
    return unit


async def test_every_delivery_of_an_order_stands_in_its_timeline_in_the_trace_of_the_hook() -> None:
    unit = await recorded(HOOK)
    assert unit.deliveries == [DeliveryRow(hook=HOOK, outcome="confirmed", replay_of=None, headers={"host": "x"})]
    [event] = unit.events
    assert (event.id, event.traceparent, event.subject) == (
        derived_id("journal", "webhook-gateway", HOOK.delivery_id),
        HOOK.traceparent,
        NUMBER,
    )
    assert parse(event, JournalEntryV1) == JournalEntryV1(
        order_number=NUMBER,
        service="webhook-gateway",
        kind="hook.received",
        actor="sbermarket",
        summary="order.created: confirmed",
        details={
            "event": "order.created",
            "outcome": "confirmed",
            "lane": "broker",
            "delivery_id": HOOK.delivery_id,
            "replica": "gw-1",
            "status": "200",
        },
        occurred_at=AT,
    )


async def test_every_acknowledged_created_order_is_awaited_from_the_orchestrator() -> None:
    accepted = replace(HOOK, type=intake.HOOK_QUARANTINED, reason="missing:payload.positions")
    changed = replace(HOOK, event="order.changed")
    unit = await recorded(HOOK, accepted, replace(accepted, status=422), changed, QUARANTINED, REFUSED)
    order = AwaitedOrder(number=NUMBER, source="sbermarket", external_id="H1", acknowledged_at=AT)
    assert unit.awaited == [order, order]


async def test_a_quarantined_delivery_raises_one_incident_per_source_and_reason() -> None:
    unit = await recorded(QUARANTINED, replace(QUARANTINED, delivery_id="another"))
    problems = [parse(event, ProblemRaisedV1) for event in unit.events]
    assert [problem.kind for problem in problems] == ["hook.quarantined", "hook.quarantined"]
    assert len({problem.fingerprint for problem in problems}) == 1
    assert problems[0].link == f"https://gw/admin/v1/deliveries/{HOOK.delivery_id}"


async def test_a_refused_website_order_is_endangered_and_alerts_with_masked_data() -> None:
    unit = await recorded(REFUSED)
    [row] = unit.endangered
    assert (row.status, row.category, row.answer, row.rescue.customer) == (
        429,
        "banned",
        {"code": "too_many_requests"},
        {"phone": "+79990001122"},
    )
    [event] = unit.events
    problem = parse(event, ProblemRaisedV1)
    assert (problem.kind, problem.severity, problem.details["phone"]) == (
        "website_order.endangered",
        "critical",
        "***22",
    )
    assert b"79990001122" not in event.encode()


async def test_a_basket_that_the_front_end_lost_is_endangered_and_no_delivery() -> None:
    reported = replace(
        REFUSED,
        type=intake.FRONTEND_ERROR_REPORTED,
        reason="front_end",
        status=0,
        answer=None,
        headers='{"link": "https://sentry.example/17"}',
    )
    unit = await recorded(reported)
    assert unit.deliveries == []
    [row] = unit.endangered
    assert (row.origin, row.link, row.category, row.status) == (
        "front_end",
        "https://sentry.example/17",
        "front_end",
        0,
    )
    [problem] = [parse(event, ProblemRaisedV1) for event in unit.events]
    assert problem.summary.startswith("Заказ с сайта под угрозой: сайт сообщил об ошибке с корзиной.")


async def test_an_endangered_order_that_the_website_sends_again_ends_its_incident() -> None:
    taken = replace(HOOK, source="website", external_id="W-1")
    unit = await recorded(taken, replace(taken, delivery_id="again", reason="replay:x"), HOOK)
    assert unit.names == ["W-1"]
    [over] = [parse(event, ProblemResolvedV1) for event in unit.events if event.type == ProblemResolvedV1.TYPE]
    assert over.fingerprint == endangered_fingerprint("e-1")


@pytest.mark.parametrize(
    ("hook", "outcome"),
    [
        (HOOK, Outcome.CONFIRMED),
        (replace(HOOK, lane="spool"), Outcome.SPOOLED),
        (replace(HOOK, type=intake.HOOK_IGNORED), Outcome.CONFIRMED),
        (replace(QUARANTINED, lane="spool"), Outcome.QUARANTINED),
        (REFUSED, Outcome.REFUSED),
        (replace(HOOK, reason="replay:x"), Outcome.REPLAYED),
    ],
)
def test_every_delivery_has_one_outcome(hook: Hook, outcome: Outcome) -> None:
    assert outcome_of(hook) is outcome


def stored(body: bytes = BODY) -> StoredDelivery:
    return StoredDelivery(
        id=HOOK.delivery_id,
        type=intake.HOOK_QUARANTINED,
        source="sbermarket",
        event="order.created",
        body_form="envelope",
        body=body,
        received_at=AT,
        number=NUMBER,
        external_id="H1",
        sent_at=None,
        digest=None,
        currency="RUB",
    )


async def test_a_replayed_delivery_is_a_new_event_about_the_same_order() -> None:
    desk = Desk(delivery=stored())
    hook = await replay_delivery(desk, HOOK.delivery_id, mended=None, now=AT, replica="gw-1", traceparent=None)
    assert (hook.type, hook.number, hook.body, hook.reason) == (
        intake.HOOK_RECEIVED,
        NUMBER,
        BODY,
        f"replay:{HOOK.delivery_id}",
    )
    assert hook.event_id != HOOK.event_id
    assert [Hook.from_envelope(event) for event in desk.events] == [hook]


async def test_a_broken_delivery_is_replayed_only_mended() -> None:
    desk = Desk(delivery=stored(b"{"))
    with pytest.raises(Unprocessable):
        await replay_delivery(desk, HOOK.delivery_id, mended=None, now=AT, replica="gw-1", traceparent=None)
    assert desk.events == []
    mended = {"event_type": "order.paid", "payload": PAYLOAD}
    hook = await replay_delivery(desk, HOOK.delivery_id, mended=mended, now=AT, replica="gw-1", traceparent=None)
    assert (hook.event, hook.number, len(desk.events)) == ("order.paid", NUMBER, 1)


async def test_what_is_not_kept_cannot_be_replayed() -> None:
    with pytest.raises(NotFound):
        await replay_delivery(Desk(), "x", mended=None, now=AT, replica="gw-1", traceparent=None)


class Store:
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


async def test_what_is_answered_503_after_a_lane_may_have_taken_it_is_disowned_once() -> None:
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
