"""Rows to values and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from common.postgres import Record
from orchestrator.engine.model import Claim, OrderRow, StoredOrder, WorkflowEvent
from orchestrator.orders.documents import decode_state, encode_state


def claims_of(rows: Sequence[Record]) -> list[Claim]:
    """Gather the rows of ``workflow_claim``, one an event, into claims. They come sorted by workflow and sequence."""
    claims: list[Claim] = []
    events: list[WorkflowEvent] = []
    for index, row in enumerate(rows):
        if row["seq"] is not None:
            events.append(event_of(row))
        if index + 1 == len(rows) or rows[index + 1]["workflow_id"] != row["workflow_id"]:
            claims.append(
                Claim(
                    workflow_id=row["workflow_id"],
                    order_number=row["order_number"],
                    kind=row["kind"],
                    key=row["key"],
                    done_seq=row["done_seq"],
                    fence=row["fence"],
                    attempts=row["attempts"],
                    events=tuple(events),
                )
            )
            events = []
    return claims


def event_of(row: Record) -> WorkflowEvent:
    """Read one event."""
    return WorkflowEvent(
        seq=row["seq"],
        type=row["type"],
        event_id=row["event_id"],
        attributes=row["attributes"],
        payload=row["payload"],
        traceparent=row["traceparent"],
        received_at=row["received_at"],
    )


def stored_order_of(row: Record) -> StoredOrder:
    """Read one order."""
    return StoredOrder(
        state=decode_state(row["document"]), revision=row["revision"], tips_revision=row["tips_revision"]
    )


ORDER_COLUMNS = (
    ("number", "text"),
    ("source", "text"),
    ("external_id", "text"),
    ("status", "text"),
    ("aggregate_state", "text"),
    ("closed", "boolean"),
    ("shipped", "boolean"),
    ("paid", "boolean"),
    ("revision", "bigint"),
    ("store_id", "text"),
    ("zone", "text"),
    ("tariff", "text"),
    ("currency", "text"),
    ("payment_method", "text"),
    ("payment_id", "text"),
    ("cost_total", "bigint"),
    ("document", "jsonb"),
    ("finished_at", "timestamptz"),
)
"""The columns of an order that its workflow writes, with their types, in the order of ``order_values``."""

_AGGREGATE = {"delivered": "finished", "cancelled": "cancelled"}


def order_values(row: OrderRow) -> tuple[Any, ...]:
    """Return the values of ``ORDER_COLUMNS``."""
    state = row.state
    status = state.status
    return (
        state.number,
        state.source,
        state.external_id,
        status,
        _AGGREGATE.get(status, "in_progress"),
        state.closed,
        state.shipped,
        state.paid,
        row.revision,
        state.store_id,
        row.zone,
        row.tariff,
        state.currency,
        state.payment_method,
        state.payment_id,
        state.cost,
        encode_state(state),
        state.finished_at,
    )
