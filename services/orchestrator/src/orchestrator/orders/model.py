"""The state of an order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from orchestrator.orders.difference import Difference
from orchestrator.orders.events import Hook, Key, Line


class Status(StrEnum):
    """How far an order has come, as the outside sees it (CONTRACT "orchestrator")."""

    CREATED = "created"
    PAID = "paid"
    RECEIVED = "received"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"


class IncidentKind(StrEnum):
    """What can be wrong with an order so that a person has to look."""

    CREATED_DIFFERS = "order_created_differs"
    CHANGED_AFTER_CLOSING = "order_changed_after_closing"
    RECEIVED_AFTER_CANCELLING = "order_received_after_cancelling"
    DELIVERED_AFTER_CANCELLING = "order_delivered_after_cancelling"


@dataclass(frozen=True, slots=True)
class Incident:
    """One thing wrong, caused by one event. Two incidents with the same identity are the same."""

    kind: IncidentKind
    event_id: str
    hook: Hook
    moment: datetime
    difference: Difference

    @property
    def identity(self) -> str:
        """What recognises the incident among those of its order."""
        return f"{self.kind}:{self.event_id}"


@dataclass(frozen=True, slots=True)
class StockEntry:
    """Goods of one position of one store; the quantity has left the store's balance."""

    store_id: str
    position_id: str
    quantity: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderState:
    """An order: the fold of its known events.

    ``lines`` are the positions as they are, ``told_lines`` as pickers and store know them: only created and changed are told
    (M7). ``written_off`` is what has left the store's balance, fixed by the event that shipped the order. ``repeats`` holds the digest
    of the latest content by hook, to recognise a repeat that has no timestamp. ``last`` is the newest event folded in.
    """

    number: str
    source: str
    external_id: str
    status: Status
    created_at: datetime
    last: Key
    closed: bool = False
    paid: bool = False
    shipped: bool = False
    store_id: str | None = None
    zone: str | None = None
    tariff: str | None = None
    comment: str | None = None
    shipment_method: str | None = None
    replacement_policy: str | None = None
    currency: str = "RUB"
    payment_method: str | None = None
    payment_id: str | None = None
    total_price: int | None = None
    total_discount_price: int | None = None
    lines: tuple[Line, ...] = ()
    told_lines: tuple[Line, ...] = ()
    told_cancelled: bool = False
    written_off: tuple[StockEntry, ...] = ()
    paid_at: datetime | None = None
    shipped_at: datetime | None = None
    finished_at: datetime | None = None
    cancelled_at: datetime | None = None
    cancel_slug: str | None = None
    cancel_description: str | None = None
    created_digest: str | None = None
    repeats: tuple[tuple[Hook, str], ...] = ()
    incidents: tuple[Incident, ...] = ()

    @property
    def cost(self) -> int | None:
        """What the customer pays for the goods, in minor units: the discounted total where there is one."""
        return self.total_price if self.total_discount_price is None else self.total_discount_price

    @property
    def refund_due(self) -> bool:
        """Whether money has to go back: cancelled, paid, and paid through a payment that we can refund (DECISIONS "Money")."""
        return self.status is Status.CANCELLED and self.paid and self.payment_id is not None


_FIELDS = tuple(OrderState.__dataclass_fields__)
_set = object.__setattr__


def evolve(state: OrderState, **changes: Any) -> OrderState:
    """Return the state with these fields changed: what ``dataclasses.replace`` does, in a fifth of the time (the hot path does it twice
    an event).
    """
    made = object.__new__(OrderState)
    for name in _FIELDS:
        _set(made, name, changes.pop(name) if name in changes else getattr(state, name))
    if changes:
        raise TypeError(f"an order has no {', '.join(changes)}")
    return made
