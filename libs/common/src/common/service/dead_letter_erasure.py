"""Erases a customer's data in dead letters."""

from __future__ import annotations

from collections.abc import Sequence

from common.http.kept_bodies import erase_message, message_mentions
from common.postgres import Connection, Record
from common.service.erasures import Subject

_PAGE = """
SELECT id, subject, body, mended FROM dead_letters
WHERE id > $1 AND erased_at IS NULL AND ($2::text[] IS NULL OR subject = ANY ($2)) ORDER BY id LIMIT $3 FOR UPDATE
"""
_ERASE = "UPDATE dead_letters SET body = $2, mended = $3, erased_at = now() WHERE id = $1"
_BATCH = 500


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
                await connection.execute(_ERASE, row["id"], erase_message(row["body"]), mended)
                erased += 1
        if len(rows) < _BATCH:
            return erased
        last = rows[-1]["id"]


def _mentions(row: Record, subject: Subject) -> bool:
    raws = [raw for raw in (row["body"], row["mended"]) if raw is not None]
    return any(message_mentions(raw, phone=subject.phone, email=subject.email) for raw in raws)
