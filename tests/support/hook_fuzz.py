"""Bodies that nobody should send: mutations of valid hooks, the same ones for the same seed."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

EVENTS = (
    "order.created",
    "order.changed",
    "order.paid",
    "order.received",
    "order.delivered",
    "order.cancelled",
    "order.updated",
    "courier.assigned",
)
KEYS = ("event_type", "timestamp", "payload", "originalOrderId", "positions", "id", "quantity", "price", "total", "x")

# Pieces of JSON text, put in as they stand: most cannot be had from a JSON library.
TOKENS = (
    "null",
    "true",
    "0",
    "-0",
    "-0.0",
    "1e400",
    "-1e400",
    "1e-400",
    "1E+5",
    "0.1e1",
    "9" * 25,
    "9" * 400,
    "1" + "0" * 10_000,
    "-" + "7" * 5_000,
    "0." + "3" * 5_000,
    "1" * 4_300,
    "1" * 4_301,
    "1.7976931348623157e308",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775809",
    "NaN",
    "Infinity",
    "-Infinity",
    '""',
    '" "',
    '"\\u0000"',
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"\\uffff"',
    '"\\u202e"',
    '"1e400"',
    '"NaN"',
    '"0x10"',
    '"1_000"',
    '"٣"',
    '"1,5"',
    '"' + "x" * 300 + '"',
    '"' + "9" * 5_000 + '"',
    "[]",
    "{}",
    "[[]]",
    '{"":""}',
    '{"originalOrderId":{}}',
    "[" * 70 + "]" * 70,
    '{"a":' * 70 + "1" + "}" * 70,
    "[" * 2_000 + "]" * 2_000,
    '"2026-11-21T10:00:00+99:99"',
    '"0000-00-00T00:00:00Z"',
    '"9999-12-31T23:59:59-14:00"',
    "253402300800",
    "1e18",
)
_ODD_BYTES = (b"\x00", b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"\n", b"\\", b'"')


def valid_hook(chance: random.Random, order: str) -> dict[str, Any]:
    """A hook as the marketplace sends it."""
    positions = [
        {
            "id": f"sku-{number}",
            "originalQuantity": chance.randint(1, 5),
            "quantity": chance.choice([1, 2, "3", "0.5"]),
            "price": "85.00",
            "totalPrice": chance.choice(["170.00", 170, 170.5]),
        }
        for number in range(chance.randint(1, 4))
    ]
    return {
        "event_type": chance.choice(EVENTS),
        "timestamp": "2026-11-21T10:00:00+03:00",
        "payload": {
            "originalOrderId": order,
            "storeID": "17",
            "comment": "позвонить",
            "customer": {"name": "И", "phone": "+79990001122"},
            "positions": positions,
            "total": {"totalPrice": "170.00"},
        },
    }


def bodies(count: int, *, seed: int) -> Iterator[bytes]:
    """Yield so many bodies, from hardly touched to unrecognisable."""
    chance = random.Random(seed)  # noqa: S311 - makes bodies, not keys
    for number in range(count):
        document = valid_hook(chance, f"F{seed}-{number}")
        text = json.dumps(document, ensure_ascii=chance.random() < 0.5)
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            text = _change_text(chance, text)
        # Lone surrogates cannot stand here: json.dumps escapes them, and the tokens carry them escaped.
        raw = text.encode()
        for _ in range(chance.choice((0, 0, 0, 1, 2, 4))):
            raw = _change_bytes(chance, raw)
        yield raw


def _change_text(chance: random.Random, text: str) -> str:
    """Change one value, or one key, where the text still is JSON; anything else is changed as text."""
    kind = chance.randrange(6)
    if kind == 0:  # another value behind a known key
        key = json.dumps(chance.choice(KEYS)) + ": "
        at = text.find(key)
        if at >= 0:
            start = at + len(key)
            try:
                _, end = json.JSONDecoder().raw_decode(text, start)
            except (ValueError, RecursionError):
                return text
            return text[:start] + chance.choice(TOKENS) + text[end:]
    if kind == 1:  # the same key twice, the second one wins or the first one does
        at = text.find("{", chance.randrange(max(1, len(text))))
        if at >= 0:
            return f"{text[: at + 1]}{json.dumps(chance.choice(KEYS))}: {chance.choice(TOKENS)}, {text[at + 1 :]}"
    if kind == 2:  # a key of another name
        name = chance.choice(KEYS)
        return text.replace(f'"{name}"', json.dumps(name.upper()), 1)
    if kind == 3:  # wrapped
        return chance.choice(("[{}]", '{{"payload": {}}}', '"{}"', "{} {}")).replace("{}", text)
    if kind == 4:  # one character replaced by a token
        at = chance.randrange(max(1, len(text)))
        return text[:at] + chance.choice(TOKENS) + text[at + 1 :]
    return text


def _change_bytes(chance: random.Random, raw: bytes) -> bytes:
    at = chance.randrange(max(1, len(raw)))
    kind = chance.randrange(6)
    if kind == 0:
        return raw[:at]
    if kind == 1:
        return raw[:at] + chance.choice(_ODD_BYTES) + raw[at:]
    if kind == 2:
        return raw[:at] + bytes([chance.randrange(256)]) + raw[at + 1 :]
    if kind == 3:
        return raw[at:]
    if kind == 4:
        return chance.choice((b"\xef\xbb\xbf", b"\xff\xfe", b" ", b"\x00")) + raw
    return raw[:at] + raw[at + chance.randrange(1, 20) :]
