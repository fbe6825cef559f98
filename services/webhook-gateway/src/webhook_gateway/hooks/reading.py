"""Reads a hook's envelope, and has its payload read by the suite's one reader (``common.reading``): what does not fit is named.

Every spelling of one payload has one digest, so that a re-serialised repeat is recognised (docs/requirements.md#repeats). Two payloads
have the same digest when they differ only in the order of keys, in spacing, in how a JSON number is spelled (``1``, ``1.0``, ``1e0``),
or in whether a field that we know as a number or as an id came as a number or as text. A field that we do not know keeps its JSON
type: ``"7"`` and ``7`` may mean two things there.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from common import reading
from common.currencies import DECIMAL_DIGITS
from common.errors import FieldError
from common.reading import identifier, read_moment, read_order
from common.reading.values import EXACT_FLOAT, LONGEST_ID, Unfit, number_of
from webhook_gateway.hooks.model import HOOKS, ORDER_CREATED, UNREADABLE

QUANTITIES = frozenset({"originalQuantity", "quantity", "weight"})
NUMERIC = QUANTITIES | {"price", "discountPrice", "totalPrice", "totalDiscountPrice", "discountTotalPrice"}
"""Fields that are numbers, however they are written."""

TEXTUAL = frozenset({"originalOrderId", "externalId", "storeID", "id"})
"""Fields that are names, though a source may write them as numbers."""

_DECIDING = NUMERIC | TEXTUAL | {"event_type", "payload", "positions", "total", "currency"}
_NAME_ENDS = b'":'
"""As often in a body as in what is read of it, unless a name was said twice or the body is written in another way."""
_OTHER_ENDS = re.compile(rb'"[ \t\r\n]+:')
_OTHER_QUOTE = b"\\u0022"
"""Ways of writing that make up for a name said twice, so that the count says nothing."""

DEEPEST = 64
"""Levels of nesting that a payload may have; the documented one has three."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LONGEST_INTEGER = 1000  # digits; a double has 309 before its point
_MOST_PROBLEMS = 20
_PLAIN = re.compile(r"(?:0|[1-9][0-9]{0,7})(?:\.([0-9]{1,6}))?", re.ASCII)
"""A number in its one spelling, so small that as a sum nothing can be wrong with it but its digits behind the point."""
_SUM_DIGITS = 2
"""Digits behind the point that a sum of a usual currency has."""
_SHORT = 5
"""Digits of a quantity with which nothing can be wrong: times any plain price it is less than the largest sum."""
_USUAL_CURRENCIES = frozenset(code for code, digits in DECIMAL_DIGITS.items() if digits == 2)
_EVENT_TEXT = re.compile(rb'"event_type"\s*:\s*("(?:[^"\\]|\\.){1,255}")')
_ORDER_ID_TEXT = re.compile(rb'"originalOrderId"\s*:\s*("(?:[^"\\]|\\.){1,1024}"|[0-9]{1,64})')


class TooDeep(ValueError):
    """The payload nests deeper than ``DEEPEST``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What could be read from an authenticated body.

    ``event`` is one of the six, the name as it came, or ``UNREADABLE``. ``external_id`` is None when no order id can be read.
    ``sent_at`` is RFC 3339 in UTC, None when the envelope has no time that can be read. ``digest`` is that of the canonical payload
    where there is one, else that of the raw bytes. ``problems`` is empty when everything fits.
    """

    event: str
    external_id: str | None
    sent_at: str | None
    digest: str
    problems: tuple[FieldError, ...]

    @property
    def known(self) -> bool:
        """Whether the event is one of the six."""
        return self.event in HOOKS

    @property
    def ignorable(self) -> bool:
        """Whether the body names an event, and not one of ours."""
        return self.event != UNREADABLE and not self.known


