"""Orders and goods as the interface shows them. Sums are integer minor units of ``currency``; quantities are decimal strings."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from common.contracts.orders import OrderStatus
from common.postgres import Record
from orchestrator.orders.store import number_text


class PositionView(BaseModel):
    """One position of an order."""

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
    """Why the order was cancelled, as the marketplace gave it."""

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


def order_view(row: Record) -> OrderView:
    """Show an order's row, with what its document says."""
    document = row["document"]
    return OrderView.model_validate(
        {
            **document,
            **row,
            "closed_for_changes": row["closed"],
            "version": row["revision"] + row["tips_revision"],
            "totals": {**document, "currency": row["currency"], "cost": row["cost_total"]},
            "payment": {
                "method": row["payment_method"],
                "id": row["payment_id"],
                "paid": row["paid"],
                "paid_at": document["paid_at"],
                "refunded": row["refunded"],
            },
            "tips": {name: row[f"tips_{name}"] for name in TipsView.model_fields},
            "cancellation": {"slug": document["cancel_slug"], "description": document["cancel_description"]}
            if row["status"] == "cancelled"
            else None,
            "created_at": document["created_at"],
        }
    )


def order_summary(row: Record) -> OrderSummary:
    """Show an order's row in a list; ``created_at`` is when we learned of it, the list's own order."""
    return OrderSummary.model_validate(
        {
            **row,
            "closed_for_changes": row["closed"],
            "version": row["revision"] + row["tips_revision"],
            "cost": row["cost_total"],
        }
    )


def stock_movement(row: Record) -> StockMovement:
    """Show a stock movement."""
    return StockMovement.model_validate({**row, "quantity": number_text(row["quantity"])})
