"""The last guard before anything leaves the process: masks secrets and customers' data by key and by pattern.

Code must not log such values in the first place (brief of every module); this catches what slips through, and text that
others write: exception messages, drivers' details, stack traces. Used on log lines and on Sentry events alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from common.digits import plain_digits

MASK = "[masked]"

_KEY_PARTS = (
    *("token", "authorization", "phone", "email", "mail_to", "password", "passwd", "secret", "api_key"),
    *("apikey", "cookie", "credential", "customer", "signature"),
)
_KEYS = frozenset(
    {
        *("name", "first_name", "last_name", "full_name", "fio", "recipient", "address", "full_address"),
        *("street", "payload", "body", "raw_body", "comment", "basket"),
    }
)
# Ids are made by us, or digested; masking digits inside them would make a log useless.
_SAFE_KEYS = frozenset(
    {
        *("timestamp", "level", "event", "logger", "service", "replica", "environment", "release"),
        *("trace_id", "span_id", "request_id", "order_number", "number", "order_id", "event_id"),
        *("message_id", "delivery_id", "workflow_id", "refund_id", "incident_id"),
    }
)
_DEPTH = 8  # deeper structures are not logged on purpose; they are masked whole

# From where its name begins, and nowhere else: a text without blanks would be looked through once for each of its letters. So what is
# glued to one belongs to it.
_MAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]+@[\w-]+(?:\.[\w-]+)+(?:[.+%][\w.+%-]*@[\w-]+(?:\.[\w-]+)+)*")
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # user:password@ in any address: the host stays readable, the credentials do not
    (re.compile(r"(?<=://)[^\s/@'\"]+@"), MASK + "@"),
    (re.compile(r"(?i)\b(bearer|basic|client-token)([\s:=]+)[\w.~+/=-]{4,}"), r"\1\2" + MASK),
    (re.compile(r"\bbot\d{3,}:[\w-]{10,}"), "bot" + MASK),  # Telegram puts its token into the path
    (re.compile(r"\b(?:xox[a-z]-|whsec_)[\w+/=-]{6,}"), MASK),
    (_MAIL, MASK),
    # asyncpg's DETAIL and pydantic's input_value repeat the offending values
    (re.compile(r"(DETAIL:\s*)[^\n]*"), r"\1" + MASK),
    (re.compile(r"(input_value=).*?(?=, input_type=|\]|$)", re.DOTALL), r"\1" + MASK),
)
# Not inside an id or a decimal fraction; people do write "тел.8916…" and "тел8916…".
_START = r"(?<![A-Za-z0-9_+-])(?<!\d\.)"
_BETWEEN = r"[\s().\-\u2010-\u2015]{0,3}"  # phones of tablets and of word processors have dots and long dashes
_PHONES = re.compile(
    r"\+\d[\d\s().\-\u2010-\u2015]{8,20}\d"
    rf"|{_START}[78]{_BETWEEN}9\d{{2}}(?:{_BETWEEN}\d){{7}}(?![\w-])"
    rf"|{_START}(?:[78]{_BETWEEN}\d|9)\d{{2}}{_BETWEEN}\d{{3}}{_BETWEEN}\d{{2}}{_BETWEEN}\d{{2}}(?![\w-])"
)
# Nothing above can match a text without one of these; most texts have none, and one search is cheaper than nine.
_SUSPECT = re.compile(r"@|\d{3}|\+\d|(?i:bearer|basic|client-token)|xox|whsec_|DETAIL:|input_value=")


_SHORTEST_CONTACT = 6  # a@b.ru

_SHOWN = "***"
_SHOWN_CHARACTERS = 2


def mask_name(name: str) -> str:
    """Return the first letter of a name, so that whoever knows it recognises it."""
    return f"{name.strip()[:1]}{_SHOWN}"


def mask_contact(contact: str) -> str:
    """Return a phone or mail with all but its last two characters hidden."""
    return f"{_SHOWN}{contact[-_SHOWN_CHARACTERS:]}" if len(contact) > 2 * _SHOWN_CHARACTERS else _SHOWN


def mask_all(value: Any) -> Any:
    """Return a JSON-like value with every text and number hidden: its shape and its keys are what is left."""
    if isinstance(value, Mapping):
        return {key: mask_all(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [mask_all(item) for item in value]
    return value if value is None or isinstance(value, bool) else _SHOWN


@lru_cache(maxsize=4096)
def is_sensitive(key: str) -> bool:
    """Say whether values under this key are masked whatever they hold."""
    lowered = key.lower().replace("-", "_")
    return lowered in _KEYS or any(part in lowered for part in _KEY_PARTS)


def scrub_text(text: str) -> str:
    """Mask phones, mail addresses, tokens and credentials inside a text; the rest stays as it is."""
    if _SUSPECT.search(text) is None:
        return text
    text = plain_digits(text)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return _PHONES.sub(MASK, text)


def contacts_in(text: str) -> list[str]:
    """Return the phones and mail addresses that a text holds, each as it is written in plain digits: those that ``scrub_text`` masks."""
    if len(text) < _SHORTEST_CONTACT or _SUSPECT.search(text) is None:
        return []
    text = plain_digits(text)
    return [*(match[0] for match in _PHONES.finditer(text)), *_MAIL.findall(text)]


def scrub(value: Any, *, depth: int = _DEPTH) -> Any:
    """Return a copy of a JSON-like value with sensitive keys masked and texts scrubbed.

    Numbers, booleans and ``None`` under a harmless key pass. Bytes are never shown, only their length.
    """
    if isinstance(value, str):
        return scrub_text(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if depth <= 0:
        return MASK
    if isinstance(value, Mapping):
        return {str(key): scrub_item(str(key), item, depth=depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [scrub(item, depth=depth - 1) for item in value]
    return scrub_text(str(value))


def scrub_item(key: str, value: Any, *, depth: int = _DEPTH) -> Any:
    """Scrub one value knowing the key it stands under. ``None`` and booleans say nothing about a person and stay."""
    if key in _SAFE_KEYS and isinstance(value, str):
        return scrub_text(value) if key == "event" else value
    if key == "traces" and isinstance(value, list):  # hundreds of ids of ours in one line
        return list(value)
    if value is None or isinstance(value, bool):
        return value
    if is_sensitive(key):
        return MASK
    return scrub(value, depth=depth)
