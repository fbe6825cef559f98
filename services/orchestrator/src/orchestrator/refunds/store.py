"""Refunds that were asked for, and what the refunds service says of them, in the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

import orjson

from common.contracts.refunds import RefundStateChangedV1
from common.postgres import Connection, Database, Lent, Record
from orchestrator.engine.append import columns
from orchestrator.engine.model import REFUND_REQUEST, SERVICE
from orchestrator.refunds.model import GoodsPart, KnownRefund, RefundRequest

_WENT_BACK = "(r.state_name = 'SUCCESS' OR (r.state_name = 'CLOSED' AND r.settled = 'outside'))"
"""The customer has the money of ``order_refund AS r``: through the payment system, or by another way."""

_REFUNDS = """
SELECT k.key, q.requested_at, q.rejected IS NOT NULL AS rejected, r.state_name
FROM unnest($1::text[]) AS k (key)
LEFT JOIN refund_request AS q ON q.business_key = k.key
LEFT JOIN LATERAL (SELECT state_name FROM order_refund WHERE business_key = k.key ORDER BY updated_at DESC LIMIT 1) AS r ON true
"""
_FOLLOWED = f"""
SELECT w.order_number, w.key FROM workflow AS w
JOIN (SELECT DISTINCT * FROM unnest($1::text[], $2::text[]) AS u (number, key)) AS g
  ON w.order_number = g.number AND w.kind = '{REFUND_REQUEST}' AND w.key = g.key
"""  # noqa: S608 - a constant of ours
_REQUESTS = """
SELECT q.*, r.refund_id, r.state_name, r.amount AS refund_amount
FROM refund_request AS q
LEFT JOIN LATERAL (SELECT * FROM order_refund WHERE business_key = q.business_key ORDER BY updated_at DESC LIMIT 1) AS r ON true
WHERE q.order_number = $1 ORDER BY q.requested_at, q.business_key LIMIT 200
"""
_ORDER_EXISTS = "SELECT true FROM orders WHERE number = $1"
_LOCK = """
SELECT payment_id, source, currency, document, coalesce(nullif(tips_held_amount, 0), tips_amount) AS tips,
       revision + tips_revision AS version
FROM orders WHERE number = $1 FOR NO KEY UPDATE
"""
_CHANGED = "UPDATE orders SET tips_revision = tips_revision + 1 WHERE number = $1"
_KNOWN = "SELECT * FROM refund_request WHERE business_key = $1"
# The event of a cancelled order's refund is published with the order's change; the request is noted by a workflow that may wait, stand
# still or be skipped, and a release kept none. The order itself says that it was asked for.
_OF_CANCELLED = """
SELECT payment_id, currency, updated_at FROM orders
WHERE number = $1 AND status = 'cancelled' AND paid AND payment_id IS NOT NULL
"""
_CANCELLATION = ":cancel"
# What was rejected, taken back by the payment system, or given up and proven unpaid, may be asked for again.
_STANDING = """
SELECT q.* FROM refund_request AS q
LEFT JOIN LATERAL (
    SELECT state_name, released FROM order_refund WHERE business_key = q.business_key ORDER BY updated_at DESC LIMIT 1
) AS r ON true
WHERE q.order_number = $1 AND q.rejected IS NULL AND coalesce(r.state_name, '') NOT IN ('REVERSED', 'REJECTED')
  AND NOT coalesce(r.released, false)
"""
_GOODS = f"""
SELECT p->>'id' AS id, sum((p->>'quantity')::numeric) AS quantity
FROM ({_STANDING}) AS q CROSS JOIN jsonb_array_elements(q.positions) AS p WHERE q.business_key <> $2 GROUP BY p->>'id'
"""  # noqa: S608 - a constant of ours
_BY_OTHERS = """
SELECT EXISTS (SELECT FROM order_refund AS r WHERE r.order_number = $1
               AND NOT EXISTS (SELECT FROM refund_request AS q WHERE q.business_key = r.business_key))
