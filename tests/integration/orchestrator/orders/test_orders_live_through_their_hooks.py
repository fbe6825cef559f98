"""Hooks in, orders and events out, over RabbitMQ and PostgreSQL."""

from __future__ import annotations

from collections import Counter
from typing import Any

from common.contracts.envelope import Envelope
from common.contracts.journal import JournalEntryV1
from common.contracts.refunds import RefundStateChangedV1
from tests.support.servers import eventually

TRACE = "0af7651916cd43dd8448eb211c80319c"


async def reached(api: Any, number: str, status: str) -> Any:
    """The order once it is in this status."""

    async def probe() -> Any:
        order = await api.order(number)
        assert order["status"] == status
        return order

    return await eventually(probe, what=f"order {number} is {status}")


async def test_an_order_lives_through_all_its_hooks(start: Any, gateway: Any, listener: Any) -> None:
    api = await start()
    number, position = gateway.number("H1"), gateway.position
    await gateway.send(
        gateway.hook("H1", "order.created", minute=1, positions=[position("a"), position("b", 1)], zone="moscow",
                     tariff="express", payment={"method": "card", "id": "pay-1"}),
        gateway.hook("H1", "order.changed", minute=2, positions=[position("a", "3")]),
        gateway.hook("H1", "order.paid", minute=3, positions=[position("a", 3, "80.00")]),
        gateway.hook("H1", "order.received", minute=4),
        gateway.hook("H1", "order.delivered", minute=5),
    )  # fmt: skip
    order = await reached(api, number, "delivered")
    updated_at = order.pop("updated_at")
    assert order == {
        "number": number,
        "source": "sbermarket",
        "external_id": "H1",
        "status": "delivered",
        "aggregate_state": "finished",
        "closed_for_changes": True,
        "shipped": True,
        "version": 5,
        "positions": [
            {"id": "a", "name": None, "quantity": "3", "original_quantity": "3", "price": 8000, "discount_price": None,
             "total_price": None, "total_discount_price": None, "weight": None, "replaces": None}
        ],
        "totals": {"currency": "RUB", "total_price": 24000, "total_discount_price": None, "cost": 24000},
        "payment": {"method": "card", "id": "pay-1", "paid": True, "paid_at": "2026-11-21T10:03:00Z", "refunded": False},
        "tips": {"amount": 0, "type": None, "choice": None, "done": False, "feedback_at": None, "held_amount": None,
                 "held_at": None},
        "zone": "moscow",
        "tariff": "express",
        "store_id": "17",
        "customer": None,
        "address": None,
        "delivery_window": None,
        "comment": None,
        "shipment_method": None,
        "replacement_policy": None,
        "cancellation": None,
        "incidents": [],
        "created_at": "2026-11-21T10:01:00Z",
        "shipped_at": "2026-11-21T10:04:00Z",
        "finished_at": "2026-11-21T10:05:00Z",
        "cancelled_at": None,
    }  # fmt: skip
    assert await api.get("/orders/v1/orders?source=sbermarket&external_id=H1") == {**order, "updated_at": updated_at}

    events = await listener.gather("notifier.orders", 5)
    assert [(event.type, event.data["notify"], event.data["order"]["version"]) for event in events] == [
        ("orders.order.created.v1", True, 1),
        ("orders.order.changed.v1", True, 2),
        ("orders.order.paid.v1", False, 3),
        ("orders.order.received.v1", False, 4),
        ("orders.order.delivered.v1", False, 5),
    ]
    movements = await api.all("/admin/v1/stock-movements?store_id=17")
    assert [(item["number"], item["position_id"], item["quantity"], item["kind"]) for item in movements] == [
        (number, "a", "-3", "shipment")
    ]

    async def whole_story() -> Any:
        story = await api.all(f"/admin/v1/orders/{number}/timeline")
        assert Counter(item["kind"] for item in story) == Counter(
            {
                "hook.received": 5,
                "order.create": 1,
                "order.change": 1,
                "order.pay": 1,
                "order.receive": 1,
                "order.deliver": 1,
                "document.issued": 1,
                "transactions.updated": 1,
            }
        )
        return story

    story = await eventually(whole_story, what="what follows the order's end has been done")
    assert [item["at"] for item in story] == sorted(item["at"] for item in story)


