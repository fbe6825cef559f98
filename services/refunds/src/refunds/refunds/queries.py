"""Reads across refunds: the queue of those that are due, the operators' lists, and the counts for the gauges."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from common.postgres import Connection, Database
from refunds.refunds.statements import HAD, SELECT
from refunds.refunds.states import RefundState

# What a newer release carries on from states of its own is left to it: here it would stay due, and be taken again at once and for ever.
CLAIM = f"""
WITH due AS (
    SELECT id FROM refunds
    WHERE next_attempt_at <= $1 AND (lease_until IS NULL OR lease_until <= $1)
      AND state IN ({", ".join(f"{state:d}" for state in RefundState)})
    ORDER BY next_attempt_at LIMIT $2
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE refunds AS r SET lease_owner = $3, lease_until = $4 FROM due WHERE r.id = due.id RETURNING r.id
"""  # noqa: S608 - numbers of ours
_RELEASE = "UPDATE refunds SET lease_owner = NULL, lease_until = NULL WHERE id = $1 AND lease_owner = $2"

_PAYMENTS = f"""
SELECT p.payment_id, p.gateway, p.captured, p.captured_at, p.currency, p.reserved, p.captured - p.reserved AS "left", s.refunded, s.refunds
FROM payments AS p CROSS JOIN LATERAL (
    SELECT count(*) AS refunds, coalesce(sum(coalesce(r.amount, r.reserved)) FILTER (WHERE {HAD}), 0)::bigint AS refunded
    FROM refunds AS r WHERE r.payment_id = p.payment_id
) AS s
WHERE {{conditions}} ORDER BY p.payment_id LIMIT {{limit}}
"""  # noqa: S608 - a constant is put in
# A payment is locked before its refunds, always.
_LOCK_PAYMENTS = """
SELECT FROM payments WHERE payment_id IN (SELECT payment_id FROM refunds WHERE id = ANY($1::uuid[]))
ORDER BY payment_id FOR NO KEY UPDATE
"""
_LOCK_VERSIONS = "SELECT id, version FROM refunds WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE"
UNFINISHED = """
SELECT state, count(*) AS refunds, extract(epoch FROM now() - min(state_since))::float8 AS oldest
FROM refunds WHERE state NOT IN (5, 9, 10, 11, 12) GROUP BY state
"""


class RefundQueue:
    """The refunds that are due, leased to one worker at a time.

    Replicas never get the same refund at the same time, unless one keeps it for longer than the lease.
    """

    def __init__(self, database: Database, *, owner: str, lease: timedelta) -> None:
        self._database = database
        self._owner = owner
        self._lease = lease

    async def claim(self, *, limit: int, now: datetime) -> list[str]:
        """Take up to ``limit`` due refunds for the length of the lease; return their ids."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(CLAIM, now, limit, self._owner, now + self._lease)
        return [str(row["id"]) for row in rows]

    async def release(self, refund_id: str) -> None:
        """Give a refund back; it is due again at its own time."""
        async with self._database.acquire() as connection:
            await connection.execute(_RELEASE, UUID(refund_id), self._owner)


def select_refunds(
    *,
    state: int | None,
    order: str | None,
    error: str | None,
    payment: str | None,
    limit: int,
    before: UUID | None = None,
    among: Sequence[UUID] | None = None,
    newest_first: bool = False,
) -> tuple[str, Sequence[Any]]:
    """Return the statement of refunds that match, only of ``among`` and with ids below ``before`` where given, and its values."""
    asked = (
        ("state = {}::smallint", state),
        ("order_number = {}", order),
        ("error = {}", error),
        ("payment_id = {}", payment),
        ("id = ANY({}::uuid[])", among),
        ("id < {}", before),
    )
    where, values = _where(asked)
    return f"{SELECT} WHERE {where} ORDER BY id {'DESC' if newest_first else ''} LIMIT ${len(values) + 1}", [
        *values,
        limit,
    ]


def select_payments(
    *, payment: str | None, order: str | None, after: str | None, limit: int
) -> tuple[str, Sequence[Any]]:
    """Return the statement of payments that match, with the sums of their refunds, by their names from ``after`` on, and its values."""
    asked = (
        ("p.payment_id = {}", payment),
        ("p.payment_id = ANY(ARRAY(SELECT o.payment_id FROM refunds AS o WHERE o.order_number = {}))", order),
        ("p.payment_id > {}", after),
    )
    where, values = _where(asked)
    return _PAYMENTS.format(conditions=where, limit=f"${len(values) + 1}"), [*values, limit]


def _where(asked: Sequence[tuple[str, Any]]) -> tuple[str, list[Any]]:
    """Only the conditions whose values are given: one plan for all would fit none."""
    values: list[Any] = []
    conditions = ["true"]
    for condition, value in asked:
        if value is not None:
            values.append(value)
            conditions.append(condition.format(f"${len(values)}"))
    return " AND ".join(conditions), values


async def lock_versions(connection: Connection, refund_ids: Sequence[str]) -> dict[str, int]:
    """Lock refunds, and their payments before them, and return the version of each that there is."""
    ids = [UUID(refund_id) for refund_id in refund_ids]
    await connection.execute(_LOCK_PAYMENTS, ids)
    return {str(row["id"]): row["version"] for row in await connection.fetch(_LOCK_VERSIONS, ids)}


async def count_unfinished(database: Database) -> dict[int, tuple[int, float]]:
    """Return (number, age of the oldest in seconds) of the refunds that are not over, by state; cheap however many are over."""
    async with database.acquire() as connection:
        rows = await connection.fetch(UNFINISHED)
    return {row["state"]: (row["refunds"], row["oldest"]) for row in rows}
