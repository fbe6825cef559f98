"""Erases a customer's data in dead letters."""

from __future__ import annotations

import re
from collections.abc import Sequence

from common.http.kept_bodies import erase_message, message_mentions
from common.postgres import Connection, Record
from common.service.erasures import Subject
from common.telemetry import MASK

_PAGE = """
SELECT id, subject, body, mended, error FROM dead_letters
WHERE id > $1 AND erased_at IS NULL AND ($2::text[] IS NULL OR subject = ANY ($2)) ORDER BY id LIMIT $3 FOR UPDATE
"""
_ERASE = "UPDATE dead_letters SET body = $2, mended = $3, error = $4, erased_at = now() WHERE id = $1"
_BATCH = 500
_NOBODYS = re.compile(r"[A-Za-z_]+ at (unknown place|[\w.<>-]+:[0-9]+)|the broker gave up: [a-z ]+", re.ASCII)
"""An exception's type and place, as services write them now. In other words somebody may be named."""


async def erase_dead_letters(connection: Connection, subject: Subject, *, orders: Sequence[str] = ()) -> int:
    """Blank the customer in messages about the order, or these orders, and in those that hold the phone or mail; return in how many.

    In the caller's transaction. A letter that nobody has decided about stays open: it can be mended or dismissed, not replayed.
    """
    only_orders = subject.order_number is not None
    orders = [*orders, *([subject.order_number] if subject.order_number is not None else [])]
    erased, last = 0, 0
    while True:
        rows = await connection.fetch(_PAGE, last, orders if only_orders else None, _BATCH)
        for row in rows:
            if row["subject"] in orders or _mentions(row, subject):
                mended = None if row["mended"] is None else erase_message(row["mended"])
                error = row["error"] if _NOBODYS.fullmatch(row["error"]) else MASK
                await connection.execute(_ERASE, row["id"], erase_message(row["body"]), mended, error)
                erased += 1
        if len(rows) < _BATCH:
            return erased
        last = rows[-1]["id"]


def _mentions(row: Record, subject: Subject) -> bool:
    raws = [raw for raw in (row["body"], row["mended"]) if raw is not None]
    return any(
        message_mentions(raw, phone=subject.phone, email=subject.email) for raw in (*raws, row["error"].encode())
    )
