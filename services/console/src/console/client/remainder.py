"""What can still be given back of an order, for who leaves the sum of a refund empty: that means all of it."""

from __future__ import annotations

from dataclasses import dataclass

from console.client.money import currency_of
from console.client.suite import RefusedError, Suite, UnreachableError
from console.client.things import THINGS, value


@dataclass(frozen=True, slots=True)
class Left:
    """``amount`` in minor units. ``payment`` None: nothing was asked back yet, and it is what the order comes to."""

    amount: int
    currency: str
    payment: str | None


async def left_of(suite: Suite, number: str) -> Left | None:
    """Return what is left of an order's payment, as far as it is known; None where the payment system alone can say."""
    try:
        order = await THINGS["order"].read(suite.without_customers(), number)
        payments = (await THINGS["payment"].page(suite, order=number)).items
    except (RefusedError, UnreachableError):
        return None
    own = value(order, "payment.id")
    for payment in payments:
        left, currency = payment["left"], payment["currency"]
        if payment["payment_id"] == own:
            return Left(left, currency, own) if isinstance(left, int) and currency else None
    amount, currency = value(order, "totals.cost"), currency_of(order)
    return Left(amount, str(currency), None) if own and isinstance(amount, int) and currency else None
