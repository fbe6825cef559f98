"""The six hooks of M1 as facts about one order, and the order in which they count."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum


class Hook(StrEnum):
    """The six hooks (M1), under the names that the gateway gives them whatever the marketplace's spelling."""

    CREATED = "order.created"
    CHANGED = "order.changed"
    PAID = "order.paid"
    RECEIVED = "order.received"
    DELIVERED = "order.delivered"
    CANCELLED = "order.cancelled"


_RANK = {hook: rank for rank, hook in enumerate(Hook)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One position. Sums are minor units; ``None`` means that the hook did not say."""

    id: str
    name: str | None = None
    quantity: Decimal | None = None
    original_quantity: Decimal | None = None
    price: int | None = None
    discount_price: int | None = None
    total_price: int | None = None
    total_discount_price: int | None = None
    weight: Decimal | None = None


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Where an event stands among the events of its order.

    (envelope timestamp, hook rank, arrival), as DECISIONS "Orders" has it, with one refinement: the ``created`` comes before
    everything, also when a repeat of it carries a later timestamp, because nothing can happen to an order that does not exist.
    """

    after_created: bool
    moment: datetime
    rank: int
    arrival: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFact:
    """What one hook says.

    ``event_id`` is the same for a repeat of the same hook. ``arrival`` is its place in the order's own sequence of arrivals.
    ``sent_at`` is the marketplace's timestamp; where it is missing, ``received_at`` orders the event. ``digest`` is equal for
    equal contents. ``lines`` is None when the hook carries no positions. Fields that are None were not given.
    """

    hook: Hook
    event_id: str
    arrival: int
    source: str
    external_id: str
    received_at: datetime
    sent_at: datetime | None = None
    digest: str | None = None
    lines: tuple[Line, ...] | None = None
    store_id: str | None = None
    zone: str | None = None
    tariff: str | None = None
    comment: str | None = None
    shipment_method: str | None = None
    replacement_policy: str | None = None
    currency: str | None = None
    payment_method: str | None = None
    payment_id: str | None = None
    total_price: int | None = None
    total_discount_price: int | None = None
    slug: str | None = None
    description: str | None = None

    @property
    def moment(self) -> datetime:
        """When it happened, by the marketplace's clock if it told, else when we received it."""
        return self.sent_at or self.received_at

    @property
    def key(self) -> Key:
        """Its place among the order's events."""
        return Key(self.hook is not Hook.CREATED, self.moment, _RANK[self.hook], self.arrival)
