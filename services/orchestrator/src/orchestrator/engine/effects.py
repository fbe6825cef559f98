"""What outcomes do beyond an order's row: events for other workflows, the sum to pay, documents, refunds turned down."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from common.postgres import Connection
from orchestrator.engine.append import ingest
from orchestrator.engine.model import Outcome, RefundWish

# A child may append to its parent while the parent appends to the child: whoever takes both locks takes them in one order.
_LOCK = """
SELECT FROM workflow AS w
WHERE (w.order_number, w.kind, w.key) IN (SELECT * FROM unnest($1::text[], $2::text[], $3::text[]))
ORDER BY w.order_number, w.kind, w.key FOR NO KEY UPDATE
"""

_TRANSACTIONS = """
INSERT INTO order_transactions AS t (number, sum_to_pay, refunded, tips, currency, decided_by, fallback, computed_at, next_check_at)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[],
                     $8::timestamptz[], $9::timestamptz[])
ON CONFLICT (number) DO UPDATE
   SET sum_to_pay = excluded.sum_to_pay, refunded = excluded.refunded, tips = excluded.tips, currency = excluded.currency,
       decided_by = excluded.decided_by, fallback = excluded.fallback, iterations = t.iterations + 1,
       computed_at = excluded.computed_at, next_check_at = excluded.next_check_at
"""

_DOCUMENTS = """
INSERT INTO order_document (order_number, version, digest, content_type, content, order_revision, issued_at, issued_by, reason)
SELECT * FROM unnest($1::text[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::timestamptz[], $8::text[],
                     $9::text[])
"""

_WISHES = """
INSERT INTO refund_request (business_key, order_number, payment_id, amount, currency, reason, requested_by, requested_at, positions)
SELECT g.key, g.number, g.payment, g.amount, g.currency, g.reason, g.requested_by, g.requested_at, g.positions::jsonb
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::timestamptz[], $9::text[])
    AS g (key, number, payment, amount, currency, reason, requested_by, requested_at, positions)
ON CONFLICT (business_key) DO NOTHING
"""

_REJECTED = """
UPDATE refund_request AS r SET rejected = g.code
  FROM unnest($1::text[], $2::text[]) AS g (business_key, code) WHERE r.business_key = g.business_key
"""


async def lock_appended(connection: Connection, outcomes: Sequence[Outcome]) -> None:
    """Lock the workflows of these outcomes and those they append to, in the engine's one order. Free where nothing is appended."""
    if not any(item.appends for item in outcomes):
        return
    keys = [(item.claim.order_number, item.claim.kind, item.claim.key) for item in outcomes]
    keys += [(event.order_number, event.kind, event.key) for item in outcomes for event in item.appends]
    await connection.execute(_LOCK, *([key[place] for key in keys] for place in range(3)))


async def write_life(connection: Connection, outcomes: Sequence[Outcome]) -> None:
    """Write these effects of outcomes that were accepted, in the transaction that accepted them."""
    rows = sorted((item.transactions for item in outcomes if item.transactions is not None), key=lambda row: row.number)
    if rows:
        await connection.execute(
            _TRANSACTIONS,
            [row.number for row in rows],
            [row.sum_to_pay for row in rows],
            [row.refunded for row in rows],
            [row.tips for row in rows],
            [row.currency for row in rows],
            [row.decided_by for row in rows],
            [row.fallback for row in rows],
            [row.computed_at for row in rows],
            [row.next_check_at for row in rows],
        )
    documents = [item.document for item in outcomes if item.document is not None]
    if documents:
        await connection.execute(
            _DOCUMENTS,
            [item.order_number for item in documents],
            [item.version for item in documents],
            [item.digest for item in documents],
            [item.content_type for item in documents],
            [item.content for item in documents],
            [item.order_revision for item in documents],
            [item.issued_at for item in documents],
            [item.issued_by for item in documents],
            [item.reason for item in documents],
        )
    await add_wishes(connection, [item.refund_wish for item in outcomes if item.refund_wish is not None])
    rejected = [(item.claim.key, item.refund_rejected) for item in outcomes if item.refund_rejected is not None]
    if rejected:
        await connection.execute(_REJECTED, [key for key, _ in rejected], [code for _, code in rejected])
    await ingest(connection, [event for item in outcomes for event in item.appends])


async def add_wishes(connection: Connection, wishes: Sequence[RefundWish]) -> bool:
    """Note refunds that are asked for, each business key once; return whether any is new. In the caller's transaction."""
    if not wishes:
        return False
    status: str = await connection.execute(
        _WISHES,
        [wish.business_key for wish in wishes],
        [wish.order_number for wish in wishes],
        [wish.payment_id for wish in wishes],
        [wish.amount for wish in wishes],
        [wish.currency for wish in wishes],
        [wish.reason for wish in wishes],
        [wish.requested_by for wish in wishes],
        [wish.requested_at for wish in wishes],
        # As text: a list of lists would be taken for an array of two dimensions.
        [
            orjson.dumps([{"id": name, "quantity": quantity} for name, quantity in wish.positions]).decode()
            for wish in wishes
        ],
    )
    return not status.endswith(" 0")