"""
_EVERYTHING = f"SELECT business_key FROM ({_STANDING}) AS q WHERE amount IS NULL AND positions = '[]' LIMIT 1"  # noqa: S608 - a constant of ours
_TIPS = f"SELECT business_key FROM ({_STANDING}) AS q WHERE tips > 0 LIMIT 1"  # noqa: S608 - a constant of ours
# Tips that went back are zero for good: their sum is known by the first request alone.
_FIRST_TIPS = "SELECT tips FROM refund_request WHERE order_number = $1 AND tips > 0 ORDER BY requested_at LIMIT 1"
_ADD = """
INSERT INTO refund_request (business_key, order_number, payment_id, amount, currency, reason, requested_by, requested_at, tips, positions)
SELECT g.key, g.number, g.payment, g.amount, g.currency, g.reason, g.requested_by, g.requested_at, g.tips, g.positions::jsonb
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::timestamptz[], $9::bigint[],
            $10::text[])
    AS g (key, number, payment, amount, currency, reason, requested_by, requested_at, tips, positions)
ON CONFLICT (business_key) DO NOTHING
"""

_REJECTED = """
UPDATE refund_request AS r SET rejected = g.code
  FROM unnest($1::text[], $2::text[]) AS g (business_key, code) WHERE r.business_key = g.business_key
"""
_STORE_STATES = """
INSERT INTO order_refund AS r (refund_id, order_number, payment_id, business_key, state, state_name, version, amount, currency,
                               updated_at, settled, released)
SELECT DISTINCT ON (g.refund_id) g.* FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::text[],
    $7::bigint[], $8::bigint[], $9::text[], $10::timestamptz[], $11::text[], $12::boolean[])
    AS g (refund_id, order_number, payment_id, business_key, state, state_name, version, amount, currency, updated_at, settled, released)
ORDER BY g.refund_id, g.version DESC
ON CONFLICT (refund_id) DO UPDATE
   SET state = excluded.state, state_name = excluded.state_name, version = excluded.version, amount = excluded.amount,
       updated_at = excluded.updated_at, settled = excluded.settled, released = excluded.released
 WHERE r.version < excluded.version
"""

# Refunded is an order whose whole cost, without tips, went back. Tips depend on it, so the version that tips compare grows with it.
_MARK_REFUNDED = f"""
WITH sums AS (
    SELECT r.order_number, coalesce(sum(r.amount - coalesce(q.tips, 0)) FILTER (WHERE {_WENT_BACK}), 0) AS amount
    FROM order_refund AS r LEFT JOIN refund_request AS q ON q.business_key = r.business_key
    WHERE r.order_number = ANY($1::text[]) GROUP BY r.order_number
), target AS (
    SELECT o.number, s.amount > 0 AND s.amount >= coalesce(o.cost_total, 0) AS refunded
    FROM orders AS o JOIN sums AS s ON s.order_number = o.number ORDER BY o.number FOR NO KEY UPDATE OF o
)
UPDATE orders AS o SET refunded = t.refunded, tips_revision = o.tips_revision + 1, updated_at = now()
  FROM target AS t WHERE o.number = t.number AND o.refunded <> t.refunded
RETURNING o.number, o.refunded
"""  # noqa: S608 - a constant of ours

_TIPS_WENT_BACK = f"""
SELECT DISTINCT q.order_number FROM refund_request AS q JOIN order_refund AS r ON r.business_key = q.business_key
WHERE q.order_number = ANY($1::text[]) AND q.tips > 0 AND {_WENT_BACK}
"""  # noqa: S608 - a constant of ours

_STATE_COLUMNS = (
    "refund_id", "order_number", "payment_id", "business_key", "state", "state_name", "version", "amount", "currency",
    "occurred_at", "settled", "released",
)  # fmt: skip


class RefundStore:
    """Reads refunds that were asked for."""

    def __init__(self, database: Database | Lent) -> None:
        self._database = database

    async def known(self, keys: Sequence[str]) -> dict[str, KnownRefund]:
        """Return what is known, by business key; every key is in it."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_REFUNDS, keys)
        return {row["key"]: KnownRefund(row["requested_at"], row["state_name"], row["rejected"]) for row in rows}

    async def asked(self, business_key: str) -> RefundRequest | None:
        """Return what was asked for under this business key, if anything."""
        async with self._database.acquire() as connection:
            return await request_of(connection, business_key) or await _of_cancelled(connection, business_key)

    async def requests(self, number: str) -> list[Record] | None:
        """Return the refunds of an order that were asked for, the oldest first; at most 200. None when there is no such order."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_REQUESTS, number)
            return rows if rows or await connection.fetchval(_ORDER_EXISTS, number) else None


async def lock_order(connection: Connection, number: str) -> Record | None:
    """Lock an order, so that requests of one order are decided one after another; return what a refund of it depends on."""
    return await connection.fetchrow(_LOCK, number)


async def count_as_change(connection: Connection, number: str) -> None:
    """Have the order's version grow, so that a second refund that was rehearsed before the first is not taken by surprise."""
    await connection.execute(_CHANGED, number)


