"""Orders and goods as the interface shows them. Sums are integer minor units of ``currency``; quantities are decimal strings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from common.contracts.orders import OrderStatus
from common.http import CONTACT, CONTENT, NAME, CustomersData
from common.postgres import Record
from common.telemetry import scrub_text
from orchestrator.orders.masks import mask_address
from orchestrator.orders.model import OrderState, Status
from orchestrator.orders.store import decode_people, decode_state, encode_state, number_text

_VERSION_THEN = (
    "null for a moment before the last write: it counts what was announced and stored, in the order in which that was learned;"
    " what had happened by a moment is told by the marketplace's clock"
)
_REFUNDED_THEN = (
    "null for a moment before the last write, once the order was paid: the timeline and the refunds service know when"
)
_TIPS_THEN = (
    "null for a moment before the feedback, the hold or the removal that is known now: earlier sums are not kept"
)


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
    replaces: str | None = Field(default=None, description="the id of the position that this one stands in for")


class CustomerView(BaseModel):
    """Who ordered, as far as it was said. A phone is `+` and digits where it can be read as a number."""

    name: Annotated[str | None, NAME]
    phone: Annotated[str | None, CONTACT]
    email: Annotated[str | None, CONTACT]


class AddressView(BaseModel):
    """Where to: the whole address as one text, and its parts where they were said."""

    text: Annotated[str, CustomersData(mask_address)]
    parts: Annotated[dict[str, str], CONTENT]


class WindowView(BaseModel):
    """When the customer waits for the delivery: moments where they can be read, and the whole as one text."""

    starts: datetime | None
    ends: datetime | None
    text: str


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
    refunded: bool | None = Field(description=_REFUNDED_THEN)


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
    description: Annotated[str | None, CONTENT]


class IncidentView(BaseModel):
    """Something about the order that a person has to look at."""

    kind: str
    hook: str
    moment: datetime


class OrderView(BaseModel):
    """An order as it is now, or as it was at a moment."""

    number: str
    source: str
    external_id: str
    status: OrderStatus
    aggregate_state: str
    closed_for_changes: bool
    shipped: bool
    version: int | None = Field(description=_VERSION_THEN)
    positions: list[PositionView]
    totals: TotalsView
    payment: PaymentView
    tips: TipsView | None = Field(description=_TIPS_THEN)
    customer: CustomerView | None
    address: AddressView | None
    delivery_window: WindowView | None
    zone: str
    tariff: str
    store_id: str | None
    comment: Annotated[str | None, CustomersData(scrub_text)]
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
    customer: CustomerView | None
    address: AddressView | None
    delivery_window: WindowView | None
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


def order_view(row: Mapping[str, Any]) -> OrderView:
    """Show an order's row, with what its document says."""
    document = row["document"]
    return OrderView.model_validate(
        {
            **document,
            **row,
            **_people(document),
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


def past_view(state: OrderState, row: Mapping[str, Any], at: datetime) -> OrderView:
    """Show an order as it was; ``row`` is its row of now. What nobody keeps moment by moment is null."""
    if at >= row["updated_at"] and at >= decode_state(row["document"]).last.moment:
        return order_view(row)  # nothing has happened since
    plain = (
        "status",
        "closed",
        "shipped",
        "paid",
        "store_id",
        "currency",
        "payment_method",
        "payment_id",
        "finished_at",
    )
    was = {
        **row,
        **{name: getattr(state, name) for name in plain},
        "document": encode_state(state),
        "cost_total": state.cost,
        "zone": state.zone or row["zone"],
        "tariff": state.tariff or row["tariff"],
        "aggregate_state": _ENDED.get(state.status, "in_progress"),
        "updated_at": state.last.moment,
    }
    shown = order_view(was)
    refunded = None if state.paid else False
    return shown.model_copy(
        update={
            "version": None,
            "tips": _tips_then(state, shown.tips, row["tips_zeroed_at"], at),
            "payment": shown.payment.model_copy(update={"refunded": refunded}),
        }
    )


def _tips_then(state: OrderState, now: TipsView | None, zeroed_at: datetime | None, at: datetime) -> TipsView | None:
    """What is known of the tips at a moment: before its end an order has none, and the latest feedback says since when it holds."""
    if state.finished_at is None:
        return TipsView(amount=0, type=None, choice=None, done=False, feedback_at=None, held_amount=None, held_at=None)
    if now is None or (now.amount and now.feedback_at is None):
        return None
    stamps = (now.feedback_at, now.held_at, zeroed_at)
    return None if any(stamp is not None and stamp > at for stamp in stamps) else now


_ENDED = {Status.DELIVERED: "finished", Status.CANCELLED: "cancelled"}


def order_summary(row: Record) -> OrderSummary:
    """Show an order's row in a list; ``created_at`` is when we learned of it, the list's own order."""
    return OrderSummary.model_validate(
        {
            **row,
            **_people(row["document"]),
            "closed_for_changes": row["closed"],
            "version": row["revision"] + row["tips_revision"],
            "cost": row["cost_total"],
        }
    )


def _people(document: Mapping[str, Any]) -> dict[str, Any]:
    customer, address, window = decode_people(document)
    return {
        "customer": customer and {name: getattr(customer, name) for name in CustomerView.model_fields},
        "address": address and {"text": address.full, "parts": dict(address.parts)},
        "delivery_window": window and {"starts": window.starts, "ends": window.ends, "text": window.full},
    }


def stock_movement(row: Record) -> StockMovement:
    """Show a stock movement."""
    return StockMovement.model_validate({**row, "quantity": number_text(row["quantity"])})
