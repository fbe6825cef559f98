"""Endangered orders in the gateway's database, for whoever reads them and for the transaction of a person who works on one."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from common.errors import NotFound
from common.postgres import Connection, Database, Record
from webhook_gateway.rescue.duplicates import find_duplicates
from webhook_gateway.rescue.model import ClosedAs, Duplicate, LockedOrder, LostOrder, State, hour_of, state_of
from webhook_gateway.website.basket import rescue_from

_LOST = (
    "id", "received_at", "status", "category", "customer", "address", "basket", "number", "source", "external_id", "network", "anonymous",
)  # fmt: skip
_ORDER = """
SELECT id::text AS id, received_at, status, category, customer, address, basket, number, source, external_id, network, anonymous, state,
       version, report_id IS NOT NULL
       OR EXISTS (SELECT FROM endangered_reports AS r WHERE r.endangered_id = endangered_orders.id AND r.state <> 'failed') AS reported,
       coalesce(mended_body, body) AS body, mended_body
FROM endangered_orders
"""
_COVERED = f"""
{_ORDER} WHERE id IN (SELECT endangered_id FROM endangered_report_orders WHERE report_id = $1) ORDER BY received_at, id
"""  # noqa: S608 - a constant
_MENDED = "UPDATE endangered_orders SET mended_body = $2, state = $3, mended_at = $4 WHERE id = $1"
_RESUBMITTED = """
UPDATE endangered_orders SET number = $2, state = $3, resubmitted_at = $4, mended_body = CASE WHEN body = $5 THEN mended_body ELSE $5 END,
       mended_at = CASE WHEN body = $5 THEN mended_at ELSE coalesce(mended_at, $4) END
