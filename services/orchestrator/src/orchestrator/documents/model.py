"""The order's document (voucher): what was bought, and for how much. Deterministic; no customer's data is in it."""

from __future__ import annotations

import hashlib

from common.money import to_decimal_string
from orchestrator.orders.events import Line
from orchestrator.orders.lines import line_total
from orchestrator.orders.model import OrderState

CONTENT_TYPE = "text/plain; charset=utf-8"
_UNKNOWN = "–"


def render(order: OrderState) -> str:
    """Return the document of an order: equal orders give equal documents, to the byte."""
    currency = order.currency
    rows = [
        f"Order {order.number}",
        f"Of {order.source}, {order.external_id}",
        f"Store {order.store_id or _UNKNOWN}",
        f"Paid by {order.payment_method or _UNKNOWN}",
        "",
        *(
            f"{number}. {_flat(line.name or line.id)} | {_quantity(line)} | {_sum(line, currency)}"
            for number, line in enumerate(order.lines, 1)
        ),
        "",
        f"Total {_UNKNOWN if order.cost is None else to_decimal_string(order.cost, currency)} {currency}",
    ]
    return "\n".join(rows) + "\n"


def digest(content: str) -> str:
    """Return what is equal for equal documents."""
    return hashlib.sha256(content.encode()).hexdigest()


def _quantity(line: Line) -> str:
    return _UNKNOWN if line.quantity is None else f"{line.quantity.normalize():f}"


def _sum(line: Line, currency: str) -> str:
    total = line_total(line)
    return _UNKNOWN if total is None else to_decimal_string(total, currency)


def _flat(text: str) -> str:
    """One line, whatever a marketplace wrote."""
    return " ".join(text.split())
