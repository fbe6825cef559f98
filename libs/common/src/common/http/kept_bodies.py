"""Customers' data in what is kept as it came: a request's body, and a message with a body in it."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import orjson

from common.reading.customers import change_words, mentions, names_in, without_customer
from common.telemetry.masking import MASK, scrub_text
from common.telemetry.names import mask_names

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ERASED_ATTRIBUTES = ("requestheaders", "answerbody")
_SAID = frozenset({"reason", "summary", "detail", "details", "description", "text", "said", "why", "error"})
"""Names under which our own messages carry what somebody wrote."""


def mask_text(text: str) -> str:
    """Return a body for viewers: JSON with the customer masked, phones and mails in other texts too; what is no JSON is hidden."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        return MASK
    return orjson.dumps(mask_value(document)).decode()


def mask_value(value: Any) -> Any:
    """Return a JSON-like value for viewers: what is a customer's masked, phones and mails in other texts too."""
    return _unnamed(change_words(without_customer(value, lambda _: MASK), scrub_text, every=True), names_in(value))


def mask_carried(value: Any) -> Any:
    """Return what a message carries for viewers: JSON with the customer masked; a body that is no JSON is hidden."""
    return mask_text(value) if isinstance(value, str) else mask_value(value)


def mask_message(value: Any) -> Any:
    """Return a message for viewers: a CloudEvent with what it carries masked; what is none is hidden."""
    if not isinstance(value, dict):
        return None if value is None else MASK
    hidden = {name: MASK for name in ("data_base64", *_ERASED_ATTRIBUTES) if name in value}
    return {**mask_value(value), **hidden}


def erase_body(raw: bytes) -> bytes:
    """Return a body without its customer, phones and mails in other texts masked; nothing of what is no JSON. The rest is as it was."""
    try:
        erased = _erased(_read(raw))
    except (ValueError, RecursionError):
        return b""
    try:
        return orjson.dumps(erased)
    except TypeError:  # lone surrogates, integers past 64 bits
        return json.dumps(erased).encode()


def _read(raw: bytes) -> Any:
    """As the readers of bodies do: what they take as an order has to be one afterwards (half a character, line breaks within texts)."""
    try:
        return orjson.loads(raw.removeprefix(_BYTE_ORDER_MARK))
    except orjson.JSONDecodeError:
        return json.loads(raw.decode("utf-8-sig"), strict=False)


def erase_message(raw: bytes) -> bytes:
    """Return a message without its customer and what people wrote in it; nothing of what is no CloudEvent."""
    try:
        message = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return b""
    if not isinstance(message, dict):
        return b""
    carried = _carried(message)
    kept = {name: item for name, item in message.items() if name not in (*_ERASED_ATTRIBUTES, "why")}
    if carried is not None:
        kept["data_base64"] = base64.b64encode(erase_body(carried)).decode("ascii")
    if isinstance(data := kept.get("data"), dict):
        data = {name: _unsaid(item) if name in _SAID else item for name, item in data.items()}
    return orjson.dumps({**kept, "data": _erased(data)} if "data" in kept else kept)


def message_mentions(raw: bytes, *, phone: str | None = None, email: str | None = None) -> bool:
    """Say whether a message, or the body that it carries, holds this phone or this mail."""
    message = json_or_text(raw)
    carried = _carried(message) if isinstance(message, dict) else None
    within = message if carried is None else [message, json_or_text(carried)]
    return mentions(within, phone=phone, email=email)


def _carried(message: dict[str, Any]) -> bytes | None:
    carried = message.get("data_base64")
    try:
        return base64.b64decode(carried, validate=True) if isinstance(carried, str) else None
    except ValueError:
        return b""


def json_or_text(raw: bytes) -> Any:
    """Return a body's JSON value; its text where it is none."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw.decode("utf-8", "replace")


def _erased(value: Any) -> Any:
    return _unnamed(change_words(without_customer(value, lambda _: None), _scrub_prose, every=True), names_in(value))


def _unnamed(value: Any, names: Sequence[str]) -> Any:
    """The customer's names stand in other texts, too: what to take instead, how to send it."""
    return change_words(value, lambda text: mask_names(text, names) or "") if names else value


def _unsaid(value: Any) -> Any:
    """Nothing, of the same type: a person mends what else is wrong with the message, and it has to fit then."""
    if isinstance(value, dict):
        return {}
    return MASK if isinstance(value, str) else None


def _scrub_prose(text: str) -> str:
    """Mask phones and mails in what somebody wrote. A number or an id that only looks like a phone stays: the order goes by it."""
    return scrub_text(text) if text.startswith(("+", "\uff0b")) or any(sign.isspace() for sign in text) else text
