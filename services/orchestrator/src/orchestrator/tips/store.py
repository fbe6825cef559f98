"""The orders' rows in the database as far as tips go, and what ``update_transactions`` worked out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from common.messaging import outbox
from common.postgres import Connection, Database, Record
from orchestrator.engine.append import columns
from orchestrator.engine.store import add_to_timeline
from orchestrator.tips.messages import hold_entry, hold_requested
from orchestrator.tips.model import TipsOrder, Transactions, Written
from orchestrator.tips.own_rules import Write

_READ = """
SELECT o.number, o.revision + o.tips_revision AS version, o.status, o.finished_at, o.payment_method, o.zone,
       o.tariff, o.refunded, o.tips_zeroed_at IS NOT NULL AS zeroed, o.currency, coalesce(o.cost_total, 0) AS cost, o.tips_amount,
       o.tips_held_amount, o.tips_feedback_at, o.tips_type, o.tips_choice, o.tips_done, 'order' = ANY(o.tips_seen) AS seen,
       coalesce((SELECT sum(r.amount - coalesce(q.tips, 0))
                 FROM order_refund AS r LEFT JOIN refund_request AS q ON q.business_key = r.business_key
                 WHERE r.order_number = o.number
                   AND (r.state_name = 'SUCCESS' OR (r.state_name = 'CLOSED' AND r.settled = 'outside'))), 0)::bigint AS given_back,
       t.next_check_at, t.sum_to_pay, t.tips
FROM orders AS o LEFT JOIN order_transactions AS t ON t.number = o.number
WHERE o.number = ANY($1::text[])
"""
_WRITE = "SELECT outcome, first_seen FROM tips_set_sum($1, $2, $3, $4, $5, $6, $7)"
_LOST = frozenset({"stale_version", "stale_feedback", "zeroed", "not_finished", "not_found"})

_HOLD = """
UPDATE orders SET tips_held_amount = $2, tips_held_at = $3, tips_revision = tips_revision + 1, updated_at = now()
WHERE number = $1 AND tips_amount = $2 AND tips_zeroed_at IS NULL AND tips_held_amount IS DISTINCT FROM $2
RETURNING revision + tips_revision AS version
"""
_HELD = "SELECT EXISTS (SELECT FROM orders WHERE number = $1 AND tips_amount = $2 AND tips_held_amount = $2)"
_TRANSACTIONS = "SELECT * FROM order_transactions WHERE number = $1"
_STATUS = "SELECT status, tips_zeroed_at FROM orders WHERE number = $1"
_WRITE_TRANSACTIONS = """
INSERT INTO order_transactions AS t (number, sum_to_pay, refunded, tips, currency, decided_by, fallback, computed_at, next_check_at)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[],
                     $8::timestamptz[], $9::timestamptz[])
ON CONFLICT (number) DO UPDATE
   SET sum_to_pay = excluded.sum_to_pay, refunded = excluded.refunded, tips = excluded.tips, currency = excluded.currency,
       decided_by = excluded.decided_by, fallback = excluded.fallback, iterations = t.iterations + 1,
       computed_at = excluded.computed_at, next_check_at = excluded.next_check_at
"""

_PLAIN = (
    "number", "version", "finished_at", "payment_method", "zone", "tariff", "refunded", "zeroed", "currency", "cost", "given_back",
    "next_check_at",
)  # fmt: skip
_TRANSACTION_COLUMNS = (
    "number", "sum_to_pay", "refunded", "tips", "currency", "decided_by", "fallback", "computed_at", "next_check_at",
)  # fmt: skip


class TipsStore:
    """The orders' rows as far as tips go. Every call is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, numbers: Sequence[str]) -> dict[str, TipsOrder]:
        """Return the orders that exist."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_READ, numbers)
        return {row["number"]: _order(row) for row in rows}

    async def write(self, order: TipsOrder, write: Write) -> Written | None:
        """Write tips if the order still has the version that was read, by the same function as the service; else return None."""
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(
                _WRITE,
                order.number,
                order.version,
                write.amount,
                write.tips_type,
                write.choice,
                write.feedback_at,
                write.done,
            )
        if row is None or row["outcome"] in _LOST:
            return None
        return Written(changed=row["outcome"] == "changed", marks=frozenset(row["first_seen"]))

    async def hold(self, order: TipsOrder, *, now: datetime, traceparent: str | None) -> bool:
        """Record that the order's tips are held, and ask for the hold (``orders.tips.hold_wanted.v1``): once for a sum, whoever repeats it.

        Returns False, and does nothing, when the order's tips are another sum by now.
        """
        async with self._database.transaction() as connection:
            version = await connection.fetchval(_HOLD, order.number, order.tips, now)
            if version is None:
                return bool(await connection.fetchval(_HELD, order.number, order.tips))
            await request_hold(
                connection, order.number, order.tips, order.currency, version=version, now=now, traceparent=traceparent
            )
        return True

    async def transactions(self, number: str) -> Record | None:
        """Return what ``update_transactions`` worked out last."""
        async with self._database.acquire() as connection:
            return await connection.fetchrow(_TRANSACTIONS, number)


async def status_of(connection: Connection, number: str) -> Record | None:
    """Return an order's status and when its tips were set to zero for good, in the caller's transaction."""
    return await connection.fetchrow(_STATUS, number)


async def request_hold(
    connection: Connection,
    number: str,
    amount: int,
    currency: str,
    *,
    version: int,
    now: datetime,
    traceparent: str | None,
) -> None:
    """Ask for tips to be held at a sum, and write the timeline, in the caller's transaction. 0 undoes an earlier hold."""
    message = hold_requested(number, amount, currency, version=version, now=now, traceparent=traceparent)
    await outbox.add_encoded(connection, [message])
    await add_to_timeline(connection, [hold_entry(number, amount, currency, now=now, traceparent=traceparent)])


async def write_transactions(connection: Connection, rows: Sequence[Transactions]) -> None:
    """Write what was worked out, in the caller's transaction. Rows are locked in the order of the numbers."""
    if rows:
        rows = sorted(rows, key=lambda row: row.number)
        await connection.execute(_WRITE_TRANSACTIONS, *columns(rows, *_TRANSACTION_COLUMNS))


def _order(row: Record) -> TipsOrder:
    known: Any = row["sum_to_pay"]
    return TipsOrder(
        **{name: row[name] for name in _PLAIN},
        finished=row["status"] == "delivered",
        cancelled=row["status"] == "cancelled",
        tips=row["tips_amount"],
        held_sum=row["tips_held_amount"],
        feedback_at=row["tips_feedback_at"],
        tips_type=row["tips_type"],
        choice=row["tips_choice"],
        done=row["tips_done"],
        seen=bool(row["seen"]),
        worked_out=None if known is None else (known, row["tips"]),
    )
