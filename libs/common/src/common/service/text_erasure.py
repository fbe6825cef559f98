"""Erases a customer in texts that people and machines wrote: reasons, comments, summaries, details, documents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from common.digits import OTHER_DIGITS, plain_digits
from common.postgres import Connection
from common.reading import phone_key
from common.reading.customers import change_words, mentions, without_customer
from common.service.erasures import Subject
from common.telemetry import MASK, scrub_text

_COMPARED_DIGITS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPlace:
    """Text or jsonb columns of a table. ``of_order``: the condition on its rows that finds an order's (``$1``), None: no row names one.

    ``among``: a condition that every row has to meet. ``blank`` is what becomes of a value of the order's; where the customer is known by
    phone or mail, only texts that hold it change: what of them is not the phone or mail stays, unless they go as a ``whole``.
    """

    table: str
    columns: tuple[str, ...]
    of_order: str | None
    among: str = "true"
    blank: Callable[[Any], Any] | None = None
    whole: bool = False


async def erase_texts(connection: Connection, subject: Subject, *, place: TextPlace) -> int:
    """Blank what the place holds of the subject, in the caller's transaction; return in how many rows something changed."""
    if subject.order_number is not None and place.of_order is None:
        return 0
    names = ", ".join(place.columns)
    condition, value = _condition(subject, place)
    rows = await connection.fetch(
        f"SELECT id, {names} FROM {place.table} AS t WHERE {place.among} AND {condition} ORDER BY id FOR UPDATE",  # noqa: S608 - constants
        value,
    )
    sets = ", ".join(f"{column} = ${index}" for index, column in enumerate(place.columns, 2))
    changed = 0
    for row in rows:
        before = [row[column] for column in place.columns]
        after = [_erased(item, subject, place) for item in before]
        if after != before:
            await connection.execute(f"UPDATE {place.table} SET {sets} WHERE id = $1", row["id"], *after)  # noqa: S608 - as above
            changed += 1
    return changed


def _condition(subject: Subject, place: TextPlace) -> tuple[str, str]:
    if subject.order_number is not None:
        return f"({place.of_order})", subject.order_number
    everything = f"concat_ws(' ', {', '.join(f't.{column}::text' for column in place.columns)})"
    if subject.phone is not None:
        digits = (phone_key(subject.phone) or subject.phone).removeprefix("+")[-_COMPARED_DIGITS:]
        plain = f"translate({everything}, '{OTHER_DIGITS}', '{plain_digits(OTHER_DIGITS)}')"
        return f"regexp_replace({plain}, '[^0-9]', '', 'g') LIKE $1", f"%{digits}%"
    return f"strpos(lower({everything}), $1) > 0", (subject.email or "").strip().lower()


def _erased(value: Any, subject: Subject, place: TextPlace) -> Any:
    if value is None:
        return None
    if subject.order_number is not None:
        if place.blank is not None:
            return place.blank(value)
        return change_words(without_customer(value, lambda _: MASK), scrub_text, every=True)
    return _without(value, subject, whole=place.whole)


def _without(value: Any, subject: Subject, *, whole: bool = False) -> Any:
    """Return the value with every text in it that holds the phone or mail masked."""
    if isinstance(value, dict):
        return {name: _without(item, subject, whole=whole) for name, item in value.items()}
    if isinstance(value, list):
        return [_without(item, subject, whole=whole) for item in value]
    if not mentions(value, phone=subject.phone, email=subject.email):
        return value
    cleaned = scrub_text(str(value))
    return MASK if whole or mentions(cleaned, phone=subject.phone, email=subject.email) else cleaned
