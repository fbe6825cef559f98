"""What hooks say about an order, what an order is, and how two states of it differ. Pure values and rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from common.reading import Address, Contact, Line, Window


class HookType(StrEnum):
    """The six hooks (docs/requirements.md#six-hooks), under the names that the gateway gives them whatever the marketplace's spelling.

    ``CORRECTED`` is no hook but an operator's correction (docs/requirements.md#operators-corrections), folded as one.
    """

    CREATED = "order.created"
    CHANGED = "order.changed"
    PAID = "order.paid"
    RECEIVED = "order.received"
    DELIVERED = "order.delivered"
    CANCELLED = "order.cancelled"
    CORRECTED = "order.corrected"


# Part of every stored ``Key``: a number never changes, and a new hook gets a new one.
_RANK = {
    HookType.CREATED: 0, HookType.CHANGED: 1, HookType.PAID: 2,
    HookType.RECEIVED: 3, HookType.DELIVERED: 4, HookType.CANCELLED: 5,
    HookType.CORRECTED: 6,
}  # fmt: skip


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Where an event stands among the events of its order.

    By envelope timestamp, hook rank and arrival, except that the ``created`` comes before everything, also when a repeat of it
    carries a later timestamp: nothing can happen to an order that does not exist.
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
    equal contents. ``lines`` is None when the hook carries no positions. Fields that are None were not given. ``currency`` is that of
    the sums.

    What a person sent again, entered or did has ``actor`` and ``why``. Of a replay ``received_at`` is when its origin came in,
    ``replayed_at`` when it was sent again, and ``repeats`` the id of the event that it says again word for word. ``taken_at`` is when it
    came to this service, if it was long on its way; ``spooled``: because the gateway could not reach the broker. ``unread`` names fields
    that say what nobody can read: the order goes on without it.
    """

    hook: HookType
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
    customer: Contact | None = None
    address: Address | None = None
    delivery_window: Window | None = None
    replayed_at: datetime | None = None
    repeats: str | None = None
    actor: str | None = None
    why: str | None = None
    taken_at: datetime | None = None
    spooled: bool = False
    unread: tuple[str, ...] = ()

    @property
    def moment(self) -> datetime:
        """When it happened, by the marketplace's clock if it gave the time, else when we received it."""
        return self.sent_at or self.received_at

    @property
    def key(self) -> Key:
        """Its place among the order's events. A ``created`` that is replayed comes after those that were not: no order becomes another."""
        if self.hook is HookType.CREATED:
            return Key(False, self.replayed_at or self.moment, _RANK[self.hook], self.arrival)
        return Key(True, self.moment, _RANK[self.hook], self.arrival)

    @property
    def origin(self) -> str:
        """The id of what it says: that of the event which it repeats word for word, else its own."""
        return self.repeats or self.event_id


FieldChange = tuple[str, str | None, str | None]


@dataclass(frozen=True, slots=True)
class LineChange:
    """A position before and after."""

    before: Line
    after: Line


@dataclass(frozen=True, slots=True)
class Difference:
    """Positions by kind of change, in the order of the states, and fields as (name, before, after)."""

    added: tuple[Line, ...] = ()
    removed: tuple[Line, ...] = ()
    changed: tuple[LineChange, ...] = ()
    fields: tuple[FieldChange, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything changed at all."""
        return bool(self.added or self.removed or self.changed or self.fields)


NOTHING = Difference()


def compare(before: Sequence[Line], after: Sequence[Line], fields: Iterable[FieldChange] = ()) -> Difference:
    """Return the difference between two lists of positions. Quantities compare as numbers: 2 equals 2.00.

    Positions are recognised by their id; where one id stands twice, the occurrences are matched in order, so that a
    position that was split is not lost.
    """
    changes = tuple(change for change in fields if change[1] != change[2])
    if before == after:
        return Difference(fields=changes) if changes else NOTHING
    old = dict(numbered(before))
    added: list[Line] = []
    changed: list[LineChange] = []
    for key, line in numbered(after):
        previous = old.pop(key, None)
        if previous is None:
            added.append(line)
        elif previous != line:
            changed.append(LineChange(previous, line))
    return Difference(added=tuple(added), removed=tuple(old.values()), changed=tuple(changed), fields=changes)


def numbered(lines: Iterable[Line]) -> Iterable[tuple[tuple[str, int], Line]]:
    """Yield each position under its id and its occurrence: where one id stands twice, the two are told apart by their order."""
    seen: dict[str, int] = {}
    for line in lines:
        count = seen.get(line.id, 0)
        seen[line.id] = count + 1
        yield (line.id, count), line


class Status(StrEnum):
    """How far an order has come, as the outside sees it."""

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
    EMPTIED = "order_emptied"
    CURRENCY_DIFFERS = "order_currency_differs"
    QUANTITY_MISSING = "order_quantity_missing"


@dataclass(frozen=True, slots=True)
class Incident:
    """One thing wrong, caused by one event. Two incidents with the same identity are the same."""

    kind: IncidentKind
    event_id: str
    hook: HookType
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


KnownSums = tuple[int | None, int | None, tuple[Line, ...]]
"""An order's sum, its discounted sum, and the goods that they count."""


@dataclass(frozen=True, kw_only=True)  # without slots: `evolve` copies a dictionary
class OrderState:
    """An order, as computed from all its known events.

    ``lines`` are the positions as they are, ``told_lines`` as pickers and store know them: they are notified of created and changed
    only (docs/requirements.md#what-each-hook-does). ``written_off`` is what has left the store's balance, fixed by the event that shipped
    the order. ``repeats`` holds the digest of the latest content by hook, to recognise a repeat that has no timestamp. ``last`` is the
    newest event folded in. ``known``: the sums before a position without a price made them unknown.
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
    repeats: tuple[tuple[HookType, str], ...] = ()
    incidents: tuple[Incident, ...] = ()
    customer: Contact | None = None
    address: Address | None = None
    delivery_window: Window | None = None
    known: KnownSums | None = field(default=None, compare=False)

    @property
    def cost(self) -> int | None:
        """What the customer pays for the goods, in minor units: the discounted total where there is one."""
        return self.total_price if self.total_discount_price is None else self.total_discount_price

    @property
    def refund_due(self) -> bool:
        """Whether money has to go back: cancelled, paid, and paid through a payment that we can refund."""
        return self.status is Status.CANCELLED and self.paid and self.payment_id is not None


_PLAIN_CONTENT = ("store_id", "comment", "shipment_method", "replacement_policy", "payment_method", "payment_id")
_CONTACT = ("name", "phone", "email")


def needs_contact(order: OrderState) -> bool:
    """Whether this is a website's order under way whose customer nobody can call or write to: the gateway notified a person of it."""
    if order.source.partition(":")[0] != "website" or order.status in {Status.DELIVERED, Status.CANCELLED}:
        return False
    return order.customer is None or not order.customer.reachable


PERSONAL = frozenset({"comment", "customer.name", "customer.phone", "customer.email", "address"})
"""Names of content that is a customer's: an order holds it, no message, alert or log does."""


def content_changes(before: OrderState, after: OrderState) -> list[FieldChange]:
    """Return what differs beside positions and totals, as texts: store, comment, customer, address, time of delivery and the like."""
    fields = [(name, getattr(before, name), getattr(after, name)) for name in _PLAIN_CONTENT]
    if before.customer is not after.customer:
        old, new = before.customer or Contact(), after.customer or Contact()
        fields += [(f"customer.{name}", getattr(old, name), getattr(new, name)) for name in _CONTACT]
    for name in ("address", "delivery_window"):
        was, now = getattr(before, name), getattr(after, name)
        if was is not now:
            fields.append((name, was and was.full, now and now.full))
    return [change for change in fields if change[1] != change[2]]


_FIELDS = frozenset(OrderState.__dataclass_fields__)


def evolve(state: OrderState, **changes: Any) -> OrderState:
    """Return the state with these fields changed: what ``dataclasses.replace`` does, in a thirtieth of the time (the hot path does it
    twice an event).
    """
    return state_of({**vars(state), **changes})


def state_of(values: dict[str, Any]) -> OrderState:
    """Return the state with these values, one for each field; they are its own from then on. Raises ``TypeError``."""
    if values.keys() != _FIELDS:
        raise TypeError(f"an order has other fields: {', '.join(sorted(values.keys() ^ _FIELDS))}")
    made = object.__new__(OrderState)
    object.__setattr__(made, "__dict__", values)
    return made
