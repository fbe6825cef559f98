"""What an order's life tells the order's other workflows."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.orders.followers import follower_events
from orchestrator.orders.model import OrderState, Status
from tests.unit.orchestrator.factories import END, STATE


def followers(before: OrderState | None, after: OrderState, *, refund: bool = False) -> list[tuple[str, str, str]]:
    events = follower_events(before, after, refund=refund, seq=1, now=END, traceparent=None)
    return [(event.kind, event.key, event.event.type) for event in events]


def test_each_workflow_of_an_order_is_notified_of_what_concerns_it() -> None:
    created = replace(STATE, status=Status.CREATED, closed=False, paid=False)
    received = replace(STATE, status=Status.RECEIVED, shipped=True)
    delivered = replace(received, status=Status.DELIVERED, finished_at=END)
    cancelled = replace(STATE, status=Status.CANCELLED)
    assert [
        followers(None, created),
        followers(created, STATE),
        followers(STATE, received),
        followers(received, delivered),
        followers(None, delivered),
        followers(delivered, replace(delivered, total_price=1)),
        followers(delivered, cancelled, refund=True),
    ] == [
        [],
        [("order_document", "", "order.closed")],
        [],
        [("update_transactions", "", "order.finished")],
        [("update_transactions", "", "order.finished"), ("order_document", "", "order.closed")],
        [("update_transactions", "", "order.changed"), ("order_document", "", "order.changed")],
        [
            ("update_transactions", "", "order.changed"),
            ("refund_request", f"{STATE.number}:cancel", "refund.published"),
        ],
    ]
