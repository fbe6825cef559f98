"""Finding the order that a caller asks about."""

from __future__ import annotations

from tips.errors import OrderNotFinished, UnknownOrder
from tips.ports import Orders
from tips.rules.order import Order


async def find_order(orders: Orders, number: str, *, until: float) -> Order:
    """Return the order. Raises ``UnknownOrder``, or ``Unavailable`` when the database does not answer in time."""
    order = await orders.find(number, until=until)
    if order is None:
        raise UnknownOrder(f"there is no order {number}")
    return order


async def find_finished_order(orders: Orders, number: str, *, until: float) -> Order:
    """Return the order if it is finished. Raises ``OrderNotFinished`` besides what ``find_order`` raises."""
    order = await find_order(orders, number, until=until)
    if not order.finished:
        raise OrderNotFinished(f"order {number} is not finished")
    return order
