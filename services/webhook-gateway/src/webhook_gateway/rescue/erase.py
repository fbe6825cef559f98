"""Blanks what is kept of a customer: endangered orders, the reports on them, what taken orders are recognised by, bans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from common.reading import phone_key

from common.postgres import Connection
from webhook_gateway.rescue.letter import letter_of
from webhook_gateway.rescue.store import EndangeredStore
from webhook_gateway.website.basket import email_key

# Numbers, sums and goods stay; who it was does not.
_ORDERS = """
UPDATE endangered_orders SET customer = '{}', address = NULL, body = '', mended_body = NULL, phone = NULL, email = NULL
WHERE (number = $1 OR phone = $2 OR email = $3) AND (customer <> '{}' OR body <> '' OR address IS NOT NULL)
RETURNING id
"""
_REPORTS = "SELECT DISTINCT report_id::text AS id FROM endangered_report_orders WHERE endangered_id = ANY($1::uuid[])"
_LETTER = "SELECT cause, remedy FROM endangered_reports WHERE id = $1::uuid AND state <> 'composing' FOR UPDATE"
_REWRITE = "UPDATE endangered_reports SET body = $2 WHERE id = $1::uuid"
_ARRIVALS = """
UPDATE website_arrivals SET phone = NULL, email = NULL
WHERE (number = $1 OR phone = $2 OR email = $3) AND (phone IS NOT NULL OR email IS NOT NULL)
"""
_BANS = "DELETE FROM order_bans WHERE kind = 'phone' AND value = $1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """Whose data: that of an order, or everything of a phone or mail. At least one is given."""

    order_number: str | None = None
    phone: str | None = None
    email: str | None = None


async def erase(connection: Connection, store: EndangeredStore, wanted: Erasure) -> Mapping[str, int]:
    """Blank it in the caller's transaction; return how many places of each kind. Again changes nothing.

    A report that was mailed is written anew of what is left of its orders; the mail itself is beyond reach.
    """
    phone = None if wanted.phone is None else phone_key(wanted.phone) or wanted.phone
    said = (wanted.order_number, phone, email_key(wanted.email))
    orders = [row["id"] for row in await connection.fetch(_ORDERS, *said)]
    reports = 0
    for row in await connection.fetch(_REPORTS, orders):
        letter = await connection.fetchrow(_LETTER, row["id"])
        if letter is not None:
            covered = await store.covered(connection, row["id"])
            text = letter_of(covered, cause=letter["cause"], remedy=letter["remedy"]).text
            await connection.execute(_REWRITE, row["id"], text)
            reports += 1
    return {
        "endangered_orders": len(orders),
        "endangered_reports": reports,
        "website_arrivals": _count(await connection.execute(_ARRIVALS, *said)),
        "order_bans": 0 if phone is None else _count(await connection.execute(_BANS, phone)),
    }


def _count(status: str) -> int:
    return int(status.rpartition(" ")[2])