WHERE id = $1
"""
_CLOSED = "UPDATE endangered_orders SET state = 'closed', outcome = $2, closed_at = $3 WHERE id = $1"
_CALLED = "UPDATE endangered_orders SET called_at = $2, called_by = $3, reached = $4 WHERE id = $1"
_STRANGERS = """
SELECT EXISTS (
    SELECT FROM endangered_orders
    WHERE network IS NOT DISTINCT FROM $1 AND anonymous AND state <> 'closed' AND number IS NULL
      AND received_at >= $2 AND received_at < $2 + interval '1 hour'
)
"""
_ALONE = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
_COVER = "UPDATE endangered_orders SET report_id = $2 WHERE id = $1"
_LINK = "INSERT INTO endangered_report_orders (report_id, endangered_id) VALUES ($1, $2)"
# Strangers' requests are grouped and waited for by nobody: they are no measure of what people have left undone.
_WAITING = """
SELECT CASE WHEN anonymous THEN 'anonymous' ELSE category END AS category, count(*) AS count, min(received_at) AS oldest
FROM endangered_orders WHERE state IN ('open', 'new', 'mended') GROUP BY 1
"""
_UNSENT = """
SELECT count(*) AS count, min(created_at) AS oldest FROM endangered_reports WHERE state IN ('composing', 'waiting', 'sending')
"""
_LOCK_ALL = "SELECT id::text AS id, version FROM endangered_orders WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE"


async def strangers_left(connection: Connection, network: str | None, received_at: datetime) -> bool:
    """Say whether others of an order's network and hour are still open: neither closed nor real orders by now.

    Of two who see to the last two at once, the second sees what the first has done.
    """
    hour = hour_of(received_at)
    await connection.execute(_ALONE, f"strangers {network} {hour.isoformat()}")
    left: bool = await connection.fetchval(_STRANGERS, network, hour)
    return left


class EndangeredStore:
    """Endangered orders: for whoever reads one, and for the transaction of a person who works on it."""

    def __init__(self, database: Database, *, public_url: str) -> None:
        self._database = database
        self._public_url = public_url.rstrip("/")

    async def lock(self, connection: Connection, endangered_id: str) -> LockedOrder:
        """Return an endangered order and hold it until the transaction ends. Raises ``NotFound``."""
        return self._found(await connection.fetchrow(_ORDER + "WHERE id = $1 FOR UPDATE", uuid.UUID(endangered_id)))

    async def duplicates(self, endangered_id: str) -> tuple[LockedOrder, Sequence[Duplicate]]:
        """Return an endangered order as it is now, held by nobody, and what looks like it. Raises ``NotFound``.

        The order that it has become, also by its customer's second try, is no other one.
        """
        async with self._database.acquire() as connection:
            found = self._found(await connection.fetchrow(_ORDER + "WHERE id = $1", uuid.UUID(endangered_id)))
            order = found.order
            alike = await find_duplicates(
                connection,
                rescue_from(found.body),
                source=order.source,
                endangered_id=order.id,
                number=found.number,
                received_at=order.received_at,
            )
        return found, [one for one in alike if order.number is None or one.number != order.number]

    def _found(self, row: Record | None) -> LockedOrder:
        if row is None:
            raise NotFound("no such endangered order")
        return LockedOrder(
            order=self._lost(row),
            state=state_of(row["state"]),
            body=row["body"],
            reported=row["reported"],
            version=row["version"],
        )

    async def lock_all(self, connection: Connection, ids: Sequence[str]) -> Mapping[str, int]:
        """Hold these until the transaction ends; return the version of each that exists."""
        wanted = [found for found in map(uuid_or_none, ids) if found is not None]
        return {row["id"]: row["version"] for row in await connection.fetch(_LOCK_ALL, wanted)}

    async def save_mended(
        self, connection: Connection, endangered_id: str, *, body: bytes, state: State, at: datetime
    ) -> None:
        """Keep a mended body beside the original."""
        await connection.execute(_MENDED, uuid.UUID(endangered_id), body, state.value, at)

    async def save_resubmitted(
        self, connection: Connection, endangered_id: str, *, number: str, body: bytes, state: State, at: datetime
    ) -> None:
        """Say which real order it has become, and of which body."""
        await connection.execute(_RESUBMITTED, uuid.UUID(endangered_id), number, state.value, at, body)

    async def save_closed(self, connection: Connection, endangered_id: str, *, outcome: ClosedAs, at: datetime) -> None:
        """Say that nothing more is to be done, and why."""
        await connection.execute(_CLOSED, uuid.UUID(endangered_id), outcome, at)

    async def save_called(
        self, connection: Connection, endangered_id: str, *, by: str, reached: bool, at: datetime
    ) -> None:
        """Note who called the customer last, and whether she answered."""
        await connection.execute(_CALLED, uuid.UUID(endangered_id), at, by, reached)

    async def cover(self, connection: Connection, report_id: str, endangered_id: str) -> None:
        """Say which report covers an order that is held and that no other covers."""
        await connection.execute(_COVER, uuid.UUID(endangered_id), uuid.UUID(report_id))
        await connection.execute(_LINK, uuid.UUID(report_id), uuid.UUID(endangered_id))

    async def order(self, endangered_id: Any) -> LostOrder | None:
        """Return what a report would be about."""
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(_ORDER + "WHERE id = $1", endangered_id)
        return None if row is None else self._lost(row)

    async def waiting(self) -> tuple[dict[str, int], datetime | None, int, datetime | None]:
        """Return counts by category and the oldest of what waits for a person; count and oldest of what waits for the mail server."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_WAITING)
            unsent = await connection.fetchrow(_UNSENT)
        oldest = min((row["oldest"] for row in rows if row["category"] != "anonymous"), default=None)
        counts = {row["category"]: row["count"] for row in rows}
        return counts, oldest, 0 if unsent is None else unsent["count"], None if unsent is None else unsent["oldest"]

    async def covered(self, connection: Connection, report_id: str) -> list[LostOrder]:
        """Return the orders that a report covers, the oldest first."""
        rows = await connection.fetch(_COVERED, uuid.UUID(report_id))
        return [self._lost(row) for row in rows]

    def _lost(self, row: Record) -> LostOrder:
        found = {name: row[name] for name in _LOST}
        if row["mended_body"] is not None:
            found |= as_mended(found, row["mended_body"])
        page = (
            f"{self._public_url}/e/{row['id']}" if self._public_url else str(row["id"])
        )  # a relative link opens nothing
        return LostOrder(**found, link=page)


def as_mended(found: Mapping[str, Any], mended: bytes) -> dict[str, Any]:
    """Return the basket of the mended body, and of customer and address what only that says: what came first is what people search by."""
    said = rescue_from(mended)
    return {
        "customer": {**said.customer, **found["customer"]},
        "address": found["address"] or said.address,
        "basket": said.basket or found["basket"],
    }


def uuid_or_none(text: str) -> uuid.UUID | None:
    """Return the id that a text is; None when it is none."""
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def cursor_uuid(text: str) -> uuid.UUID:
    """Return the id in a page's cursor."""
    return uuid_or_none(text) or uuid.UUID(int=0)  # a cursor that we did not make: nothing lies behind it
