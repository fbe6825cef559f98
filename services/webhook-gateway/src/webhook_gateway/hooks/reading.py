"""Reads a hook tolerantly: what is needed is read, what is unknown is kept, what does not fit is named.

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
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

import orjson

from common.errors import FieldError
from webhook_gateway.hooks.model import HOOKS, NEED_POSITIONS, ORDER_CANCELLED, ORDER_CHANGED, ORDER_CREATED, UNREADABLE

NUMERIC = frozenset(
    {"originalQuantity", "quantity", "price", "discountPrice", "weight", "totalPrice", "totalDiscountPrice", "discountTotalPrice"}
)  # fmt: skip
"""Fields that are numbers, however they are written."""

TEXTUAL = frozenset({"originalOrderId", "externalId", "storeID", "id"})
"""Fields that are names, though a source may write them as numbers."""

DEEPEST = 64
"""Levels of nesting that a payload may have; the documented one has three."""

_SPELLINGS = {"order.updated": ORDER_CHANGED, "order.canceled": ORDER_CANCELLED}
"""The marketplace's published spellings of two of the six."""

_LONGEST_NAME = 100
_LONGEST_ID = 255
_LONGEST_INTEGER = 1000  # digits; a double has 309 before its point
_LARGEST_EXPONENT = 30
_EXACT = 2**53
_MOST_PROBLEMS = 20
_EARLIEST_MILLISECONDS = 1e11  # as seconds that would be the year 5138
_POSITION_NUMBERS = tuple(sorted(NUMERIC - {"discountTotalPrice"}))
_TOTAL_NUMBERS = ("totalPrice", "discountTotalPrice")
_PLAIN = re.compile(r"(?:0|-?[1-9][0-9]{0,17})(?:\.([0-9]{1,18}))?")
_CREATED_TEXT = re.compile(rb'"event_type"\s*:\s*"order\.created"')
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


def read_hook(body: bytes) -> Reading:
    """Read ``{"event_type", "timestamp", "payload"}``. Never raises, whatever the bytes are."""
    document, strict = _parse(body)
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
        content, odd = _payload_digest(payload, problems)
        if event in HOOKS:
            _check_composition(payload, problems, "payload.", needed=event in NEED_POSITIONS, odd=odd)
    if external_id is None:
        problems.append(FieldError("payload.originalOrderId", "missing", "no order id can be read"))
    return Reading(
        event=event,
        external_id=external_id,
        sent_at=read_time(document.get("timestamp")),
        digest=content or hashlib.sha256(body).hexdigest(),
        problems=tuple(problems[:_MOST_PROBLEMS]),
    )


def event_name(name: object) -> str:
    """Return the suite's name of an event, the name as it came when we do not know it, or ``UNREADABLE``."""
    if not isinstance(name, str) or not name or len(name) > _LONGEST_NAME or not name.isprintable():
        return UNREADABLE
    return _SPELLINGS.get(name, name)


def created_order(body: bytes) -> str | None:
    """Return the source's id of the order whose ``order.created`` this is, None when it is another hook or no id can be read.

    A whole body is read as it always is. Of a body that is cut off, the first event type and the first order id decide: good enough to
    notify a person that an order is in danger, not to create one. Never raises.
    """
    reading = read_hook(body)
    if reading.event != UNREADABLE or reading.external_id is not None:
        return reading.external_id if reading.event == ORDER_CREATED else None
    found = _ORDER_ID_TEXT.search(body) if _CREATED_TEXT.search(body) else None
    if found is None:
        return None
    try:
        return identifier(orjson.loads(found[1]))
    except orjson.JSONDecodeError:
        return None


def check_composition(payload: Mapping[str, Any], problems: list[FieldError], *, prefix: str, needed: bool) -> None:
    """Append what is wrong with positions and totals. Null counts as absent; unknown fields are nobody's business."""
    _check_composition(payload, problems, prefix, needed=needed, odd=True)


def _check_composition(
    payload: Mapping[str, Any], problems: list[FieldError], prefix: str, *, needed: bool, odd: bool
) -> None:
    """``odd`` is False when every number is known to be one, so that sane positions need no second look."""
    positions = payload.get("positions")
    if positions is None:
        if needed:
            problems.append(FieldError(f"{prefix}positions", "missing", "the order's positions are needed"))
    elif not isinstance(positions, list):
        problems.append(FieldError(f"{prefix}positions", "not_a_list", "positions are a list"))
    else:
        for index, position in enumerate(positions):
            if not odd and type(position) is dict and type(position.get("id")) is str and _sane(position):
                continue
            _check_position(position, problems, f"{prefix}positions.{index}")
            if len(problems) >= _MOST_PROBLEMS:
                break
    total = payload.get("total")
    if odd and isinstance(total, dict):
        for name in _TOTAL_NUMBERS:
            value = total.get(name)
            if value is not None and number_text(value) is None:
                problems.append(FieldError(f"{prefix}total.{name}", "not_a_number", "a number is needed"))


def read_time(value: object) -> str | None:
    """Return a moment as RFC 3339 in UTC, so that two spellings of one moment are equal; None when it is none.

    A time without a zone is taken as UTC; numbers are Unix time in seconds or milliseconds.
    """
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            return moment.astimezone(UTC).isoformat()
        if isinstance(value, int | float) and not isinstance(value, bool):
            seconds = value / 1000 if abs(value) >= _EARLIEST_MILLISECONDS else value
            return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None
    return None


