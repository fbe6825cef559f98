"""Erases a customer in what came in: the rows, their numbers, sums and times stay."""

from __future__ import annotations

from common.http.kept_bodies import erase_body
from common.postgres import Connection
from common.service import Subject
from webhook_gateway.deliveries.digests import PeopleDigests, mail_token, phone_token

_BATCH = 200
_OF_PEOPLE = "SELECT DISTINCT number FROM deliveries WHERE people @> $1::bigint[] AND number IS NOT NULL"
_PAGE = """
SELECT received_at, delivery_id, number, body FROM deliveries AS d
WHERE erased_at IS NULL
  AND (number = ANY ($1::text[]) OR ($2::bigint[] IS NOT NULL AND people @> $2::bigint[])) ORDER BY received_at, delivery_id LIMIT $3
FOR NO KEY UPDATE
"""
_ERASE = """
UPDATE deliveries SET body = $3, headers = '{}', people = '{}', erased_at = now() WHERE received_at = $1 AND delivery_id = $2
"""


async def erase_deliveries(connection: Connection, subject: Subject, *, digests: PeopleDigests) -> int:
    """Blank the customer in every delivery of an order, or of all orders that were placed with this phone or mail.

    In the caller's transaction; returns in how many. Every delivery of such an order is blanked, also one that names only an address.
    What is left of a body is not sent again.
    """
    asked: list[list[int] | None] = [*_asked(subject, digests)]
    numbers = await numbers_of(connection, subject, digests=digests)
    erased = 0
    for digested in asked or [None]:
        while rows := await connection.fetch(_PAGE, numbers, digested, _BATCH):
            for row in rows:
                await connection.execute(_ERASE, row["received_at"], row["delivery_id"], erase_body(row["body"]))
            # An order that came just now may have come before in a delivery that names only an address: nothing else leads to that.
            numbers = sorted({*numbers, *(row["number"] for row in rows if row["number"] is not None)})
            erased += len(rows)
    return erased


async def numbers_of(connection: Connection, subject: Subject, *, digests: PeopleDigests) -> list[str]:
    """Return the orders that are the subject's, as far as deliveries are kept that say so."""
    if subject.order_number is not None:
        return [subject.order_number]
    found: set[str] = set()
    for digested in _asked(subject, digests):
        found.update(row["number"] for row in await connection.fetch(_OF_PEOPLE, digested))
    return sorted(found)


def _asked(subject: Subject, digests: PeopleDigests) -> list[list[int]]:
    token = None
    if subject.phone is not None:
        token = phone_token(subject.phone)
    elif subject.email is not None:
        token = mail_token(subject.email)
    return [] if token is None else digests.asked([token])
