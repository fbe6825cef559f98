"""Plans of bulk changes: which items, in which versions, a preview has shown. Kept for a day, so that any replica can carry one out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from common.postgres import Connection

KEPT = timedelta(hours=24)

# A plan that was carried out and previewed again since, with the same items in the same versions, has changed none of them: it may be
# carried out anew. Whoever is carrying it out right now holds the row, and has stamped it later than this preview began.
_STORE = """
INSERT INTO bulk_plans AS known (plan, operation, selection, items, matched, expires_at)
VALUES ($1, $2, $3::text::jsonb, $4::text::jsonb, $5, now() + $6::interval)
ON CONFLICT (plan) DO UPDATE SET
    items = excluded.items, matched = excluded.matched, expires_at = excluded.expires_at,
    applied_at = CASE WHEN known.applied_at >= $7 THEN known.applied_at END,
    answer = CASE WHEN known.applied_at >= $7 THEN known.answer END
"""
_LOCK = """
SELECT selection::text, items::text, matched, answer::text, answer->>'applied_by' AS applied_by, applied_at FROM bulk_plans
WHERE plan = $1 AND operation = $2 AND expires_at > now()
FOR UPDATE
"""
_LEFT = """
SELECT items::text FROM bulk_plans WHERE plan = $1 AND operation = $2 AND expires_at > now() AND applied_at IS NULL
"""
_CHAIN = """
WITH RECURSIVE chain AS (
    SELECT selection ->> 'after' AS after, items FROM bulk_plans WHERE plan = $1 AND operation = $2 AND expires_at > now()
    UNION ALL
    SELECT p.selection ->> 'after', p.items FROM chain AS c JOIN bulk_plans AS p ON p.plan = c.after AND p.operation = $2
)
SELECT after, (SELECT jsonb_agg(i -> 'id') FROM jsonb_array_elements(items) AS i)::text AS ids FROM chain
"""
_APPLIED = "UPDATE bulk_plans SET applied_at = clock_timestamp(), answer = $2::text::jsonb WHERE plan = $1"
_FORGET = """
DELETE FROM bulk_plans WHERE plan IN (
    SELECT plan FROM bulk_plans WHERE expires_at < now() LIMIT $1 FOR UPDATE SKIP LOCKED
)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a preview has shown. ``selection`` is how the items were chosen and what is to be done with them, without customers' data;
    ``items`` are JSON objects. ``applied_by`` (who, None for what another release did) and ``applied_at`` are of one with an ``answer``.
    """

    operation: str
    selection: dict[str, Any]
    items: Sequence[dict[str, Any]]
    matched: int
    answer: dict[str, Any] | None = None
    applied_by: str | None = None
    applied_at: datetime | None = None

    @property
    def digest(self) -> str:
        """The plan's name: the same operation on the same items in the same versions, with the same outcomes, has the same."""
        done = [(item["id"], item["version"], item["outcome"], item["code"]) for item in self.items]
        content = orjson.dumps((self.operation, self.selection, done), option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(content).hexdigest()


async def store_plan(connection: Connection, plan: Plan, *, seen_at: datetime) -> None:
    """Keep a plan for a day. ``seen_at``: when its preview's transaction began, by the database's clock."""
    values = (orjson.dumps(plan.selection).decode(), orjson.dumps(plan.items).decode(), plan.matched)
    await connection.execute(_STORE, plan.digest, plan.operation, *values, KEPT, seen_at)


async def lock_plan(connection: Connection, digest: str, *, operation: str) -> Plan | None:
    """Return a plan of this operation and hold it until the transaction ends; None when there is none, or it has expired.

    Two that carry out one plan come here one after the other; the second finds the ``answer`` of the first.
    """
    row = await connection.fetchrow(_LOCK, digest, operation)
    if row is None:
        return None
    return Plan(
        operation=operation,
        selection=orjson.loads(row["selection"]),
        items=orjson.loads(row["items"]),
        matched=row["matched"],
        answer=None if row["answer"] is None else orjson.loads(row["answer"]),
        applied_by=row["applied_by"],
        applied_at=row["applied_at"],
    )


async def items_left(connection: Connection, digest: str, *, operation: str) -> list[dict[str, Any]]:
    """Return the items of a plan of this operation that nobody has carried out yet; none where there is no such plan. Locks nothing."""
    items = await connection.fetchval(_LEFT, digest, operation)
    return [] if items is None else orjson.loads(items)


async def ids_before(connection: Connection, digest: str, *, operation: str) -> frozenset[int | str] | None:
    """Return the ids of the items of a plan of this operation and of those that it came after; None where one of them is gone."""
    rows = await connection.fetch(_CHAIN, digest, operation)
    if not any(row["after"] is None for row in rows):
        return None
    return frozenset(key for row in rows if row["ids"] is not None for key in orjson.loads(row["ids"]))


async def mark_applied(connection: Connection, digest: str, answer: dict[str, Any], *, by: str) -> None:
    """Keep the answer (a JSON object) of a plan that ``by`` is carrying out, in the transaction that does it."""
    await connection.execute(_APPLIED, digest, orjson.dumps({**answer, "applied_by": by}).decode())


async def forget_plans(connection: Connection, *, limit: int = 1000) -> int:
    """Delete up to ``limit`` plans that have expired, and return how many went. For a supervised job."""
    status = await connection.execute(_FORGET, limit)
    return int(status.rpartition(" ")[2])
