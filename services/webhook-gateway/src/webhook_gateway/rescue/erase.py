"""Blanks what is kept of a customer: endangered orders and the reports on them, what taken orders are recognised by, bans."""

from __future__ import annotations

from collections.abc import Mapping

from common.postgres import Connection
from common.reading import phone_key
from common.service import Erase, Subject
from webhook_gateway.rescue.letter import letter_of
from webhook_gateway.rescue.store import EndangeredStore
from webhook_gateway.website.basket import email_key

# Numbers, sums and goods stay; who it was does not. An order that nobody has saved has its number in its delivery.
_ORDERS = """
UPDATE endangered_orders SET customer = '{}', address = NULL, body = '', mended_body = NULL, phone = NULL, email = NULL
WHERE (number = $1 OR phone = $2 OR email = $3 OR id IN (SELECT delivery_id FROM deliveries WHERE number = $1 AND outcome = 'refused'))
  AND (customer <> '{}' OR body <> '' OR address IS NOT NULL)
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


def erasures(store: EndangeredStore) -> Mapping[str, Erase]:
    """Return the places by kind.

    A report that was mailed is written anew of what is left of its orders, and counts as one more place; the mail itself is beyond
    reach. A ban goes, which lifts nothing: it is noted again if it is still in force.
    """

    async def _endangered(connection: Connection, subject: Subject) -> int:
        orders = [row["id"] for row in await connection.fetch(_ORDERS, *_said(subject))]
        found = len(orders)
        for row in await connection.fetch(_REPORTS, orders):
            letter = await connection.fetchrow(_LETTER, row["id"])
            if letter is not None:
                covered = await store.covered(connection, row["id"])
                text = letter_of(covered, cause=letter["cause"], remedy=letter["remedy"]).text
                await connection.execute(_REWRITE, row["id"], text)
                found += 1
        return found

    return {"endangered_orders": _endangered, "website_arrivals": _arrivals, "order_bans": _bans}


async def _arrivals(connection: Connection, subject: Subject) -> int:
    return _count(await connection.execute(_ARRIVALS, *_said(subject)))


async def _bans(connection: Connection, subject: Subject) -> int:
    return 0 if subject.phone is None else _count(await connection.execute(_BANS, _said(subject)[1]))


def _said(subject: Subject) -> tuple[str | None, str | None, str | None]:
    phone = None if subject.phone is None else phone_key(subject.phone) or subject.phone
    return subject.order_number, phone, email_key(subject.email)


def _count(status: str) -> int:
    return int(status.rpartition(" ")[2])
