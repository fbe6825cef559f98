"""The body of a hook: numbers as strings and strings as numbers, what is missing, what does not fit."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from common.contracts.intake import HOOK_RECEIVED, IntakeMessage
from common.errors import Unprocessable
from common.ids import order_number
from common.reading import Line
from orchestrator.engine.model import ORDER_LIFE, NewEvent, WorkflowEvent
from orchestrator.orders.hooks import UnreadableHook, event_id_of, read_all, read_facts, to_fact, to_workflow_event
from orchestrator.orders.mend_hook import mend_hook
from orchestrator.orders.model import HookType, OrderFact

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)


def intake(event: str = "order.created", body: bytes = b"{}", **more: Any) -> IntakeMessage:
    values: dict[str, Any] = {
        "type": HOOK_RECEIVED,
        "event_id": "id-1",
        "delivery_id": "d-1",
        "source": "sbermarket",
        "event": event,
        "body_form": "payload",
        "body": body,
        "received_at": NOW,
        "replica": "g1",
        "external_id": "H1",
        "sent_at": "2026-11-21T07:00:00+00:00",
        "digest": "d1",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    return IntakeMessage(**{**values, **more})


def event(payload: Any, *, name: str = "order.created", form: str = "payload", **attributes: str) -> WorkflowEvent:
    return WorkflowEvent(
        seq=3,
        type=name,
        event_id="e",
        attributes={"source": "sbermarket", "external_id": "H1", "body_form": form, **attributes},
        payload=payload if isinstance(payload, bytes) else json.dumps(payload).encode(),
        traceparent=None,
        received_at=NOW,
    )


def test_an_intake_event_becomes_a_workflow_event_with_the_body_untouched() -> None:
    body = b'{ "originalOrderId":"H1" }'
    event = WorkflowEvent(
        type="order.created",
        event_id="id-1:d1",
        attributes={
            "source": "sbermarket",
            "external_id": "H1",
            "body_form": "payload",
            "delivery_id": "d-1",
            "lane": "broker",
            "sent_at": "2026-11-21T07:00:00+00:00",
            "digest": "d1",
        },
        payload=body,
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        received_at=NOW,
    )
    assert to_workflow_event(intake(body=body).to_envelope()) == NewEvent(
        order_number=order_number("sbermarket", "H1"), kind=ORDER_LIFE, event=event
    )


def test_only_a_repeat_of_created_with_another_content_is_another_event() -> None:
    assert event_id_of(intake().to_envelope()) == event_id_of(intake(delivery_id="d-2").to_envelope())
    assert event_id_of(intake().to_envelope()) != event_id_of(intake(digest="d2").to_envelope())
    assert event_id_of(intake("order.paid").to_envelope()) == "id-1"


@pytest.mark.parametrize("change", [{"external_id": None}, {"event": "courier.assigned"}])
def test_what_is_no_hook_of_an_order_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"externalid|courier\.assigned"):
        to_workflow_event(intake(**change).to_envelope())


def test_everything_the_contract_names_is_read_whatever_its_json_type() -> None:
    payload = {
        "originalOrderId": "H1",
        "storeID": 17,
        "comment": "left at\x00 the door",
        "shipmentMethod": "by_courier",
        "replacementPolicy": "call",
        "payment": {"method": "card", "id": 991},
        "zone": "moscow",
        "tariff": "express",
        "unknown": {"kept": "elsewhere"},
        "positions": [
            {"id": 5, "name": "Milk", "originalQuantity": "2", "quantity": 2.50, "price": 85.1, "discountPrice": "80,00",
             "weight": "0.5", "totalPrice": "170.00", "totalDiscountPrice": 160, "more": 1},
        ],
        "total": {"totalPrice": "170.00", "discountTotalPrice": 160.0},
    }  # fmt: skip
    read = to_fact(event({"event_type": "x", "payload": payload}, form="envelope", sent_at="2026-11-21T10:00:00+03:00"))
    assert read == OrderFact(
        hook=HookType.CREATED,
        event_id="e",
        arrival=3,
        source="sbermarket",
        external_id="H1",
        received_at=NOW,
        sent_at=NOW,
        lines=(
            Line(
                id="5", name="Milk", quantity=Decimal("2.5"), original_quantity=Decimal(2), price=8510, discount_price=8000,
                total_price=17000, total_discount_price=16000, weight=Decimal("0.5"),
            ),
        ),
        store_id="17",
        zone="moscow",
        tariff="express",
        comment="left at the door",
        shipment_method="by_courier",
        replacement_policy="call",
        currency="RUB",
        payment_method="card",
        payment_id="991",
        total_price=17000,
        total_discount_price=16000,
    )  # fmt: skip


def test_a_hook_that_only_names_its_order_is_enough() -> None:
    read = to_fact(event({"originalOrderId": "H1"}, name="order.cancelled"))
    assert (read.lines, read.sent_at, read.moment, read.slug) == (None, None, NOW, None)


def test_the_source_s_currency_is_taken_where_the_body_names_none() -> None:
    read = to_fact(event({"total": {"totalPrice": "12.5"}}, name="order.paid", currency="KWD"))
    assert (read.currency, read.total_price) == ("KWD", 12500)


def test_later_hooks_are_read_in_the_order_s_currency() -> None:
    later = event({"total": {"totalPrice": "850"}}, name="order.paid")
    created = event({"currency": "jpy", "positions": [{"id": "a", "quantity": 1, "price": 85}]})
    facts = read_all([later, created])
    assert [(fact.currency, fact.total_price) for fact in facts] == [("JPY", None), ("JPY", 850)]
    assert to_fact(later, "JPY").total_price == 850


def test_what_the_gateway_could_read_is_read_in_the_currency_that_it_read_it_in() -> None:
    later = event({"total": {"totalPrice": "85,5"}}, name="order.paid", currency="RUB")
    fact = to_fact(later, "JPY")
    assert (fact.currency, fact.total_price) == ("RUB", 8550)


@pytest.mark.parametrize(("named", "known"), [(" H1 ", "H1"), (7.0, "7"), ("7", "7")])
def test_a_mended_hook_is_of_its_order_however_its_id_is_written(named: object, known: str) -> None:
    broken = event({"positions": "none"}, name="order.paid", external_id=known)
    assert mend_hook(broken, {"originalOrderId": named, "positions": []}, None).attributes["external_id"] == known


def test_a_total_in_words_that_a_person_enters_is_named() -> None:
    """Of a hook that the release before answered with a yes it is left out; at another time, too."""
    said = {"positions": [{"id": "a", "quantity": 1, "price": 5}], "total": "5"}
    with pytest.raises(Unprocessable, match="total"):
        mend_hook(event({"positions": "none"}, name="order.changed"), said, None)
    assert to_fact(mend_hook(event(said, name="order.changed"), None, NOW)).total_price is None


def test_one_unreadable_hook_harms_no_other_of_its_order() -> None:
    good = event({"positions": [{"id": "a", "quantity": 1}]})
    bad = event({"positions": [{"id": "a", "quantity": -1}]}, name="order.changed")
    fact, error = read_facts([good, bad])
    assert (isinstance(fact, OrderFact), isinstance(error, UnreadableHook)) == (True, True)


def test_json_that_only_a_lenient_reader_takes_is_read() -> None:
    assert to_fact(event(b'\xef\xbb\xbf{"comment": "a\xffb"}', name="order.paid")).comment == "a\ufffdb"


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"not json", "the body is no JSON"),
        ([], "the payload is no JSON object"),
        ({"positions": {}}, "positions: positions are a list"),
        ({"positions": []}, "positions: an order has at least one position"),
        ({"positions": ["a"]}, r"positions\.0: a position is an object"),
        ({"positions": [{"quantity": 1}]}, r"positions\.0\.id: a position needs an id"),
        ({"positions": [{"id": "a", "quantity": "many"}]}, r"positions\.0\.quantity: a number is needed"),
        ({"positions": [{"id": "a", "quantity": True}]}, r"positions\.0\.quantity: a number is needed"),
        ({"positions": [{"id": "a", "quantity": "1e300"}]}, "too large"),
        ({"positions": [{"id": "a", "quantity": 1, "price": "Infinity"}]}, r"positions\.0\.price: a number is needed"),
        ({"positions": [{"id": "a", "quantity": 1, "price": []}]}, r"positions\.0\.price: a number is needed"),
        ({"currency": "XYZ", "positions": [{"id": "a", "quantity": 1}]}, "currency: a currency is written"),
    ],
)
def test_what_does_not_fit_is_named(payload: Any, message: str) -> None:
    with pytest.raises(UnreadableHook, match=message):
        to_fact(event(payload))