async def test_one_trace_leads_from_the_hook_to_the_events(start: Any, gateway: Any, listener: Any) -> None:
    api = await start()
    number = gateway.number("T1")
    await gateway.send(
        gateway.hook(
            "T1", "order.created", positions=[gateway.position("a")], traceparent=f"00-{TRACE}-b7ad6b7169203331-01"
        )
    )
    event = (await listener.gather("notifier.orders", 1))[0]
    assert event.traceparent.split("-")[1] == TRACE
    story = await api.all(f"/admin/v1/orders/{number}/timeline")
    assert [item["trace_id"] for item in story] == [TRACE, TRACE]


async def test_events_before_created_are_parked_alerted_and_applied_when_it_comes(
    start: Any, gateway: Any, listener: Any
) -> None:
    api = await start(parking_limit=0.2)
    number = gateway.number("P1")
    await gateway.send(
        gateway.hook("P1", "order.paid", minute=3, positions=[gateway.position("a", 1)]),
        gateway.hook("P1", "order.received", minute=4),
    )
    raised = (await listener.gather("notifier.alerts", 1))[0]
    assert (raised.data["kind"], raised.data["order_number"]) == ("order_never_created", number)
    assert (await api.call("GET", f"/orders/v1/orders/{number}"))[0] == 404
    await gateway.send(gateway.hook("P1", "order.created", minute=1, positions=[gateway.position("a", 2)]))
    order = await reached(api, number, "received")
    assert [item["quantity"] for item in order["positions"]] == ["1"]
    resolved = (await listener.gather("notifier.alerts", 1))[0]
    assert (resolved.type, resolved.data["fingerprint"]) == ("alerts.problem.resolved.v1", raised.data["fingerprint"])
    announced = await listener.gather("notifier.orders", 3)
    assert [event.type.split(".")[2] for event in announced] == ["created", "paid", "received"]
    assert await api.all(f"/admin/v1/stock-movements?number={number}") != []


async def test_a_late_older_change_corrects_the_stock_and_tells_the_store(
    start: Any, gateway: Any, listener: Any
) -> None:
    api = await start()
    number = gateway.number("L1")
    await gateway.send(
        gateway.hook("L1", "order.created", minute=1, positions=[gateway.position("a", 2)]),
        gateway.hook("L1", "order.received", minute=4),
    )
    await reached(api, number, "received")
    await gateway.send(gateway.hook("L1", "order.changed", minute=2, positions=[gateway.position("a", 3)]))

    async def corrected() -> Any:
        movements = await api.all(f"/admin/v1/stock-movements?number={number}")
        assert [(item["quantity"], item["kind"]) for item in movements] == [("-2", "shipment"), ("-1", "correction")]
        return True

    await eventually(corrected)
    announced = await listener.gather("notifier.orders", 4)
    assert [(event.type.split(".")[2], event.data["notify"]) for event in announced] == [
        ("created", True),
        ("received", False),
        ("changed", True),
        ("corrected", False),
    ]


async def test_a_repeated_created_is_one_order_with_another_content_an_incident(
    start: Any, gateway: Any, listener: Any
) -> None:
    api = await start()
    number = gateway.number("D1")
    first = gateway.hook("D1", "order.created", minute=1, positions=[gateway.position("a", 2)])
    await gateway.send(
        first, first, gateway.hook("D1", "order.created", minute=1, positions=[gateway.position("a", 9)])
    )
    problem = (await listener.gather("notifier.alerts", 1))[0]
    assert problem.data["kind"] == "order_created_differs"
    order = await api.order(number)
    assert ([item["quantity"] for item in order["positions"]], order["version"]) == (["2"], 1)
    assert [item["kind"] for item in order["incidents"]] == ["order_created_differs"]
    assert len(await listener.gather("notifier.orders", 1)) == 1


