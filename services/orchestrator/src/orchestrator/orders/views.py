"""What the orchestrator answers, as models. Sums are integer minor units of ``currency``; quantities are decimal strings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from common.contracts.orders import OrderStatus
from common.postgres import Record as Row
from orchestrator.engine.model import WorkflowState


class EventState(IntEnum):
    """States of a workflow event, derived from its workflow's cursor; new has the seed's number."""

    NEW = 1
    DONE = 2
    FAILED = 3


class PositionView(BaseModel):
    """One position of an order."""

    model_config = ConfigDict(extra="ignore")

    id: str
    name: str | None
    quantity: str
    original_quantity: str | None
    price: int | None
    discount_price: int | None
    total_price: int | None
    total_discount_price: int | None
    weight: str | None


class TotalsView(BaseModel):
    """What the order costs; `cost` is what the customer pays, without tips."""

    currency: str
    total_price: int | None
    total_discount_price: int | None
    cost: int | None


class PaymentView(BaseModel):
    """How the order is paid."""

    method: str | None
    id: str | None
    paid: bool
    paid_at: datetime | None
    refunded: bool


class TipsView(BaseModel):
    """The order's tips, as the tips service set them."""

    amount: int
    type: str | None
    choice: str | None
    done: bool
    feedback_at: datetime | None
    held_amount: int | None
    held_at: datetime | None


class CancellationView(BaseModel):
    """Why the order was cancelled, as the marketplace told it."""

    slug: str | None
    description: str | None


class IncidentView(BaseModel):
    """Something about the order that a person has to look at."""

    kind: str
    hook: str
    moment: datetime


class OrderView(BaseModel):
    """An order as it is now."""

    number: str
    source: str
    external_id: str
    status: OrderStatus
    aggregate_state: str
    closed_for_changes: bool
    shipped: bool
    version: int
    positions: list[PositionView]
    totals: TotalsView
    payment: PaymentView
    tips: TipsView
    zone: str
    tariff: str
    store_id: str | None
    comment: str | None
    shipment_method: str | None
    replacement_policy: str | None
    cancellation: CancellationView | None
    incidents: list[IncidentView]
    created_at: datetime
    shipped_at: datetime | None
    finished_at: datetime | None
    cancelled_at: datetime | None
    updated_at: datetime


class OrderSummary(BaseModel):
    """An order in a list."""

    number: str
    source: str
    external_id: str
    status: OrderStatus
    aggregate_state: str
    closed_for_changes: bool
    shipped: bool
    version: int
    store_id: str | None
    zone: str
    tariff: str
    currency: str
    cost: int | None
    created_at: datetime
    updated_at: datetime


class TimelineItem(BaseModel):
    """One thing that happened to an order."""

    at: datetime
    service: str
    kind: str
    actor: str
    summary: str
    details: dict[str, Any]
    trace_id: str | None


class StockMovement(BaseModel):
    """Goods that left a store's balance (negative) or came back to it by a correction (positive)."""

    id: int
    number: str
    store_id: str
    position_id: str
    quantity: str
    kind: str
    occurred_at: datetime
    recorded_at: datetime


class WorkflowView(BaseModel):
    """A workflow. `state` carries the seed's number (stopped = 2); `pending` events wait to be carried out.

    `version` grows with everything that happens to it; an operation may name the one it expects.
    """

    id: int
    order_number: str
    kind: str
    key: str
    state: int
    state_name: str
    version: int
    last_seq: int
    done_seq: int
    pending: int
    error: str | None
    error_stack: str | None
    failed_at: datetime | None
    created_at: datetime
    updated_at: datetime


class WorkflowEventView(BaseModel):
    """An event of a workflow; its state is derived from the workflow's cursor (new = 1, done = 2, failed = 3)."""

    id: str = Field(description="`<workflow>-<sequence number>`")
    workflow_id: int
    seq: int
    type: str
    event_id: str
    state: int
    state_name: str
    attributes: dict[str, Any]
    received_at: datetime
    recorded_at: datetime


class WorkflowChanged(BaseModel):
    """What an operation did to a workflow, or would do."""

    dry_run: bool
    before: WorkflowView
    after: WorkflowView


class Recalculated(BaseModel):
    """An order's aggregate state before and after."""

    number: str
    dry_run: bool
    before: str
    after: str


class FlagView(BaseModel):
    """A switch. `share` is in hundredths of a percent of orders."""

    name: str
    enabled: bool
    share: int
    version: int
    updated_at: datetime
    updated_by: str


