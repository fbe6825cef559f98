"""The table ``refund_differences``. A difference is known once until it is over; one that was acknowledged is told when it changes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from common.postgres import Connection, Database, Record, member
from refunds.differences.model import Difference, DifferenceKind, StoredDifference

_COLUMNS = """
    id, version, kind, gateway, subject, order_number, detail, payment_id, amount, currency, found_at, acknowledged_at,
    acknowledged_by, over_at, adopted_as
"""
_ACKNOWLEDGED = """
SELECT acknowledged_at IS NOT NULL FROM refund_differences
WHERE subject = $1 AND gateway = $2 AND kind = $3 AND over_at IS NULL FOR NO KEY UPDATE
"""
# One that is known keeps its first moment; what is said of it follows the gateway. What people acknowledged was not this.
_ADD = """
INSERT INTO refund_differences AS d (kind, gateway, subject, order_number, detail, payment_id, amount, currency, found_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (subject, gateway, kind) WHERE over_at IS NULL DO UPDATE
   SET detail = excluded.detail, order_number = coalesce(excluded.order_number, d.order_number), payment_id = excluded.payment_id,
       amount = excluded.amount, currency = excluded.currency, version = d.version + 1, acknowledged_at = NULL, acknowledged_by = NULL
 WHERE (d.detail, d.payment_id, d.amount, d.currency)
       IS DISTINCT FROM (excluded.detail, excluded.payment_id, excluded.amount, excluded.currency)
RETURNING xmax = 0 AS added
"""
_CLOSE = f"""
UPDATE refund_differences SET over_at = $2, version = version + 1
WHERE subject = $1 AND over_at IS NULL AND ($3::text IS NULL OR kind <> $3)
RETURNING {_COLUMNS}
"""  # noqa: S608 - the only thing put in is the list of columns above
_COUNT = """
SELECT kind, count(*) AS open FROM refund_differences WHERE over_at IS NULL AND acknowledged_at IS NULL GROUP BY kind
"""
_LOCK = f"SELECT {_COLUMNS} FROM refund_differences WHERE id = $1 FOR NO KEY UPDATE"  # noqa: S608 - as above
_FIND = f"SELECT {_COLUMNS} FROM refund_differences WHERE id = $1"  # noqa: S608 - as above
_PAGE = f"""
SELECT {_COLUMNS} FROM refund_differences
WHERE ($1::text IS NULL OR kind = $1) AND ($2::text IS NULL OR order_number = $2) AND ($3::text IS NULL OR subject = $3)
  AND ($4::boolean IS NULL OR (over_at IS NULL AND acknowledged_at IS NULL) = $4) AND ($5::bigint IS NULL OR id < $5)
ORDER BY id DESC LIMIT $6
"""  # noqa: S608 - as above
_ACKNOWLEDGE = f"""
UPDATE refund_differences SET acknowledged_at = $2, acknowledged_by = $3, version = version + 1 WHERE id = $1 RETURNING {_COLUMNS}
"""  # noqa: S608 - as above
_ADOPT = f"""
UPDATE refund_differences SET over_at = $2, adopted_as = $3, order_number = coalesce(order_number, $4), version = version + 1
WHERE id = $1 RETURNING {_COLUMNS}
"""  # noqa: S608 - as above


async def add_difference(connection: Connection, difference: Difference, *, now: datetime) -> bool:
    """Store a difference. False when people know it: it is not over, and was not acknowledged as something else than it is now."""
    d = difference
    acknowledged = await connection.fetchval(_ACKNOWLEDGED, d.subject, d.gateway, d.kind)
    values = (d.kind, d.gateway, d.subject, d.order_number, d.detail, d.payment_id, d.amount, d.currency, now)
    added = await connection.fetchval(_ADD, *values)  # None: as it was
    return added is not None and bool(added or acknowledged)


async def close_differences(
    connection: Connection, subject: str, *, but: str | None, now: datetime
) -> Sequence[StoredDifference]:
    """Return, once, the differences of the subject, but for those of a kind, that were not over."""
    return [_stored(row) for row in await connection.fetch(_CLOSE, subject, now, but)]


async def lock_difference(connection: Connection, difference_id: int) -> StoredDifference | None:
    """Return a difference, locked until the transaction ends."""
    row = await connection.fetchrow(_LOCK, difference_id)
    return None if row is None else _stored(row)


async def acknowledge_difference(
    connection: Connection, difference_id: int, *, by: str, now: datetime
) -> StoredDifference:
    """Note who has seen it. It must be locked."""
    return _stored(await connection.fetchrow(_ACKNOWLEDGE, difference_id, now, by))


async def adopt_difference(
    connection: Connection, difference_id: int, *, refund_id: str, order_number: str, now: datetime
) -> StoredDifference:
    """Note that the refund stands for it, which ends it. It must be locked."""
    return _stored(await connection.fetchrow(_ADOPT, difference_id, now, UUID(refund_id), order_number))


async def find_difference(database: Database, difference_id: int) -> StoredDifference | None:
    """Return a difference."""
    async with database.acquire() as connection:
        row = await connection.fetchrow(_FIND, difference_id)
    return None if row is None else _stored(row)


async def find_differences(
    database: Database,
    *,
    kind: str | None,
    order: str | None,
    subject: str | None,
    is_open: bool | None,
    before: int | None,
    limit: int,
) -> list[StoredDifference]:
    """Return differences, newest first, from before the given id. ``is_open``: neither over nor acknowledged."""
    async with database.acquire() as connection:
        rows = await connection.fetch(_PAGE, kind, order, subject, is_open, before, limit)
    return [_stored(row) for row in rows]


async def count_differences(database: Database) -> dict[str, int]:
    """Count the differences that are neither over nor acknowledged, by kind."""
    async with database.acquire() as connection:
        rows = await connection.fetch(_COUNT)
    return {row["kind"]: row["open"] for row in rows}


def _stored(row: Record | None) -> StoredDifference:
    if row is None:
        raise LookupError("a difference that was locked is not there")
    names = ("gateway", "subject", "detail", "order_number", "payment_id", "amount", "currency")
    return StoredDifference(
        difference=Difference(member(DifferenceKind, row["kind"]), **{name: row[name] for name in names}),
        adopted_as=None if row["adopted_as"] is None else str(row["adopted_as"]),
        **{name: row[name] for name in ("id", "version", "found_at", "acknowledged_at", "acknowledged_by", "over_at")},
    )