def identifier(value: object) -> str | None:
    """Return an external id as text (ids may come as numbers), or None when it cannot serve as one."""
    if isinstance(value, str):
        return value if 0 < len(value) <= _LONGEST_ID and value.isprintable() and not value.isspace() else None
    if isinstance(value, int) and not isinstance(value, bool):
        text = str(value)
        return text if len(text) <= _LONGEST_ID else None
    return None


def parse_leniently(body: bytes) -> Any:
    """Parse what strict JSON refuses (byte order mark, lone surrogates, broken UTF-8, NaN); None when even that fails.

    An integer of thousands of digits comes as its text: making a number of it is what Python refuses, and nobody needs it.
    """
    try:
        return json.loads(body.decode("utf-8-sig", "replace"), strict=False, parse_int=_integer)
    except (ValueError, RecursionError):
        return None


def storable(text: str) -> str:
    """Return text that PostgreSQL and JSON hold: no NUL, no lone surrogate."""
    if text.isprintable():
        return text
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _integer(text: str) -> int | str:
    return int(text) if len(text) <= _LONGEST_INTEGER else text


def _parse(body: bytes) -> tuple[Any, bool]:
    try:
        return orjson.loads(body), True
    except orjson.JSONDecodeError:
        return parse_leniently(body), False


def _order_id(value: object, body: bytes) -> str | None:
    if isinstance(value, float):  # an integer past 64 bits comes out of the fast parser as a rounded float
        document = parse_leniently(body)
        value = document["payload"]["originalOrderId"]
        if isinstance(value, float) and value.is_integer():
            value = int(value)
    return identifier(value)


def _payload_digest(payload: Mapping[str, Any], problems: list[FieldError]) -> tuple[str | None, bool]:
    try:
        return _digest_and_oddity(payload)
    except TooDeep:
        problems.append(FieldError("payload", "too_deep", "the payload nests too deep"))
    except ValueError:
        problems.append(FieldError("payload", "not_strict_json", "the payload holds what strict JSON cannot"))
    return None, True


def _sane(position: Mapping[str, Any]) -> bool:
    """Say at little cost that nothing is wrong with a position whose id is text and whose numbers are numbers."""
    name = position["id"]
    return (
        0 < len(name) <= _LONGEST_ID
        and name.isprintable()
        and not name.isspace()
        and (position.get("quantity") is not None or position.get("originalQuantity") is not None)
    )


def _check_position(position: object, problems: list[FieldError], where: str) -> None:
    if not isinstance(position, dict):
        problems.append(FieldError(where, "not_an_object", "a position is an object"))
        return
    if identifier(position.get("id")) is None:
        problems.append(FieldError(f"{where}.id", "missing", "a position needs an id"))
    if position.get("quantity") is None and position.get("originalQuantity") is None:
        problems.append(FieldError(f"{where}.quantity", "missing", "a position needs a quantity"))
    for name in _POSITION_NUMBERS:
        value = position.get(name)
        if value is not None and number_text(value) is None:
            problems.append(FieldError(f"{where}.{name}", "not_a_number", "a number is needed"))


def number_text(value: object) -> str | None:
    """Return a number in its one spelling (``"85.00"``, ``85.0`` and ``85`` are ``"85"``), or None when it is no number."""
    kind = type(value)
    if kind is str:
        return _number_of_text(value) if len(value) <= 64 else None  # type: ignore[arg-type]  # kind says it is a str
    if kind is int:
        return str(value)
    if kind is float:
        return _number_of_text(repr(value))
    return None


def canonical(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the payload in its one form. Raises ``TooDeep``."""
    return _object(value, 0, [])


def digest(payload: Mapping[str, Any]) -> str:
    """Return the hexadecimal SHA-256 of the payload's one form.

    Raises ``TooDeep``, or ``ValueError`` for what strict JSON cannot hold (lone surrogates, integers past 64 bits).
    """
    return _digest_and_oddity(payload)[0]


def _digest_and_oddity(payload: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the digest, and whether any field that we know as a number holds something else: one walk for both."""
    odd: list[str] = []
    form = _object(payload, 0, odd)
    try:
        return hashlib.sha256(orjson.dumps(form, option=orjson.OPT_SORT_KEYS)).hexdigest(), bool(odd)
    except TypeError as error:  # orjson's own error class derives from it
        raise ValueError(str(error)) from None


@lru_cache(maxsize=16_384)
def _number_of_text(text: str) -> str | None:
    match = _PLAIN.fullmatch(text)
    if match is not None:
        return text if match[1] is None else text.rstrip("0").rstrip(".")
    try:
        number = Decimal(text.strip().replace(",", "."))
    except InvalidOperation:
        return None
    if not number.is_finite() or abs(number.adjusted()) > _LARGEST_EXPONENT:
        return None
    if not number:
        return "0"
    plain = f"{number:f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def _object(value: Mapping[str, Any], depth: int, odd: list[str]) -> dict[str, Any]:
    if depth > DEEPEST:
        raise TooDeep(f"nested deeper than {DEEPEST} levels")
    result: dict[str, Any] = {}
    for key, item in value.items():
        if key in NUMERIC:
            number = _number_of_text(item) if type(item) is str and len(item) <= 64 else number_text(item)
            if number is not None:
                result[key] = number
                continue
            if item is not None:
                odd.append(key)
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
    return int(value) if value.is_integer() and abs(value) < _EXACT else value
