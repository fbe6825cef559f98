"""What internal services and operators do about an order's money and document: each in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from common.errors import Conflict, NotFound, Unprocessable
from common.ids import new_id
from common.postgres import Connection, Record
from orchestrator.documents.issue import REISSUE
from orchestrator.engine.append import ingest
from orchestrator.engine.effects import add_wishes
from orchestrator.engine.errors import NoPayment, StaleVersion
from orchestrator.engine.model import (
    ORDER_DOCUMENT,
    REFUND_REQUEST,
    UPDATE_TRANSACTIONS,
    RefundWish,
    WorkflowState,
)
from orchestrator.orders.documents import decode_lines, number_text
from orchestrator.refunds.follow import REFUND_REQUESTED
from orchestrator.refunds.messages import to_workflow
from orchestrator.refunds.model import sum_of_goods
from orchestrator.tips.store import zero_tips
from orchestrator.tips.update_transactions import FEEDBACK_CHANGED

_STATUS = "SELECT status, tips_zeroed_at FROM orders WHERE number = $1"
_LOCK = """
SELECT payment_id, source, currency, document, revision + tips_revision AS version FROM orders WHERE number = $1 FOR NO KEY UPDATE
"""
_KNOWN = "SELECT * FROM refund_request WHERE business_key = $1"
_ASKED = """
SELECT p->>'id' AS id, sum((p->>'quantity')::numeric) AS quantity
FROM refund_request AS q CROSS JOIN jsonb_array_elements(q.positions) AS p
WHERE q.order_number = $1 AND q.rejected IS NULL GROUP BY p->>'id'
"""
_CLOSED = """
SELECT o.closed AND o.status <> 'cancelled' AS closed,
       coalesce((SELECT max(version) FROM order_document WHERE order_number = o.number), 0) AS version,
       (SELECT w.state FROM workflow AS w WHERE w.order_number = o.number AND w.kind = 'order_document' AND w.key = '') AS workflow
FROM orders AS o WHERE o.number = $1
"""


class PostgresMoney:
    """The operations."""

    async def feedback_changed(
        self, connection: Connection, number: str, *, now: datetime, traceparent: str | None
    ) -> bool:
        """Begin another run of ``update_transactions``; return False for an order that is not finished: its end begins one.

        Raises ``NotFound``.
        """
        row = await _order(connection, number)
        if row["status"] != "delivered":
            return False
        event = to_workflow(
            number,
            UPDATE_TRANSACTIONS,
            FEEDBACK_CHANGED,
            new_id(),
            now=now,
            traceparent=traceparent,
        )
        await ingest(connection, [event])
        return True

    async def zero_tips(
        self, connection: Connection, number: str, reason: str, *, actor: str, now: datetime, traceparent: str | None
    ) -> bool:
        """Set an order's tips to zero for good (M17); return whether this call did. Raises ``NotFound``."""
        row = await _order(connection, number)
        if row["tips_zeroed_at"] is not None:
            return False
        event = to_workflow(
            number,
            UPDATE_TRANSACTIONS,
            "tips.zeroed",
            reason,
            attributes={"reason": reason},
            now=now,
            traceparent=traceparent,
        )
        await ingest(connection, [event])  # workflows are locked before orders
        return await zero_tips(connection, number, reason, actor=actor, now=now, traceparent=traceparent)

    async def refund(
        self,
        connection: Connection,
        number: str,
        *,
        amount: int | None,
        positions: Mapping[str, Decimal],
        business_key: str,
        reason: str,
        actor: str,
        expected_version: int | None,
        now: datetime,
        traceparent: str | None,
    ) -> RefundWish:
        """Ask for a refund (M13): of an amount, of positions, or of everything captured. The same business key asks once.

        Requests of one order are decided one after another, so the same goods do not go back twice. Raises ``NotFound``, ``NoPayment``,
        ``StaleVersion``, ``Unprocessable``.
        """
        row = await connection.fetchrow(_LOCK, number)
        if row is None:
            raise NotFound(f"there is no order {number}")
        known = await connection.fetchrow(_KNOWN, business_key)
        if known is not None:
            return _wish(known)
        _check(expected_version, row["version"], f"order {number}")
        if not row["payment_id"]:
            raise NoPayment(f"order {number} has no payment of ours to refund")
        if positions:
            asked = {item["id"]: item["quantity"] for item in await connection.fetch(_ASKED, number)}
            amount = sum_of_goods(decode_lines(row["document"]["positions"]), positions, asked)
            if amount == 0:
                raise Unprocessable("these positions cost nothing")
        wish = RefundWish(
            business_key=business_key,
            order_number=number,
            payment_id=row["payment_id"],
            amount=amount,
            currency=row["currency"],
            reason=reason,
            requested_by=actor,
            requested_at=now,
            positions=tuple((name, number_text(quantity)) for name, quantity in sorted(positions.items())),
        )
        await add_wishes(connection, [wish])
        event = to_workflow(
            number,
            REFUND_REQUEST,
            REFUND_REQUESTED,
            "wanted",
            key=business_key,
            attributes={
                "payment_id": wish.payment_id,
                "amount": wish.amount,
                "currency": wish.currency,
                "reason": wish.reason,
                "requested_by": wish.requested_by,
                "source": row["source"],
            },
            now=now,
            traceparent=traceparent,
        )
        await ingest(connection, [event])
        return wish

    async def reissue_document(
        self,
        connection: Connection,
        number: str,
        *,
        reason: str,
        actor: str,
        expected_version: int | None,
        now: datetime,
        traceparent: str | None,
    ) -> int:
        """Have the order's document issued again; return the version that it has now.

        Raises ``NotFound``, ``Conflict``, ``StaleVersion``.
        """
        row = await connection.fetchrow(_CLOSED, number)
        if row is None:
            raise NotFound(f"there is no order {number}")
        version: int = row["version"]
        _check(expected_version, version, f"the document of order {number}")
        if not row["closed"]:
            raise Conflict(f"order {number} is not closed, or cancelled: it has no document")
        if row["workflow"] in {WorkflowState.STOPPED, WorkflowState.CRASHED}:
            state = WorkflowState(row["workflow"]).name.lower()
            raise Conflict(f"the document's workflow of order {number} is {state}: mend that first")
        event = to_workflow(
            number,
            ORDER_DOCUMENT,
            REISSUE,
            new_id(),
            attributes={"reason": reason, "actor": actor},
            now=now,
            traceparent=traceparent,
        )
        await ingest(connection, [event])
        return version


async def _order(connection: Connection, number: str) -> Record:
    row = await connection.fetchrow(_STATUS, number)
    if row is None:
        raise NotFound(f"there is no order {number}")
    return row


def _check(expected: int | None, actual: int, thing: str) -> None:
    if expected is not None and expected != actual:
        raise StaleVersion(f"{thing} is at version {actual}, not {expected}")


def _wish(row: Record) -> RefundWish:
    names = (
        "business_key",
        "order_number",
        "payment_id",
        "amount",
        "currency",
        "reason",
        "requested_by",
        "requested_at",
    )
    positions = tuple((item["id"], item["quantity"]) for item in row["positions"])
    return RefundWish(**{name: row[name] for name in names}, positions=positions)
