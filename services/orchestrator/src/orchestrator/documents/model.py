"""The order's document (voucher): what was bought, for how much, by whom, where to and when. Deterministic."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from common.money import to_decimal_string
from common.reading import Line, line_total
from orchestrator.orders.model import OrderState

CONTENT_TYPE = "text/plain; charset=utf-8"
_UNKNOWN = "–"
CUSTOMER, PHONE, MAIL, ADDRESS = PERSONAL = ("Customer ", "Phone ", "Mail ", "Address ")
"""How the lines with a customer's data begin. No other line begins so: goods are numbered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One version of an order's document. Equal content has an equal digest."""

    order_number: str
    version: int
    digest: str
    content_type: str
    content: str
    order_revision: int
    issued_at: datetime
    issued_by: str
    reason: str


def render(order: OrderState) -> str:
    """Return the document of an order: equal orders give equal documents, to the byte."""
    currency = order.currency
    rows = [
        f"Order {order.number}",
        f"Of {order.source}, {order.external_id}",
        f"Store {order.store_id or _UNKNOWN}",
        f"Paid by {order.payment_method or _UNKNOWN}",
        *_delivery(order),
        "",
        *(
            f"{number}. {_flat(line.name or line.id)} | {_quantity(line)} | {_sum(line, currency)}"
            for number, line in enumerate(order.lines, 1)
        ),
        "",
        f"Total {_UNKNOWN if order.cost is None else to_decimal_string(order.cost, currency)} {currency}",
    ]
    return "\n".join(rows) + "\n"


def without_customer(content: str) -> str:
    """Return a document with nothing of the customer in it: that of the same order without a customer, to the byte."""
    return "\n".join(line for line in content.split("\n") if not line.startswith(PERSONAL))


def digest(content: str) -> str:
    """Return what is equal for equal documents."""
    return hashlib.sha256(content.encode()).hexdigest()


def _delivery(order: OrderState) -> list[str]:
    """What is known of customer, address and window; nothing where nothing is, so that older documents stay equal."""
    customer, address, window = order.customer, order.address, order.delivery_window
    said = (
        (CUSTOMER, None if customer is None else customer.name),
        (PHONE, None if customer is None else customer.phone),
        (MAIL, None if customer is None else customer.email),
        (ADDRESS, None if address is None else address.full),
        ("Delivery ", None if window is None else window.full),
    )
    return [f"{label}{_flat(value)}" for label, value in said if value]


def _quantity(line: Line) -> str:
    return _UNKNOWN if line.quantity is None else f"{line.quantity.normalize():f}"


def _sum(line: Line, currency: str) -> str:
    total = line_total(line)
    return _UNKNOWN if total is None else to_decimal_string(total, currency)


def _flat(text: str) -> str:
    """One line, whatever a marketplace wrote."""
    return " ".join(text.split())
