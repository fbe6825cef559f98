"""What of an order's money went back and what can still be given back; who leaves the sum of a refund empty means all of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from console.client.money import currency_of
from console.client.suite import RefusedError, Suite, UnreachableError
from console.client.things import THINGS, value

_MOST_REFUNDS = 200


@dataclass(frozen=True, slots=True)
class Left:
    """``amount`` in minor units, and what is ``gone``: given back, or on its way. ``payment`` None: nothing was asked back yet, and the
    amount is what the order comes to.
    """

    amount: int
    gone: int
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
            gone = (payment.get("captured") or 0) - left if isinstance(left, int) else 0
            return Left(left, gone, currency, own) if isinstance(left, int) and currency else None
    amount, currency = value(order, "totals.cost"), currency_of(order)
    return Left(amount, 0, str(currency), None) if own and isinstance(amount, int) and currency else None


async def money_of(suite: Suite, order: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what refunds knows of the money of an order that was read, in minor units: ``captured``, ``refunded`` and ``left`` of its own
    payment, and all its ``refunds``. None where refunds cannot say.

    What was captured is None until a refund was asked for: nobody has asked the payment system before. Takes seconds at most.
    """
    number, own, page = order.get("number"), value(order, "payment.id"), suite.without_customers().for_a_page()
    try:
        payments = (await THINGS["payment"].page(page, order=number)).items
        refunds = (await THINGS["refund"].page(page, order=number, limit=_MOST_REFUNDS)).items if payments else []
    except (RefusedError, UnreachableError):
        return None
    known: Mapping[str, Any] = next((each for each in payments if each.get("payment_id") == own), {"refunded": 0})
    return {
        "currency": known.get("currency") or currency_of(order),
        **{name: known.get(name) for name in ("captured", "refunded", "left")},
        "refunds": [{name: each.get(name) for name in ("id", "state_name", "amount")} for each in refunds],
    }
