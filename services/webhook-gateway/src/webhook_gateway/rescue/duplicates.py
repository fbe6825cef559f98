"""Likely duplicates of an endangered order: other orders of the same phone, mail or basket within a day, taken or endangered."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime

from common.postgres import Connection
from webhook_gateway.rescue.model import WITHIN, Duplicate
from webhook_gateway.website.basket import Rescue

_MOST = 20
# Each part by an index of its own. Closed ones were decided about: they are nobody's order.
_FIND = """
SELECT number, NULL AS id, NULL AS state, received_at, number = $9 AS name, phone = $2 AS phone, email = $3 AS email,
       basket_key = $4 AS basket
FROM website_arrivals
WHERE number = $9 OR (source = $1 AND received_at BETWEEN $5 AND $6 AND (phone = $2 OR email = $3 OR basket_key = $4))
UNION ALL
SELECT number, id::text, state, received_at, false, phone = $2, email = $3, basket_key = $4
FROM endangered_orders
WHERE source = $1 AND received_at BETWEEN $5 AND $6 AND (phone = $2 OR email = $3 OR basket_key = $4)
  AND id <> $7 AND state <> 'closed'
ORDER BY id NULLS FIRST, received_at LIMIT $8
"""


async def find_duplicates(
    connection: Connection, said: Rescue, *, source: str, endangered_id: str, number: str, received_at: datetime
) -> Sequence[Duplicate]:
    """Return at most twenty, those that were taken first. ``said`` is what the order says that is to be sent; it will
    have this ``number``.
    """
    rows = await connection.fetch(
        _FIND,
        source,
        said.phone,
        said.email,
        said.basket_key,
        received_at - WITHIN,
        received_at + WITHIN,
        uuid.UUID(endangered_id),
        _MOST,
        number,
    )
    found: dict[str, Duplicate] = {}
    for row in rows:
        one = Duplicate(
            same=tuple(name for name in ("name", "phone", "email", "basket") if row[name]),
            received_at=row["received_at"],
            number=row["number"],
            id=row["id"],
            state=row["state"],
        )
        found.setdefault(one.name, one)  # an endangered one that has become an order is that order
    return list(found.values())
