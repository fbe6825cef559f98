"""What is read of an order that was refused, however broken it is: customer, address and basket, to get the customer back."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from common import reading as reader
from common.reading import phone_key, storable
from common.reading.values import Unfit, read_quantity
from webhook_gateway.hooks.model import ORDER_CREATED
from webhook_gateway.hooks.reading import parse_leniently

_CUSTOMER_FIELDS = ("name", "phone", "email")
_SHOWN_TEXT = 500
_SHOWN_POSITIONS = 200
_STATE_FIELDS = ("id", "quantity", "originalQuantity", "price", "discountPrice", "totalPrice", "weight")
_STATE_VALUE = 64
_SALVAGED = re.compile(r'"(name|phone|email|full_address|externalId)"\s*:\s*("(?:[^"\\]|\\.){1,500}")')


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescue:
    """What a person needs to get a customer back, read from whatever came: nothing is required, nothing raises."""

    customer: Mapping[str, str]
    address: str | None
    basket: list[Any]

    @property
    def phone(self) -> str | None:
        """The customer's phone in its one spelling; None when it is no number."""
        return phone_key(self.customer.get("phone", ""))

    @property
    def email(self) -> str | None:
        """The customer's mail in its one spelling."""
        return email_key(self.customer.get("email"))

    @property
    def basket_key(self) -> bytes | None:
        """A digest of the goods and how many of each; None of an empty basket. Two baskets with one digest are the same."""
        goods = sorted(map(_goods, self.basket))
        return None if not goods else hashlib.blake2b(orjson.dumps(goods), digest_size=16).digest()


def email_key(text: str | None) -> str | None:
    """Return a mail address in its one spelling; None when there is none."""
    return (text or "").strip().casefold() or None


def rescue_from(body: bytes) -> Rescue:
    """Read customer, address and basket out of a refused order, however broken the rest is."""
    document = parse_leniently(body)
    if not isinstance(document, dict):
        return _salvage(body)
    content = reader.read_order(document, event=ORDER_CREATED, currency="RUB")
    customer = content.customer
    said = {name: getattr(customer, name) for name in _CUSTOMER_FIELDS} if customer is not None else {}
    positions = document.get("positions")
    return Rescue(
        customer={name: _text(value) for name, value in said.items() if value is not None},
        address=None if content.address is None else _text(content.address.full),
        basket=_plain(positions[:_SHOWN_POSITIONS] if isinstance(positions, list) else []),
    )


def _salvage(body: bytes) -> Rescue:
    """Read what can be found in a body that is no JSON, mostly because it was cut off: the first value under each name."""
    found: dict[str, str] = {}
    text = body.decode("utf-8", "replace")
    start = max(0, text.find('"customer"'))  # goods have names too
    for name, literal in (*_SALVAGED.findall(text, start), *_SALVAGED.findall(text)):
        value = parse_leniently(literal.encode("utf-8", "replace"))
        if isinstance(value, str):
            found.setdefault(name, _text(value))
    return Rescue(
        customer={name: found[name] for name in _CUSTOMER_FIELDS if name in found and (name != "name" or start)},
        address=found.get("full_address"),
        basket=[],
    )


def basket_state(body: bytes) -> str:
    """Return the basket as JSON text for an error report: goods, quantities and prices; nothing that a person wrote."""
    positions = [
        {name: position[name][:_STATE_VALUE] for name in _STATE_FIELDS if name in position}
        for position in rescue_from(body).basket
        if isinstance(position, dict)
    ]
    return orjson.dumps(positions).decode()


def same_goods(one: list[Any], other: list[Any]) -> bool:
    """Say whether two baskets hold the same goods, as many of each wherever both say how many."""
    first, second = sorted(map(_goods, one)), sorted(map(_goods, other))
    return (
        bool(first)
        and [name for name, _ in first] == [name for name, _ in second]
        and all("" in (here, there) or here == there for (_, here), (_, there) in zip(first, second, strict=True))
    )


def _goods(position: Any) -> tuple[str, str]:
    """Return a position's id and quantity, the latter empty where it is no number."""
    if not isinstance(position, dict):
        return str(position), ""
    try:
        counted = read_quantity(position.get("quantity") or position.get("originalQuantity"))
    except Unfit:
        return str(position.get("id", "")), ""
    return str(position.get("id", "")), f"{counted.normalize():f}"


def _text(value: object) -> str:
    return storable(str(value)[:_SHOWN_TEXT])


def _plain(basket: list[Any]) -> list[Any]:
    """Keep of each position what fits a table: names, numbers and short texts."""
    result: list[Any] = []
    for position in basket:
        if isinstance(position, dict):
            result.append(
                {
                    _text(key)[:64]: _text(value)
                    for key, value in list(position.items())[:30]
                    if not isinstance(value, dict | list)
                }
            )
        else:
            result.append(_text(position))
    return result
