"""Blanks what is kept of a customer: endangered orders and the reports on them, what taken orders are recognised by, bans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from common.postgres import Connection
from common.reading import phone_key
from common.service import Erase, Subject
from common.telemetry import mask_names, scrub_text
from webhook_gateway.rescue.letter import letter_of
from webhook_gateway.rescue.store import EndangeredStore
from webhook_gateway.website.basket import email_key
from webhook_gateway.website.callers import words_of

# Numbers, sums and goods stay; who it was does not. A stranger's network stays: the warning about it ends with its orders.
# An order that nobody has saved has its number in its delivery.
_THEIRS = """
(number = $1 OR phone = $2 OR email = $3 OR id IN (SELECT delivery_id FROM deliveries WHERE number = $1 AND outcome = 'refused'))
"""
_ORDERS = f"""
UPDATE endangered_orders SET customer = '{{}}', address = NULL, body = '', mended_body = NULL, phone = NULL, email = NULL,
       network = CASE WHEN anonymous THEN network END
WHERE {_THEIRS} AND (customer <> '{{}}' OR body <> '' OR address IS NOT NULL OR (network IS NOT NULL AND NOT anonymous))
RETURNING id
"""  # noqa: S608 - constants
_REPORTS = "SELECT DISTINCT report_id::text AS id FROM endangered_report_orders WHERE endangered_id = ANY($1::uuid[])"
_LETTER = "SELECT cause, remedy FROM endangered_reports WHERE id = $1::uuid AND state <> 'composing' FOR UPDATE"
_REWRITE = "UPDATE endangered_reports SET body = $2, cause = $3, remedy = $4 WHERE id = $1::uuid"
_CALLED = f"SELECT customer ->> 'name' AS name FROM endangered_orders WHERE {_THEIRS} FOR UPDATE"  # noqa: S608 - constants
_ARRIVALS = """
UPDATE website_arrivals SET phone = NULL, email = NULL
WHERE (number = $1 OR phone = $2 OR email = $3) AND (phone IS NOT NULL OR email IS NOT NULL)
"""
# Where an order was refused from and to stands with it as it came; the ban's own spelling follows from that.
_PLACES = f"""
SELECT phone, address, CASE status WHEN 429 THEN network END AS network FROM endangered_orders WHERE {_THEIRS}
"""  # noqa: S608 - constants
_BANS = """
DELETE FROM order_bans
WHERE kind = 'phone' AND value = ANY ($1::text[]) OR kind = 'address' AND value = ANY ($2::text[])
   OR CASE kind WHEN 'ip' THEN value::inet <<= ANY ($3::text[]::inet[]) END
"""


def erasures(store: EndangeredStore) -> Mapping[str, Erase]:
    """Return the places by kind.

    A report that was mailed is written anew of what is left of its orders, the customer masked in what a person wrote for it, and
    counts as one more place; the mail itself is beyond reach. A ban of a phone, address or network goes, which lifts nothing: it is
    noted again if it is still in force. Bans go first, because the orders say whose they are.
    """

    async def _endangered(connection: Connection, subject: Subject) -> int:
        names = [row["name"] for row in await connection.fetch(_CALLED, *_said(subject))]
        orders = [row["id"] for row in await connection.fetch(_ORDERS, *_said(subject))]
        found = len(orders)
        for row in await connection.fetch(_REPORTS, orders):
            letter = await connection.fetchrow(_LETTER, row["id"])
            if letter is not None:
                covered = await store.covered(connection, row["id"])
                cause, remedy = (_without(letter[name], names) for name in ("cause", "remedy"))
                text = letter_of(covered, cause=cause, remedy=remedy).text
                await connection.execute(_REWRITE, row["id"], text, cause, remedy)
                found += 1
        return found

    return {"order_bans": _bans, "endangered_orders": _endangered, "website_arrivals": _arrivals}


def _without(text: str | None, names: Sequence[str | None]) -> str | None:
    return None if text is None else mask_names(scrub_text(text), names)


async def _arrivals(connection: Connection, subject: Subject) -> int:
    return _count(await connection.execute(_ARRIVALS, *_said(subject)))


async def _bans(connection: Connection, subject: Subject) -> int:
    number, phone, email = _said(subject)
    orders = await connection.fetch(_PLACES, number, phone, email)
    phones = {phone, *(row["phone"] for row in orders)} - {None}
    addresses = {words_of(row["address"]) for row in orders} - {None}
    networks = {row["network"] for row in orders} - {None}
    return _count(await connection.execute(_BANS, list(phones), list(addresses), list(networks)))


def _said(subject: Subject) -> tuple[str | None, str | None, str | None]:
    phone = None if subject.phone is None else phone_key(subject.phone) or subject.phone
    return subject.order_number, phone, email_key(subject.email)


def _count(status: str) -> int:
    return int(status.rpartition(" ")[2])
