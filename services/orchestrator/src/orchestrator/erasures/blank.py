"""What stays of an order and of a line of its timeline when the customer is taken out of it. Pure.

Goods, sums, ids and moments stay: only whose the order was is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchestrator.orders.model import PERSONAL, Difference, OrderState


def blank_state(order: OrderState) -> OrderState:
    """Return the order without the customer, also in the incidents that it had; when it was awaited stays."""
    incidents = tuple(replace(item, difference=_blank_difference(item.difference)) for item in order.incidents)
    return replace(order, customer=None, address=None, comment=None, cancel_description=None, incidents=incidents)


def blank_details(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return the details of a line of a timeline without what is a customer's."""
    return {name: value for name, value in details.items() if name not in PERSONAL}


def _blank_difference(difference: Difference) -> Difference:
    fields = tuple(
        (name, None, None) if name in PERSONAL else (name, before, after) for name, before, after in difference.fields
    )
    return replace(difference, fields=fields)
