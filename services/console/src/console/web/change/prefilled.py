"""What stands in a form before anybody fills it in: the order as it is, so that a correction says only what is otherwise. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from common.money import to_decimal_string
from console.client.things import value


def standing(act: str, thing: Mapping[str, Any]) -> dict[str, str]:
    """Return texts by the names of inputs for what is set as a whole: what is left as it stands is sent as it stands."""
    if act != "flag set":
        return {}
    return {"field.enabled": str(thing["enabled"]).lower(), "field.share": str(thing["share"])}


_SUMS = {"price": "price", "discountPrice": "discount_price"}


def prefilled(act: str, order: Mapping[str, Any], currency: str | None) -> dict[str, str]:
    """Return texts by the names of inputs; ``says.`` before the name of a row is what a person reads over it."""
    if act == "order refund":
        return {name: text for row, each in enumerate(order.get("positions") or ()) for name, text in _goods(row, each)}
    if act != "order correct":
        return {}
    found: dict[str, Any] = {
        "field.store_id": order.get("store_id"),
        "field.comment": order.get("comment"),
        "field.address": value(order, "address.text"),
        "field.delivery_window": value(order, "delivery_window.text"),
        **{f"field.address.{part}": text for part, text in (value(order, "address.parts") or {}).items()},
        **{f"field.customer.{part}": value(order, f"customer.{part}") for part in ("name", "phone", "email")},
    }
    for row, each in enumerate(order.get("positions") or ()):
        place = f"field.positions.{row}"
        found |= {f"{place}.{part}": each.get(part) for part in ("id", "name", "quantity", "weight", "replaces")}
        found |= {
            f"{place}.{part}": to_decimal_string(each[of], currency)
            for part, of in _SUMS.items()
            if currency and isinstance(each.get(of), int)
        }
    return {name: str(text) for name, text in found.items() if text not in (None, "")}


def _goods(row: int, position: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield f"field.positions.{row}.id", str(position["id"])
    yield f"says.field.positions.{row}", f"{position.get('name') or position['id']} · {position.get('quantity')}"