async def request_of(connection: Connection, business_key: str) -> RefundRequest | None:
    """Return the request under this key, if there is one."""
    row = await connection.fetchrow(_KNOWN, business_key)
    if row is None:
        return None
    names = set(RefundRequest.__dataclass_fields__) - {"goods"}
    return RefundRequest(
        **{name: row[name] for name in names},
        goods=tuple(
            # Of what the release before asked for it kept no more; it is not asked for again.
            GoodsPart(item["id"], item["quantity"], item.get("of_quantity", item["quantity"]), item.get("paid", 0))
            for item in row["positions"]
        ),
    )


async def _of_cancelled(connection: Connection, business_key: str) -> RefundRequest | None:
    """Return the request for all that was captured of a cancelled order, as the order itself has it, before or without its record."""
    if not business_key.endswith(_CANCELLATION):
        return None
    number = business_key.removesuffix(_CANCELLATION)
    row = await connection.fetchrow(_OF_CANCELLED, number)
    if row is None:
        return None
    return RefundRequest(
        business_key=business_key,
        order_number=number,
        payment_id=row["payment_id"],
        amount=None,
        currency=row["currency"],
        reason="order_cancelled",
        requested_by=SERVICE,
        requested_at=row["updated_at"],
    )


async def asked_before(connection: Connection, number: str, *, business_key: str) -> Mapping[str, Decimal]:
    """Return how much of each position of an order is asked for, and not free to be asked for again; without this request's own."""
    return {item["id"]: item["quantity"] for item in await connection.fetch(_GOODS, number, business_key)}


async def refunded_by_others(connection: Connection, number: str) -> bool:
    """Whether the order has refunds that this service did not ask for, and whose lines it does not know."""
    return bool(await connection.fetchval(_BY_OTHERS, number))


async def everything_asked(connection: Connection, number: str) -> str | None:
    """Return the business key of the standing request for everything that was captured, if there is one."""
    key: str | None = await connection.fetchval(_EVERYTHING, number)
    return key


async def tips_asked(connection: Connection, number: str) -> tuple[str | None, int | None]:
    """Return the business key of the standing request for the order's tips, and the sum that the first such request named."""
    return await connection.fetchval(_TIPS, number), await connection.fetchval(_FIRST_TIPS, number)


async def add_requests(connection: Connection, requests: Sequence[RefundRequest]) -> None:
    """Note refunds that are asked for, each business key once, in the caller's transaction."""
    if requests:
        names = [name for name in RefundRequest.__dataclass_fields__ if name != "goods"]
        # As text: a list of lists would be taken for an array of two dimensions.
        goods = [orjson.dumps(item.goods).decode() for item in requests]
        await connection.execute(_ADD, *columns(requests, *names), goods)


async def reject_requests(connection: Connection, codes: Mapping[str, str]) -> None:
    """Note why requests (by business key) cannot be met, in the caller's transaction."""
    if codes:
        await connection.execute(_REJECTED, list(codes), list(codes.values()))


async def store_states(connection: Connection, messages: Sequence[RefundStateChangedV1]) -> list[str]:
    """Keep the newest state of each refund, whatever the order of arrival, in the caller's transaction.

    Returns the numbers of the orders that may have no tips any more: refunded in full, or their tips went back.
    """
    if not messages:
        return []
    await connection.execute(_STORE_STATES, *columns(messages, *_STATE_COLUMNS))
    numbers = sorted({item.order_number for item in messages})
    refunded = [row["number"] for row in await connection.fetch(_MARK_REFUNDED, numbers) if row["refunded"]]
    without_tips = [row["order_number"] for row in await connection.fetch(_TIPS_WENT_BACK, numbers)]
    return sorted({*refunded, *without_tips})


async def followed(connection: Connection, pairs: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return those (order number, business key) for which a ``refund_request`` workflow exists, in the caller's transaction."""
    rows = await connection.fetch(_FOLLOWED, [number for number, _ in pairs], [key for _, key in pairs])
    return {(row["order_number"], row["key"]) for row in rows}
