"""The orders' rows as far as tips go, on PostgreSQL: the ``TipsLedger``, and M17's zero."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from common.errors import NotFound
from common.messaging import outbox
from common.postgres import Connection, Database, Record
from orchestrator.engine.append import tell
from orchestrator.refunds import messages as life_messages
from orchestrator.refunds import stories as life_stories
from orchestrator.tips.model import TipsOrder
from orchestrator.tips.own_rules import Write

_READ = """
SELECT o.number, o.revision + o.tips_revision AS version, o.status, o.finished_at, o.payment_method, o.zone,
       o.tariff, o.refunded, o.tips_zeroed_at IS NOT NULL AS zeroed, o.currency, coalesce(o.cost_total, 0) AS cost, o.tips_amount,
       o.tips_held_amount, o.tips_feedback_at, o.tips_type, o.tips_choice, o.tips_done, 'order' = ANY(o.tips_seen) AS seen,
       coalesce((SELECT sum(r.amount) FROM order_refund AS r WHERE r.order_number = o.number AND r.state_name = 'SUCCESS'), 0)::bigint
           AS given_back,
       t.next_check_at, t.sum_to_pay, t.tips
FROM orders AS o LEFT JOIN order_transactions AS t ON t.number = o.number
WHERE o.number = ANY($1::text[])
"""
_WRITE = "SELECT outcome FROM tips_set_sum($1, $2, $3, $4, $5, $6, $7)"
_LOST = frozenset({"stale_version", "stale_feedback", "zeroed", "not_finished", "not_found"})

_HOLD = """
UPDATE orders SET tips_held_amount = $2, tips_held_at = $3, tips_revision = tips_revision + 1, updated_at = now()
WHERE number = $1 AND tips_amount = $2 AND tips_zeroed_at IS NULL AND tips_held_amount IS DISTINCT FROM $2
RETURNING revision + tips_revision AS version
"""
_HELD = "SELECT EXISTS (SELECT FROM orders WHERE number = $1 AND tips_amount = $2 AND tips_held_amount = $2)"
_ZERO = "SELECT * FROM tips_set_zero($1, $2)"
_VERSION = "SELECT revision + tips_revision FROM orders WHERE number = $1"


class PostgresTipsLedger:
    """Every call is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, numbers: Sequence[str]) -> dict[str, TipsOrder]:
        """See the port."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_READ, numbers)
        return {row["number"]: _order(row) for row in rows}

    async def write(self, order: TipsOrder, write: Write) -> bool:
        """See the port."""
        async with self._database.acquire() as connection:
            outcome = await connection.fetchval(
                _WRITE,
                order.number,
                order.version,
                write.amount,
                write.tips_type,
                write.choice,
                write.feedback_at,
                write.done,
            )
        return outcome not in _LOST

    async def hold(self, order: TipsOrder, *, now: datetime, traceparent: str | None) -> bool:
        """See the port."""
        async with self._database.transaction() as connection:
            version = await connection.fetchval(_HOLD, order.number, order.tips, now)
            if version is None:
                return bool(await connection.fetchval(_HELD, order.number, order.tips))
            await _want_hold(
                connection, order.number, order.tips, order.currency, version=version, now=now, traceparent=traceparent
            )
        return True


async def zero_tips(
    connection: Connection, number: str, reason: str, *, actor: str, now: datetime, traceparent: str | None
) -> bool:
    """Set an order's tips to zero for good (M17), in the caller's transaction; return whether this call did it.

    A repeat, whatever its reason, changes nothing. A hold becomes a hold of nothing. ``update_transactions`` is to be told *before*
    (``tips_zeroed``): workflows are locked before orders everywhere. Raises ``NotFound``.
    """
    row = await connection.fetchrow(_ZERO, number, reason)
    if row is None or row["outcome"] == "not_found":
        raise NotFound(f"there is no order {number}")
    if row["outcome"] != "zeroed":
        return False
    if row["held_amount"] > 0:
        version = await connection.fetchval(_VERSION, number)
        await _want_hold(connection, number, 0, row["currency"], version=version, now=now, traceparent=traceparent)
    entry = life_stories.zeroed(
        number, reason, row["previous_amount"], row["currency"], actor=actor, now=now, traceparent=traceparent
    )
    await tell(connection, [entry])
    return True


async def _want_hold(
    connection: Connection,
    number: str,
    amount: int,
    currency: str,
    *,
    version: int,
    now: datetime,
    traceparent: str | None,
) -> None:
    event = life_messages.hold_wanted(number, amount, currency, version=version, now=now, traceparent=traceparent)
    await outbox.add_encoded(connection, [event])
    await tell(connection, [life_stories.hold_wanted(number, amount, currency, now=now, traceparent=traceparent)])


def _order(row: Record) -> TipsOrder:
    known: Any = row["sum_to_pay"]
    return TipsOrder(
        number=row["number"],
        version=row["version"],
        finished=row["status"] == "delivered",
        finished_at=row["finished_at"],
        cancelled=row["status"] == "cancelled",
        payment_method=row["payment_method"],
        zone=row["zone"],
        tariff=row["tariff"],
        refunded=row["refunded"],
        zeroed=row["zeroed"],
        currency=row["currency"],
        cost=row["cost"],
        given_back=row["given_back"],
        tips=row["tips_amount"],
        held_sum=row["tips_held_amount"],
        feedback_at=row["tips_feedback_at"],
        tips_type=row["tips_type"],
        choice=row["tips_choice"],
        done=row["tips_done"],
        seen=bool(row["seen"]),
        next_check_at=row["next_check_at"],
        worked_out=None if known is None else (known, row["tips"]),
    )