def read_hook(body: bytes, *, currency: str = "RUB", now: datetime | None = None) -> Reading:
    """Read ``{"event_type", "timestamp", "payload"}``. Never raises, whatever the bytes are.

    ``currency`` is that of sums whose payload names none; with ``now``, a time more than a day ahead is none.
    """
    document, strict = parse(body)
    if not isinstance(document, dict):
        fault = FieldError("", "not_json" if document is None else "not_an_object", "the body is no JSON object")
        return Reading(
            event=UNREADABLE, external_id=None, sent_at=None, digest=hashlib.sha256(body).hexdigest(), problems=(fault,)
        )
    payload = document.get("payload")
    event = event_name(document.get("event_type"))
    problems: list[FieldError] = []
    if not strict:
        problems.append(FieldError("", "not_strict_json", "the body is JSON only to a lenient reader"))
    if event == UNREADABLE:
        problems.append(FieldError("event_type", "missing", "no event type can be read"))
    external_id = None
    content: str | None = None
    if isinstance(payload, dict):
        external_id = _order_id(payload.get("originalOrderId"), body)
        content, odd, names = _payload_digest(payload, problems)
        uneven = body.count(_NAME_ENDS) != names + len(document)
        if uneven or _OTHER_QUOTE in body or _OTHER_ENDS.search(body) is not None:
            problems += _said_twice(body)
        if event in HOOKS:
            problems += order_problems(payload, event=event, currency=currency, odd=odd, prefix="payload.")
    if external_id is None:
        problems.append(FieldError("payload.originalOrderId", "missing", "no order id can be read"))
    return Reading(
        event=event,
        external_id=external_id,
        sent_at=read_time(document.get("timestamp"), now=now),
        digest=content or hashlib.sha256(body).hexdigest(),
        problems=tuple(problems[:_MOST_PROBLEMS]),
    )


def event_name(name: object) -> str:
    """Return the suite's name of an event, the name as it came when we do not know it, or ``UNREADABLE``."""
    return reading.event_name(name) or UNREADABLE


def created_order(body: bytes) -> str | None:
    """Return the source's id of the order whose ``order.created`` this is, None when it is another hook or no id can be read.

    A whole body is read as it always is. Of a body that is cut off, the first event type and the first order id decide: good enough to
    notify a person that an order is in danger, not to create one. Never raises.
    """
    reading = read_hook(body)
    if reading.event != UNREADABLE or reading.external_id is not None:
        return reading.external_id if reading.event == ORDER_CREATED else None
    event, order = _said(_EVENT_TEXT, body), _said(_ORDER_ID_TEXT, body)
    return identifier(order) if event_name(event) == ORDER_CREATED else None


def _said(pattern: re.Pattern[bytes], body: bytes) -> Any:
    """Return the first value that a field has in a body that is cut off; None where there is none."""
    found = pattern.search(body)
    return None if found is None else parse_leniently(found[1])


def order_problems(
    payload: Mapping[str, Any], *, event: str, currency: str, odd: bool = True, prefix: str = ""
) -> Sequence[FieldError]:
    """Return what the suite's reader cannot read of a payload and has to.

    ``odd`` is False when the digest's walk has seen nothing but plain numbers: then a look at the rest says in a tenth of the time that
    there is nothing to find.
    """
    if not odd and _is_plain(payload, event, currency):
        return ()
    return read_order(payload, event=event, currency=currency, prefix=prefix).problems


def _is_plain(payload: Mapping[str, Any], event: str, currency: str) -> bool:
    said = payload.get("currency")
    if (
        said is not None and (type(said) is not str or said not in _USUAL_CURRENCIES)
    ) or currency not in _USUAL_CURRENCIES:
        return False
    if "total" in payload and type(payload["total"]) is not dict:
        return False
    positions = payload.get("positions")
    if type(positions) is not list or not positions:
        return positions is None and event not in reading.GOODS_NEEDED
    for position in positions:
        if type(position) is not dict or type(name := position.get("id")) is not str:
            return False
        if not 0 < len(name) <= LONGEST_ID or not name.isprintable() or name.isspace():
            return False
        if not position.get("quantity") and not position.get("originalQuantity"):
            return False
    return True


def read_time(value: object, *, now: datetime | None = None) -> str | None:
    """Return a moment as RFC 3339 in UTC, so that two spellings of one moment are equal; None when it is none."""
    moment = read_moment(value, now=now)
    return None if moment is None else moment.astimezone(UTC).isoformat()


def parse_leniently(body: bytes) -> Any:
    """Parse what strict JSON refuses (byte order mark, broken UTF-8, NaN, as well as ``parse``); None when even that fails.

    An integer of thousands of digits comes as its text: making a number of it is what Python refuses, and nobody needs it.
    """
    try:
        return json.loads(body.decode("utf-8-sig", "replace"), strict=False, parse_int=_integer)
    except (ValueError, RecursionError):
        return None


def _integer(text: str) -> int | str:
    return int(text) if len(text) <= _LONGEST_INTEGER else text


def _no_number(text: str) -> Any:
    raise ValueError(text)


def parse(body: bytes) -> tuple[Any, bool]:
    """Return what a body says, and whether it can mean that only.

    So does what strict JSON refuses but nobody can misread: half a character that a front end cut off (``\\ud83d``), line breaks as
    they are within a text.
    """
    try:
        return orjson.loads(body.removeprefix(BYTE_ORDER_MARK)), True
    except orjson.JSONDecodeError:
        pass
    try:
        text = body.decode("utf-8-sig")
        return json.loads(text, strict=False, parse_constant=_no_number), True
    except (ValueError, RecursionError):
        return parse_leniently(body), False


