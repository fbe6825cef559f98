"""A payment that nothing was asked back of yet: refunds does not know it, its order does."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from console.client.suite import RefusedError, Suite
from console.client.things import THINGS


async def read_payment(suite: Suite, name: str) -> Mapping[str, Any]:
    """Return a payment as refunds has it, else what the orders say that were paid by it, and that no refund was asked yet.

    ``RefusedError`` with status 404 where nobody knows it.
    """
    try:
        return await THINGS["payment"].read(suite, name)
    except RefusedError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        orders = (await THINGS["order"].page(suite.without_customers(), payment_id=name)).items
        if not orders:
            raise
    return {
        "payment_id": name,
        "captured": None,
        "refunded": 0,
        "reserved": 0,
        "left": None,
        "refunds": 0,
        "orders": [
            {"number": each["number"], "status": each["status"], "cost": each["cost"], "currency": each["currency"]}
            for each in orders
        ],
    }
