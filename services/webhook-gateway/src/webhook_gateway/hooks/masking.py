"""What of a request may be kept and shown: headers without secrets, customers without faces."""

from __future__ import annotations

from collections.abc import Iterable

MASK = "***"

_SECRET_NAMES = frozenset(
    {"authorization", "client-token", "webhook-signature", "cookie", "proxy-authorization", "x-api-key"}
)
_MOST_HEADERS = 40
_LONGEST_VALUE = 300
_SHOWN_DIGITS = 2


def mask_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers by lower-case name, secrets replaced, long values cut, at most forty of them."""
    result: dict[str, str] = {}
    for name, value in headers:
        lower = name.lower()
        if len(result) >= _MOST_HEADERS:
            break
        secret = lower in _SECRET_NAMES or "token" in lower or "secret" in lower
        result[lower] = MASK if secret else storable(value[:_LONGEST_VALUE])
    return result


def storable(text: str) -> str:
    """Return text that PostgreSQL and JSON hold: no NUL, no lone surrogate."""
    if text.isprintable():
        return text
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def mask_contact(value: str | None) -> str:
    """Return a phone or mail with all but its last two characters hidden, for alerts that go to chats (GOALS R8)."""
    if not value:
        return "-"
    return f"{MASK}{value[-_SHOWN_DIGITS:]}" if len(value) > 2 * _SHOWN_DIGITS else MASK


def mask_name(value: str | None) -> str:
    """Return the first letter of a name, for alerts that go to chats."""
    return f"{value.strip()[:1]}{MASK}" if value and value.strip() else "-"
