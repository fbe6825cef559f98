"""Sums as people read them, the same in both tools. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from common.money import to_decimal_string

MONEY = frozenset(
    {
        *(
            "amount",
            "cost",
            "price",
            "discount_price",
            "total_price",
            "total_discount_price",
            "sum_to_pay",
            "sum",
            "total",
        ),
        *("captured", "refunded", "reserved", "left", "held_amount", "captured_amount", "refunded_amount"),
        *("tips", "tips_amount", "minor"),
    }
)
"""Names under which the services write sums in minor units."""


def currency_of(item: object) -> Any:
    """Return the currency that the sums of an item are in: its own, or that of its totals."""
    if not isinstance(item, Mapping):
        return None
    totals = item.get("totals")
    return item.get("currency") or (totals.get("currency") if isinstance(totals, Mapping) else None)


def sum_of(name: str, held: Any, currency: Any) -> str | None:
    """Return a sum in minor units as a decimal with its currency; None where the value is no sum, or nobody says in what."""
    if name not in MONEY or isinstance(held, bool) or not isinstance(held, int) or not isinstance(currency, str):
        return None
    try:
        return f"{to_decimal_string(held, currency)} {currency}"
    except ValueError:  # a currency of another release
        return f"{held} {currency}"


def _(text: str) -> str:
    """Mark a text for the catalogue."""
    return text


_OPEN = {
    "left_of_payment": _("everything left of the captured sum"),
    "left_of_positions": _("what earlier refunds have left of these goods"),
}


def amount_told(shown: Mapping[str, Any], *, translate: Callable[[str], str] = str) -> Mapping[str, Any]:
    """Return what a service says of a change, and of an amount that it leaves open what that means, so that nobody agrees to a blank."""
    told = {name: held for name, held in shown.items() if name != "amount_is"}
    if "amount" in shown and shown["amount"] is None:
        told["amount"] = translate(_OPEN.get(shown.get("amount_is", ""), _OPEN["left_of_payment"]))
    return told
