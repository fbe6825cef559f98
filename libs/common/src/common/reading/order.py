"""Reads the payload of a hook or of a website's order: goods, sums, customer, address, time of delivery, everything else that counts.

What an order is worth nothing without is read or refused, field by field: positions, sums, the currency. Everything else is read where it
can be, and set aside where it cannot: it stays in the body, and the order goes on without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from common.currencies import currency_code
from common.errors import FieldError
from common.reading.model import Address, Contact, Line, Window
from common.reading.people import read_people, words_in
from common.reading.values import LARGEST_SUM, LONGEST_NAME, Unfit, given, identifier, read_quantity, read_sum, text_of

CREATED = "order.created"
GOODS_NEEDED = frozenset({CREATED, "order.changed"})
"""Events that mean nothing without the order's positions."""

MOST_PROBLEMS = 20
"""Faults that are named; there may be more."""

_REPLACED = ("replaces", "replacedItemId", "replacedPositionId", "replacementFor", "originalId")
_REPLACES = frozenset(_REPLACED)
_OF_JSON = (str, int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderContent:
    """What a payload says; ``None`` where it says nothing. Sums are minor units of ``currency``, or of the one that the reader was given.

    ``problems``: what has to be read and cannot be; the payload cannot be carried out. ``unread``: what was set aside.
    """

    currency: str | None = None
    lines: tuple[Line, ...] | None = None
    total_price: int | None = None
    total_discount_price: int | None = None
    store_id: str | None = None
    zone: str | None = None
    tariff: str | None = None
    comment: str | None = None
    shipment_method: str | None = None
    replacement_policy: str | None = None
    payment_method: str | None = None
    payment_id: str | None = None
    slug: str | None = None
    description: str | None = None
    customer: Contact | None = None
    address: Address | None = None
    delivery_window: Window | None = None
    problems: tuple[FieldError, ...] = ()
    unread: tuple[FieldError, ...] = ()


def read_order(payload: Mapping[str, Any], *, event: str, currency: str, prefix: str = "") -> OrderContent:
    """Read everything. ``currency`` is that of the sums where the payload names none; ``prefix`` stands before the names of fields.

    An order that is created has at least one position; one that is changed says its positions. For other events only what is there counts.
    """
    read = _Reader(payload, prefix)
    said = read.currency()
    counted = said or currency
    lines = read.lines(counted, event)
    total, payment = read.inside("total"), read.inside("payment", "method")
    cancellation = read.inside("cancellation", "description")
    customer, address, window = read_people(payload)
    return OrderContent(
        currency=said,
        lines=lines,
        total_price=read.sum(total, "totalPrice", counted, "total"),
        total_discount_price=read.sum(total, "discountTotalPrice", counted, "total"),
        store_id=read.name(payload, "storeID") or read.name(payload, "storeId"),
        zone=read.name(payload, "zone"),
        tariff=read.name(payload, "tariff"),
        comment=read.words("comment"),
        shipment_method=read.name(payload, "shipmentMethod"),
        replacement_policy=read.name(payload, "replacementPolicy"),
        payment_method=read.name(payment, "method", "payment.method"),
        payment_id=read.name(payment, "id", "payment.id"),
        slug=read.name(cancellation, "slug", "cancellation.slug"),
        description=read.text(cancellation, "description", "cancellation.description"),
        customer=read.part("customer", customer),
        address=read.part("address", address),
        delivery_window=window,
        problems=tuple(read.problems[:MOST_PROBLEMS]),
        unread=tuple(read.unread[:MOST_PROBLEMS]),
    )


class _Reader:
    """Reads one payload's fields and collects what does not fit."""

    def __init__(self, payload: Mapping[str, Any], prefix: str) -> None:
        self._payload = payload
        self._prefix = prefix
        self.problems: list[FieldError] = []
        self.unread: list[FieldError] = []

    def currency(self) -> str | None:
        value = self._payload.get("currency")
        if not given(value):
            return None
        code = currency_code(value)
        if code is None:
            self._problem("currency", "unknown_currency", "a currency is written by its ISO 4217 code")
        return code

    def lines(self, currency: str, event: str) -> tuple[Line, ...] | None:
        positions = self._payload.get("positions")
        if positions is None:
            if event in GOODS_NEEDED:
                self._problem("positions", "missing", "the order's positions are needed")
            return None
        if not isinstance(positions, list):
            self._problem("positions", "not_a_list", "positions are a list")
            return None
        if not positions and event == CREATED:
            self._problem("positions", "empty", "an order has at least one position")
        lines = []
        for index, position in enumerate(positions):
            line = self._line(position, currency, f"positions.{index}", event)
            if line is not None:
                lines.append(line)
            if len(self.problems) >= MOST_PROBLEMS:
                break
        return tuple(lines)

    def _line(self, position: Any, currency: str, where: str, event: str) -> Line | None:
        if not isinstance(position, dict):
            self._problem(where, "not_an_object", "a position is an object")
            return None
        name = identifier(position.get("id"))
        if name is None:
            self._problem(f"{where}.id", "missing", "a position needs an id")
        quantity = self._number(position, "quantity", where, _quantity)
        ordered = self._number(position, "originalQuantity", where, _quantity)
        # A later hook leaves out what stays: the order knows how many there are.
        if event == CREATED and not given(position.get("quantity")) and not given(position.get("originalQuantity")):
            self._problem(f"{where}.quantity", "missing", "a position needs a quantity")
        price = self.sum(position, "price", currency, where)
        discount = self.sum(position, "discountPrice", currency, where)
        total = self.sum(position, "totalPrice", currency, where)
        discounted = self.sum(position, "totalDiscountPrice", currency, where)
        pieces = quantity if quantity is not None else ordered
        if pieces is not None and (
            (price is not None and price * pieces > LARGEST_SUM)
            or (discount is not None and discount * pieces > LARGEST_SUM)
        ):
            self._problem(f"{where}.price", "too_large", "the position's sum is too large")
        try:
            weight = _quantity(position["weight"]) if given(position.get("weight")) else None
        except Unfit as error:
            weight = None
            self.unread.append(FieldError(f"{self._prefix}{where}.weight", error.code, str(error)))
        return Line(
            id=name or "?",
            name=self.text(position, "name", f"{where}.name"),
            quantity=quantity,
            original_quantity=ordered,
            price=price,
            discount_price=discount,
            total_price=total,
            total_discount_price=discounted,
            weight=weight,
            replaces=None if _REPLACES.isdisjoint(position) else _replaced(position),
        )

    def sum(self, fields: Mapping[str, Any], key: str, currency: str, where: str) -> int | None:
        """The sum under a key of the object that stands at ``where``."""
        value = fields.get(key)
        if value is None or value == "":
            return None
        try:
            return _sum(value, currency)
        except Unfit as error:
            self._problem(f"{where}.{key}", error.code, str(error))
        return None

    def _number(
        self, fields: Mapping[str, Any], key: str, where: str, read: Callable[[Any], Decimal]
    ) -> Decimal | None:
        value = fields.get(key)
        if value is None or value == "":
            return None
        try:
            return read(value)
        except Unfit as error:
            self._problem(f"{where}.{key}", error.code, str(error))
        return None

    def inside(self, name: str, said: str = "") -> Mapping[str, Any]:
        """The object under a name; a text there is the one field of it that it can be, ``said``."""
        value = self._payload.get(name)
        if isinstance(value, dict):
            return value
        if said and isinstance(value, str):
            return {said: value}
        if given(value) and value != []:  # an object without fields, as PHP writes it
            note = self._problem if name == "total" else self._set_aside  # a sum is read or refused
            note(name, "not_an_object", "an object is needed")
        return {}

    def words(self, name: str) -> str | None:
        """All that a person said, also in several parts: it may be an allergy."""
        value = self._payload.get(name)
        if not isinstance(value, dict | list):
            return self.text(self._payload, name)
        text = words_in(list(value.values()) if isinstance(value, dict) else value)
        self.part(name, text)
        return text

    def text(self, fields: Mapping[str, Any], key: str, where: str | None = None) -> str | None:
        value = fields.get(key)
        if value is None:
            return None
        text = text_of(value)
        if text is None and not isinstance(value, str):
            self._set_aside(where or key, "not_text", "text is needed")
        return text

    def name(self, fields: Mapping[str, Any], key: str, where: str | None = None) -> str | None:
        """A text that others look up: one that is too long for that is none."""
        text = self.text(fields, key, where)
        if text is not None and len(text) > LONGEST_NAME:
            self._set_aside(where or key, "too_long", f"at most {LONGEST_NAME} characters are read")
            return None
        return text

    def part(self, name: str, found: Any) -> Any:
        """``found`` was read of the field ``name``, or of another: note when the field says something that could not be read."""
        if found is None and given(self._payload.get(name)) and self._payload[name] not in ({}, []):
            self._set_aside(name, "unreadable", "nothing of it can be read")
        return found

    def _problem(self, field: str, code: str, message: str) -> None:
        self.problems.append(FieldError(f"{self._prefix}{field}", code, message))

    def _set_aside(self, field: str, code: str, message: str) -> None:
        self.unread.append(FieldError(f"{self._prefix}{field}", code, message))


def _replaced(position: Mapping[str, Any]) -> str | None:
    return next((found for key in _REPLACED if (found := identifier(position.get(key))) is not None), None)


# Prices and quantities are few and come again and again. Typed: the number 1 and the text "1" are read alike, but not True.
_cached_sum: Callable[[Any, str], int] = lru_cache(maxsize=8192, typed=True)(read_sum)
_cached_quantity: Callable[[Any], Decimal] = lru_cache(maxsize=8192, typed=True)(read_quantity)


def _sum(value: Any, currency: str) -> int:
    return _cached_sum(value, currency) if isinstance(value, _OF_JSON) else read_sum(value, currency)


def _quantity(value: Any) -> Decimal:
    return _cached_quantity(value) if isinstance(value, _OF_JSON) else read_quantity(value)
