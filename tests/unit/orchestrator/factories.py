"""An order for tests of what follows it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from common.reading import Address, Contact, Line
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


def of_anna() -> OrderState:
    """The order of ``STATE`` with a customer and an address."""
    contact = Contact(name="Анна Смирнова", phone="+79161234567", email="a@example.org")
    address = Address(parts=(("city", "Москва"), ("street", "Тверская"), ("house", "1")))
    return replace(STATE, customer=contact, address=address)
