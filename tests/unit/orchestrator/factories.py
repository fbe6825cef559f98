"""An order for tests of what follows it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from common.reading import Line
from orchestrator.orders.model import Key, OrderState, Status

END = datetime(2026, 11, 21, 10, tzinfo=UTC)
STATE = OrderState(
    number="7Q3M0V9XK2TDW8RC", source="sm", external_id="H1", status=Status.PAID, created_at=END, last=Key(True, END, 1, 1),
    closed=True, paid=True, store_id="17", payment_method="card", payment_id="p", total_price=35_500,
    lines=(
        Line(id="a", name="Milk\n of cows", quantity=Decimal("3.00"), price=8_500),
        Line(id="b", quantity=Decimal(1), total_price=10_000),
    ),
)  # fmt: skip
