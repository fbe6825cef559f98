"""Reads a hook tolerantly: what is needed is read, what is unknown is kept, what does not fit is named (CONTRACT 3)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from common.errors import FieldError
from webhook_gateway.hooks import canonical, events

_LONGEST_ID = 255
_LONGEST_INTEGER = 1000  # digits; a double has 309 before its point
_POSITION_NUMBERS = tuple(sorted(canonical.NUMERIC - {"discountTotalPrice"}))
_TOTAL_NUMBERS = ("totalPrice", "discountTotalPrice")
_MOST_PROBLEMS = 20
_EARLIEST_MILLISECONDS = 1e11  # as seconds that would be the year 5138


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What could be read from an authenticated body.

    ``event`` is a name of M1, the name as it came, or ``events.UNREADABLE``. ``external_id`` is None when no order id can be read.
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
        return self.event in events.KNOWN

    @property
    def ignorable(self) -> bool:
        """Whether the body names an event, and not one of ours."""
        return self.event != events.UNREADABLE and not self.known


def read_hook(body: bytes) -> Reading:
    """Read ``{"event_type", "timestamp", "payload"}``. Never raises, whatever the bytes are."""
    document, strict = _parse(body)
    if not isinstance(document, dict):
        fault = FieldError("", "not_json" if document is None else "not_an_object", "the body is no JSON object")
        return Reading(
            event=events.UNREADABLE,
            external_id=None,
            sent_at=None,
            digest=hashlib.sha256(body).hexdigest(),
            problems=(fault,),
        )
    payload = document.get("payload")
    event = events.canonical(document.get("event_type"))
    problems: list[FieldError] = []
    if not strict:
        problems.append(FieldError("", "not_strict_json", "the body is JSON only to a lenient reader"))
    if event is events.UNREADABLE:
        problems.append(FieldError("event_type", "missing", "no event type can be read"))
    external_id = None
    content: str | None = None
    if isinstance(payload, dict):
        external_id = _order_id(payload.get("originalOrderId"), body)
        content, odd = _digest(payload, problems)
        if event in events.KNOWN:
            needed = event in events.NEED_POSITIONS
            check_composition(payload, problems, prefix="payload.", needed=needed, numbers=odd)
    if external_id is None:
        problems.append(FieldError("payload.originalOrderId", "missing", "no order id can be read"))
    return Reading(
        event=event,
        external_id=external_id,
        sent_at=read_time(document.get("timestamp")),
        digest=content or hashlib.sha256(body).hexdigest(),
        problems=tuple(problems[:_MOST_PROBLEMS]),
    )


def check_composition(
    payload: Mapping[str, Any], problems: list[FieldError], *, prefix: str, needed: bool, numbers: bool = True
) -> None:
    """Append what is wrong with positions and totals. Null counts as absent; unknown fields are nobody's business.

    ``numbers`` False: the caller knows that every number is one (``digest_and_oddities``).
    """
    positions = payload.get("positions")
    if positions is None:
        if needed:
            problems.append(FieldError(f"{prefix}positions", "missing", "the order's positions are needed"))
    elif not isinstance(positions, list):
        problems.append(FieldError(f"{prefix}positions", "not_a_list", "positions are a list"))
    else:
        for index, position in enumerate(positions):
            if not numbers and type(position) is dict and type(position.get("id")) is str and _sane(position):
                continue
            _check_position(position, problems, f"{prefix}positions.{index}")
            if len(problems) >= _MOST_PROBLEMS:
                break
    total = payload.get("total")
    if numbers and isinstance(total, dict):
        for name in _TOTAL_NUMBERS:
            value = total.get(name)
            if value is not None and canonical.number_text(value) is None:
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


def _digest(payload: Mapping[str, Any], problems: list[FieldError]) -> tuple[str | None, bool]:
    try:
        return canonical.digest_and_oddities(payload)
    except canonical.TooDeep:
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
        if value is not None and canonical.number_text(value) is None:
            problems.append(FieldError(f"{where}.{name}", "not_a_number", "a number is needed"))
