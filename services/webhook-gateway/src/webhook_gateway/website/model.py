"""A website's order: what it must have, what its number is, and what is read of one that was refused."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

import orjson

from common.errors import FieldError
from common.reading import identifier, storable
from webhook_gateway.hooks import reading
from webhook_gateway.hooks.model import ORDER_CREATED

_CUSTOMER_FIELDS = ("name", "phone", "email")
_SHOWN_TEXT = 500
_SHOWN_POSITIONS = 200


class Category(StrEnum):
    """Where to look for the cause: 4xx the front end, 429 a ban, a manager refused the bypass, else the back end."""

    FRONT_END = "front_end"
    BACK_END = "back_end"
    BANNED = "banned"
    MANAGER_BYPASS_BROKEN = "manager_bypass_broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Whether an order may pass the limits. ``by`` names what there are too many of, ``retry_after`` is in seconds.

    ``failed_open``: nobody could be asked, so it passed.
    """

    outcome: Literal["passed", "repeated", "limited", "failed_open", "manager"]
    by: tuple[str, ...] = ()
    retry_after: int = 0


_DENIALS = frozenset({401, 403, 429})
"""What a manager never gets while the managers' way past the limits works."""


def category_of(status: int, *, manager: bool) -> Category:
    """Say where to look, from the status that the website got.

    ``manager``: something says that a manager placed it, a valid token of theirs, one that was valid before it was rotated, or their
    mark on the order (``marked_by_manager``).
    """
    if manager and status in _DENIALS:
        return Category.MANAGER_BYPASS_BROKEN
    if status == 429:
        return Category.BANNED
    return Category.FRONT_END if 400 <= status < 500 else Category.BACK_END


def marked_by_manager(body: bytes) -> bool:
    """Say whether the order names a manager who placed it (``manager`` or ``managerId``, anything that is not empty)."""
    if b"manager" not in body:
        return False
    document = reading.parse_leniently(body)
    return isinstance(document, dict) and bool(document.get("manager") or document.get("managerId"))


@dataclass(frozen=True, slots=True, kw_only=True)
class WebsiteOrder:
    """A body that was read. ``problems`` is empty when it can be taken; ``digest`` is that of the canonical payload."""

    external_id: str | None
    digest: str
    problems: tuple[FieldError, ...]


def read_order(body: bytes, *, currency: str = "RUB") -> WebsiteOrder | None:
    """Read the payload object, sums in ``currency`` where it names none. None when the body is no JSON object at all."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(document, dict):
        return None
    problems: list[FieldError] = []
    external = document.get("externalId")
    external_id = None
    if external is not None:
        external_id = identifier(external)
        if external_id is None:
            problems.append(FieldError("externalId", "not_an_id", "an id is 1 to 255 printable characters"))
    problems += reading.order_problems(document, event=ORDER_CREATED, currency=currency)
    customer = document.get("customer")
    if customer is not None:
        if not isinstance(customer, dict):
            problems.append(FieldError("customer", "not_an_object", "a customer is an object"))
        else:
            problems.extend(
                FieldError(f"customer.{name}", "not_text", "text is needed")
                for name in _CUSTOMER_FIELDS
                if not isinstance(customer.get(name), str | None)
            )
    try:
        digest = reading.digest(document)
    except ValueError:
        problems.append(FieldError("", "too_deep", "the body nests too deep"))
        digest = hashlib.sha256(body).hexdigest()
    return WebsiteOrder(external_id=external_id, digest=digest, problems=tuple(problems))


def external_id_from_key(idempotency_key: str) -> str:
    """Return the external id of an order that has none of its own but came with an ``Idempotency-Key``."""
    return "key-" + hashlib.sha256(idempotency_key.encode("utf-8", "surrogateescape")).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescue:
    """What a person needs to get a customer back, read from whatever came: nothing is required, nothing raises."""

    customer: Mapping[str, str]
    address: str | None
    basket: list[Any]


def rescue_from(body: bytes) -> Rescue:
    """Read customer, address and basket out of a refused order, however broken the rest is."""
    document = reading.parse_leniently(body)
    if not isinstance(document, dict):
        return _salvage(body)
    customer = document.get("customer")
    found = {}
    if isinstance(customer, dict):
        found = {name: _text(customer[name]) for name in _CUSTOMER_FIELDS if customer.get(name) is not None}
    address = document.get("address")
    place = address.get("full_address") if isinstance(address, dict) else address
    positions = document.get("positions")
    basket = positions[:_SHOWN_POSITIONS] if isinstance(positions, list) else []
    return Rescue(customer=found, address=None if place is None else _text(place), basket=_plain(basket))


_SALVAGED = re.compile(r'"(name|phone|email|full_address)"\s*:\s*("(?:[^"\\]|\\.){1,500}")')


def _salvage(body: bytes) -> Rescue:
    """Read what can be found in a body that is no JSON, mostly because it was cut off: the first value under each name."""
    found: dict[str, str] = {}
    text = body.decode("utf-8", "replace")
    start = max(0, text.find('"customer"'))  # goods have names too
    for name, literal in (*_SALVAGED.findall(text, start), *_SALVAGED.findall(text)):
        value = reading.parse_leniently(literal.encode("utf-8", "replace"))
        if isinstance(value, str):
            found.setdefault(name, _text(value))
    return Rescue(
        customer={name: found[name] for name in _CUSTOMER_FIELDS if name in found and (name != "name" or start)},
        address=found.get("full_address"),
        basket=[],
    )


_STATE_FIELDS = ("id", "quantity", "originalQuantity", "price", "discountPrice", "totalPrice", "weight")
_STATE_VALUE = 64


def basket_state(body: bytes) -> str:
    """Return the basket as JSON text for an error report: goods, quantities and prices; nothing that a person wrote."""
    positions = [
        {name: position[name][:_STATE_VALUE] for name in _STATE_FIELDS if name in position}
        for position in rescue_from(body).basket
        if isinstance(position, dict)
    ]
    return orjson.dumps(positions).decode()


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
