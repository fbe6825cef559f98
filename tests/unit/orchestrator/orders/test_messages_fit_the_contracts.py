"""The hand-encoded events are exactly what the models of ``common.contracts`` would write."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from common.contracts import MESSAGES
from common.contracts.envelope import Envelope
from common.reading import Contact, Line
from orchestrator.orders import messages
from orchestrator.orders.decisions import Announcement
from orchestrator.orders.model import (
    Difference,
    HookType,
    Incident,
    IncidentKind,
    Key,
    LineChange,
    OrderFact,
    OrderState,
    Status,
)

NOW = datetime(2026, 11, 21, 7, 0, 0, 123456, tzinfo=UTC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LINE = Line(
    id="a", name="Milk", quantity=Decimal("2.500"), original_quantity=Decimal(2), price=8500, discount_price=8000,
    total_price=17000, total_discount_price=16000, weight=Decimal("0.5"),
)  # fmt: skip
DIFFERENCE = Difference(
    added=(LINE,),
    removed=(replace(LINE, id="b", price=None),),
    changed=(LineChange(LINE, replace(LINE, quantity=Decimal(3))),),
    fields=(("comment", None, "ring twice"), ("total_price", "1", "2")),
)
STATE = OrderState(
    number="7Q3M0V9XK2TDW8RC", source="sm", external_id="H1", status=Status.CANCELLED, created_at=NOW,
    last=Key(True, NOW, 5, 9), closed=True, store_id="17", comment="ring twice", shipment_method="by_courier",
    replacement_policy="call", payment_method="card", payment_id="p", total_price=17000, total_discount_price=16000,
    lines=(LINE,), cancel_slug="store_closed", cancel_description="shut",
)  # fmt: skip


def announcement(hook: HookType, *, correction: bool = False) -> Announcement:
    fact = OrderFact(
        hook=hook, event_id=f"e of {hook}", arrival=1, source="sm", external_id="H1", received_at=NOW, sent_at=NOW
    )
    return Announcement(fact, STATE, True, DIFFERENCE, correction)


@pytest.mark.parametrize("correction", [False, True])
@pytest.mark.parametrize("hook", list(HookType))
def test_order_events_are_what_the_models_would_write(hook: HookType, correction: bool) -> None:
    item = announcement(hook, correction=correction)
    kind, body = messages.announcement(item, version=7, zone="moscow", tariff="express", now=NOW, traceparent=TRACE)
    envelope = Envelope.decode(body)
    model = MESSAGES[kind].model_validate(envelope.data)
    assert model.model_dump(mode="json") == envelope.data
    again = Envelope.of(
        model, event_id=envelope.id, source="/orchestrator", subject=STATE.number, time=NOW, traceparent=TRACE
    )
    way = envelope.model_extra
    assert way == {"receivedat": "2026-11-21T07:00:00.123456Z"}  # what else may be known of the hook's way is unusual
    assert Envelope.decode(again.encode()).model_dump() | way == envelope.model_dump()


def test_what_goes_to_chats_names_no_customer_in_the_texts_either() -> None:
    order = replace(
        STATE,
        customer=Contact(name="Ольга Смирнова"),
        comment="Позовите Ольгу",
        cancel_description="смирнова передумала",
    )
    difference = replace(
        DIFFERENCE,
        fields=(("comment", "Ивану у двери", "Ольге"), ("customer.name", "Иван", "Ольга Смирнова")),
    )
    sent = b""
    for hook in (HookType.CHANGED, HookType.CANCELLED):
        item = replace(announcement(hook), order=order, difference=difference)
        sent += messages.announcement(item, version=7, zone="z", tariff="t", now=NOW, traceparent=None)[1]
    text = sent.decode()
    assert "Позовите О***" in text
    assert "с*** передумала" in text
    assert not [name for name in ("Ольг", "мирнов", "Иван") if name in text]


def test_the_same_fact_has_the_same_id_and_another_fact_another() -> None:
    def identity(item: Announcement) -> str:
        _, body = messages.announcement(item, version=1, zone="z", tariff="t", now=NOW, traceparent=None)
        return Envelope.decode(body).id

    created = announcement(HookType.CREATED)
    assert identity(created) == identity(created)
    assert len({identity(announcement(hook)) for hook in HookType}) == len(HookType)


def test_an_incident_says_what_differs_and_no_customer_s_words() -> None:
    incident = Incident(IncidentKind.CHANGED_AFTER_CLOSING, "e", HookType.CHANGED, NOW, DIFFERENCE)
    _, body = messages.problem_raised(incident, STATE, seq=1, zone="moscow", now=NOW, traceparent=TRACE)
    data = Envelope.decode(body).data or {}
    assert data["details"] == {
        "hook": "order.changed",
        "status": "cancelled",
        "sent_at": "2026-11-21T07:00:00.123456+00:00",
        "added": "a: 2.5 × 85.00",
        "removed": "b: 2.5",
        "changed": "a: 2.5 × 85.00 → a: 3 × 85.00",
        "comment": "changed",
        "total_price": "0.01 → 0.02",
    }
    assert b"ring twice" not in body


def test_a_refund_is_asked_for_once_an_order() -> None:
    first = Envelope.decode(messages.refund_requested(STATE, now=NOW, traceparent=None)[1])
    second = Envelope.decode(messages.refund_requested(replace(STATE, cancel_slug=None), now=NOW, traceparent=None)[1])
    assert first.id == second.id
    assert first.data == {
        "order_number": "7Q3M0V9XK2TDW8RC",
        "payment_id": "p",
        "amount": None,
        "currency": "RUB",
        "reason": "store_closed",
        "business_key": "7Q3M0V9XK2TDW8RC:cancel",
        "lines": [],
        "source": "sm",
    }