def _order_id(value: object, body: bytes) -> str | None:
    if isinstance(value, float):  # an integer past 64 bits comes out of the fast parser as a rounded float
        document = parse_leniently(body)
        if document is not None:  # else it nests so deep that only the fast parser reads it: the float is all there is
            value = document["payload"]["originalOrderId"]
            value = int(value) if isinstance(value, float) and value.is_integer() else value
    return identifier(value)


def _said_twice(body: bytes) -> list[FieldError]:
    """Return what decides about an order, stands twice in one object and means two things: readers differ in which of them they take."""
    found: dict[str, None] = {}

    def taken(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        kept = dict(pairs)
        if len(kept) != len(pairs):
            found.update((name, None) for name, value in pairs if name in _DECIDING and not _same(value, kept[name]))
        return kept

    with suppress(ValueError, RecursionError):
        json.loads(body.decode("utf-8-sig", "replace"), strict=False, object_pairs_hook=taken, parse_int=_integer)
    return [FieldError(name, "said_twice", "the field stands twice and says two things") for name in found]


def _same(one: object, other: object) -> bool:
    return one == other or (number_text(one) is not None and number_text(one) == number_text(other))


def _payload_digest(payload: Mapping[str, Any], problems: list[FieldError]) -> tuple[str | None, bool, int]:
    try:
        return _digest_and_oddity(payload)
    except TooDeep:
        problems.append(FieldError("payload", "too_deep", "the payload nests too deep"))
    return None, True, -1


def number_text(value: object) -> str | None:
    """Return a number in its one spelling (``"85.00"``, ``85.0`` and ``85`` are ``"85"``), or None when it is no number."""
    try:
        number = number_of(value).value
    except Unfit:
        return None
    if not number:
        return "0"
    plain = f"{number:f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def digest(payload: Mapping[str, Any]) -> str:
    """Return the hexadecimal SHA-256 of the payload's one form.

    Raises ``TooDeep``.
    """
    return _digest_and_oddity(payload)[0]


def _digest_and_oddity(payload: Mapping[str, Any]) -> tuple[str, bool, int]:
    """Return the digest, whether any field that we know as a number holds something else, and how many names there are: one walk."""
    odd: list[str] = []
    form = _object(payload, 0, odd)
    try:
        written = orjson.dumps(form, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # lone surrogates, integers past 64 bits; orjson's own error class derives from it
        written = json.dumps(form, sort_keys=True).encode()
    return hashlib.sha256(written).hexdigest(), bool(odd), written.count(_NAME_ENDS)


@lru_cache(maxsize=16_384)
def _plain_number(text: str) -> str | None:
    match = _PLAIN.fullmatch(text)
    if match is None:
        return None
    return text if match[1] is None else text.rstrip("0").rstrip(".")


def _object(value: Mapping[str, Any], depth: int, odd: list[str]) -> dict[str, Any]:
    if depth > DEEPEST:
        raise TooDeep(f"nested deeper than {DEEPEST} levels")
    result: dict[str, Any] = {}
    for key, item in value.items():
        if key in NUMERIC:
            number = (
                _plain_number(item) if type(item) is str else _plain_number(str(item)) if type(item) is int else None
            )
            if number is None and item is not None:
                odd.append(key)
                number = number_text(item)
            if number is not None:
                if len(number) > _SHORT if key in QUANTITIES else type(item) is str and "." in item[: -_SUM_DIGITS - 1]:
                    odd.append(key)
                result[key] = number
                continue
        kind = type(item)
        if kind is str:
            result[key] = item
        elif kind is dict:
            result[key] = _object(item, depth + 1, odd)
        elif kind is list:
            result[key] = _array(item, depth + 1, odd)
        elif kind is int:
            result[key] = str(item) if key in TEXTUAL else item
        elif kind is float:
            plain = _plain_float(item)
            result[key] = str(plain) if key in TEXTUAL else plain
        else:
            result[key] = item
    return result


def _array(value: Sequence[Any], depth: int, odd: list[str]) -> list[Any]:
    if depth > DEEPEST:
        raise TooDeep(f"nested deeper than {DEEPEST} levels")
    result: list[Any] = []
    for item in value:
        kind = type(item)
        if kind is dict:
            result.append(_object(item, depth + 1, odd))
        elif kind is list:
            result.append(_array(item, depth + 1, odd))
        elif kind is float:
            result.append(_plain_float(item))
        else:
            result.append(item)
    return result


def _plain_float(value: float) -> int | float:
    return int(value) if value.is_integer() and abs(value) < EXACT_FLOAT else value
