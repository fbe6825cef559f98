"""Identifiers: our order number, and ids of events and rows."""

from __future__ import annotations

import hashlib
import math
import os
import time
from datetime import datetime

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(first + second for first in _CROCKFORD for second in _CROCKFORD)
_PAIR_SHIFTS = tuple(range(70, -1, -10))  # 80 bits: a hundred million orders collide with a probability of about 4e-9


def order_number(source: str, external_id: str) -> str:
    """Return our number of an order, e.g. ``7Q3M0V9XK2TDW8RC``.

    A pure function of the source and the source's own id: every replica gives the same
    answer with no look-up, at the same moment, also after a crash. 16 characters of Crockford's base 32, so that it can
    be read out on the phone. The two parts are length-prefixed, so ("a", "bc") and ("ab", "c") differ.
    """
    name = source.encode("utf-8", "surrogatepass")
    material = len(name).to_bytes(4, "big") + name + external_id.encode("utf-8", "surrogatepass")
    value = int.from_bytes(hashlib.blake2b(material, digest_size=10, person=b"order-number").digest(), "big")
    return "".join([_PAIRS[(value >> shift) & 1023] for shift in _PAIR_SHIFTS])


def first_id(moment: datetime) -> str:
    """Return what every id that ``new_id`` makes at the moment or later is not below, and every earlier one is."""
    text = f"{max(0, math.ceil(moment.timestamp() * 1000)) << 80:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_id() -> str:
    """Return a fresh UUID of version 7: ids made later sort later (to the millisecond), which keeps indexes compact."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | (7 << 76) | (int.from_bytes(os.urandom(10), "big") & ((1 << 76) - 1))
    value = (value & ~(3 << 62)) | (2 << 62)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def derived_id(*parts: str) -> str:
    """Return an id that the same parts always give.

    Used as the id of an event that a repeat must not be able to double: 32 hexadecimal characters of BLAKE2b over the
    length-prefixed parts.
    """
    material = b""
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        material += len(raw).to_bytes(4, "big") + raw
    return hashlib.blake2b(material, digest_size=16, person=b"derived-id").hexdigest()