async def test_a_cancelled_paid_order_asks_for_its_money_and_is_shown_as_refunded(
    start: Any, gateway: Any, listener: Any
) -> None:
    api = await start()
    number = gateway.number("R1")
    await gateway.send(
        gateway.hook(
            "R1", "order.created", minute=1, positions=[gateway.position("a", 1, "10.00")], payment={"id": "pay"}
        ),
        gateway.hook("R1", "order.paid", minute=2),
        gateway.hook("R1", "order.cancelled", minute=3, cancellation={"slug": "store_closed", "description": "shut"}),
    )
    order = await reached(api, number, "cancelled")
    assert order["cancellation"] == {
        "slug": "store_closed",
        "description": "***",
    }  # a viewer's: it may name the customer
    wanted = (await listener.gather("refunds.wanted", 1))[0]
    assert wanted.data == {
        "order_number": number,
        "payment_id": "pay",
        "amount": None,
        "currency": "RUB",
        "reason": "store_closed",
        "business_key": f"{number}:cancel",
        "lines": [],
        "source": "sbermarket",
    }
    for version, (state, name) in enumerate(((2, "CREATE"), (5, "SUCCESS"))):
        message = RefundStateChangedV1(
            refund_id="r1", order_number=number, payment_id="pay", business_key=f"{number}:cancel", state=state,
            state_name=name, version=version, attempt=1, amount=1000, currency="RUB", reason="x", occurred_at="2026-11-21T11:00:00Z",
        )  # fmt: skip
        await gateway.broker.publisher.publish(
            Envelope.of(message, event_id=f"r1:{version}", source="/refunds", subject=number, time=message.occurred_at)
        )

    async def refunded() -> Any:
        assert (await api.order(number))["payment"]["refunded"] is True
        return True

    await eventually(refunded)
    # The refunds service tells the timeline of its states itself, by its journal.
    story = await api.all(f"/admin/v1/orders/{number}/timeline")
    assert [item["kind"] for item in story if item["kind"].startswith("refund.")] == ["refund.wanted"]


async def test_what_other_services_note_stands_in_the_timeline_once(start: Any, gateway: Any) -> None:
    api = await start()
    number = gateway.number("J1")
    entry = JournalEntryV1(
        order_number=number, service="notifier", kind="chat_message.sent", actor="notifier", summary="Told the pickers",
        details={"chat": "17"}, occurred_at="2026-11-21T10:00:00Z",
    )  # fmt: skip
    envelope = Envelope.of(entry, event_id="j1", source="/notifier", subject=number, time=entry.occurred_at)
    for _ in range(3):
        await gateway.broker.publisher.publish(envelope)

    async def noted() -> Any:
        return await api.all(f"/admin/v1/orders/{number}/timeline")

    assert await eventually(noted) == [
        {
            "at": "2026-11-21T10:00:00Z",
            "service": "notifier",
            "kind": "chat_message.sent",
            "actor": "notifier",
            "summary": "Told the pickers",
            "details": {"chat": "17"},
            "trace_id": None,
        }
    ]


async def test_an_unreadable_hook_crashes_its_own_workflow_and_no_other(
    start: Any, gateway: Any, listener: Any
) -> None:
    api = await start()
    bad, good = gateway.number("B1"), gateway.number("B2")
    await gateway.send(
        gateway.hook("B1", "order.created", positions=[{"id": "a", "quantity": "a few"}]),
        gateway.hook("B2", "order.created", positions=[gateway.position("a")]),
    )
    await reached(api, good, "created")
    events = await listener.gather("notifier.orders", 2)
    crash = next(event for event in events if event.type == "orders.workflow.crashed.v1")
    assert (crash.data["order_number"], crash.data["event_type"]) == (bad, "order.created")
    workflows = await api.all("/admin/v1/workflows?state=crashed")
    assert [(item["order_number"], item["state"], item["failed_events"]) for item in workflows] == [(bad, 4, 1)]
    assert "positions.0.quantity: a number is needed" in workflows[0]["error"]