def order_view(row: Row) -> OrderView:
    """Show an order's row."""
    document = row["document"]
    cancelled = row["status"] == "cancelled"
    return OrderView(
        number=row["number"],
        source=row["source"],
        external_id=row["external_id"],
        status=row["status"],
        aggregate_state=row["aggregate_state"],
        closed_for_changes=row["closed"],
        shipped=row["shipped"],
        version=row["revision"] + row["tips_revision"],
        positions=[PositionView(**item) for item in document["positions"]],
        totals=TotalsView(
            currency=row["currency"],
            total_price=document["total_price"],
            total_discount_price=document["total_discount_price"],
            cost=row["cost_total"],
        ),
        payment=PaymentView(
            method=row["payment_method"],
            id=row["payment_id"],
            paid=row["paid"],
            paid_at=document["paid_at"],
            refunded=row["refunded"],
        ),
        tips=TipsView(
            amount=row["tips_amount"],
            type=row["tips_type"],
            choice=row["tips_choice"],
            done=row["tips_done"],
            feedback_at=row["tips_feedback_at"],
            held_amount=row["tips_held_amount"],
            held_at=row["tips_held_at"],
        ),
        zone=row["zone"],
        tariff=row["tariff"],
        store_id=row["store_id"],
        comment=document["comment"],
        shipment_method=document["shipment_method"],
        replacement_policy=document["replacement_policy"],
        cancellation=CancellationView(slug=document["cancel_slug"], description=document["cancel_description"])
        if cancelled
        else None,
        incidents=[
            IncidentView(kind=item["kind"], hook=item["hook"], moment=item["moment"]) for item in document["incidents"]
        ],
        created_at=document["created_at"],
        shipped_at=document["shipped_at"],
        finished_at=row["finished_at"],
        cancelled_at=document["cancelled_at"],
        updated_at=row["updated_at"],
    )


def order_summary(row: Row) -> OrderSummary:
    """Show an order's row in a list; ``created_at`` is when we learned of it, the list's own order."""
    return OrderSummary(
        **{name: row[name] for name in ("number", "source", "external_id", "status", "aggregate_state", "shipped")},
        **{name: row[name] for name in ("store_id", "zone", "tariff", "currency", "created_at", "updated_at")},
        closed_for_changes=row["closed"],
        version=row["revision"] + row["tips_revision"],
        cost=row["cost_total"],
    )


def timeline_item(row: Row) -> TimelineItem:
    """Show one thing that happened."""
    traceparent = row["traceparent"]
    return TimelineItem(
        **{name: row[name] for name in ("at", "service", "kind", "actor", "summary", "details")},
        trace_id=traceparent.split("-")[1] if traceparent and traceparent.count("-") >= 2 else None,
    )


def stock_movement(row: Row) -> StockMovement:
    """Show a stock movement."""
    names = ("id", "number", "store_id", "position_id", "kind", "occurred_at", "recorded_at")
    quantity = f"{row['quantity']:f}"
    return StockMovement(
        **{name: row[name] for name in names},
        quantity=quantity.rstrip("0").rstrip(".") if "." in quantity else quantity,
    )


def workflow_view(row: Row) -> WorkflowView:
    """Show a workflow."""
    names = ("id", "order_number", "kind", "key", "state", "last_seq", "done_seq")
    more = ("error", "error_stack", "failed_at", "created_at", "updated_at")
    return WorkflowView(
        **{name: row[name] for name in (*names, *more)},
        state_name=WorkflowState(row["state"]).name.lower(),
        version=row["last_seq"] + row["done_seq"] + row["revision"],
        pending=row["last_seq"] - row["done_seq"],
    )


def workflow_event_view(row: Mapping[str, Any]) -> WorkflowEventView:
    """Show an event, with the state that follows from its workflow's cursor."""
    names = ("workflow_id", "seq", "type", "event_id", "attributes", "received_at", "recorded_at")
    state = EventState.NEW
    if row["seq"] <= row["done_seq"]:
        state = EventState.DONE
    elif row["workflow_state"] == WorkflowState.CRASHED and row["seq"] == row["done_seq"] + 1:
        state = EventState.FAILED
    return WorkflowEventView(
        id=f"{row['workflow_id']}-{row['seq']}",
        **{key: row[key] for key in names},
        state=int(state),
        state_name=state.name.lower(),
    )


def flag_view(row: Row) -> FlagView:
    """Show a flag."""
    return FlagView(**{name: row[name] for name in FlagView.model_fields})
