"""Context ``orders``: what happened to orders and their workflows. Sent by the orchestrator.

Sums are integer minor units of ``currency``. Quantities are decimal strings ("2", "0.5"): goods are sold by piece and by weight.
Of the customer's name, phone, mail and address these messages carry no more than what is left of them once they are masked.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from common.contracts.envelope import Message, Moment

OrderStatus = Literal["created", "paid", "received", "delivered", "cancelled"]


class Position(Message):
    """One line of an order. ``replaces`` is the id of the position that it stands in for."""

    id: str
    name: str | None = None
    quantity: str
    original_quantity: str | None = None
    price: int | None = None
    discount_price: int | None = None
    total_price: int | None = None
    total_discount_price: int | None = None
    weight: str | None = None
    replaces: str | None = None


class OrderCustomer(Message):
    """Who ordered, masked: enough to tell two people apart, too little to reach one."""

    name: str | None = None
    phone: str | None = None
    email: str | None = None


class DeliveryWindow(Message):
    """When the customer waits for the delivery: moments where they could be read, else the words that were said (``text``)."""

    starts: Moment | None = None
    ends: Moment | None = None
    text: str | None = None


class OrderSnapshot(Message):
    """An order as it was right after the event. ``version`` grows by at least one with every change of the order.

    ``customer`` and ``address`` are masked: whoever needs them whole asks the orchestrator, who keeps a record of it.
    """

    number: str
    source: str
    external_id: str
    version: int
    status: OrderStatus
    closed_for_changes: bool
    shipped: bool
    store_id: str | None = None
    zone: str = "other"
    tariff: str = "other"
    comment: str | None = None
    shipment_method: str | None = None
    replacement_policy: str | None = None
    currency: str = "RUB"
    positions: tuple[Position, ...] = ()
    total_price: int | None = None
    total_discount_price: int | None = None
    payment_method: str | None = None
    payment_id: str | None = None
    customer: OrderCustomer | None = None
    address: str | None = None
    delivery_window: DeliveryWindow | None = None
    updated_at: Moment


class PositionChange(Message):
    """A position whose quantity or price changed."""

    before: Position
    after: Position


class OrderDifference(Message):
    """What a change did: positions by kind, and other fields as (name, before, after); ``customer`` and ``address`` masked."""

    added: tuple[Position, ...] = ()
    removed: tuple[Position, ...] = ()
    changed: tuple[PositionChange, ...] = ()
    fields: tuple[tuple[str, str | None, str | None], ...] = ()


class OrderEvent(Message):
    """Base of the order events. ``notify`` is the orchestrator's decision whether pickers and store are notified."""

    order: OrderSnapshot
    notify: bool
    occurred_at: Moment


class OrderCreatedV1(OrderEvent):
    """A new order."""

    TYPE: ClassVar[str] = "orders.order.created.v1"


class OrderChangedV1(OrderEvent):
    """The composition of an order changed before it was closed."""

    TYPE: ClassVar[str] = "orders.order.changed.v1"
    difference: OrderDifference


class OrderPaidV1(OrderEvent):
    """Final prices are known; the order is closed for changes."""

    TYPE: ClassVar[str] = "orders.order.paid.v1"
    difference: OrderDifference


class OrderReceivedV1(OrderEvent):
    """The order was handed to the courier; its goods are off the store's balance."""

    TYPE: ClassVar[str] = "orders.order.received.v1"


class OrderDeliveredV1(OrderEvent):
    """The customer has the order."""

    TYPE: ClassVar[str] = "orders.order.delivered.v1"


class OrderCancelledV1(OrderEvent):
    """The order was cancelled. ``notify`` is false when it had already been shipped."""

    TYPE: ClassVar[str] = "orders.order.cancelled.v1"
    slug: str | None = None
    description: str | None = None


class OrderCorrectedV1(OrderEvent):
    """A late, older event changed what the order is; messages sent before are corrected by this one."""

    TYPE: ClassVar[str] = "orders.order.corrected.v1"
    difference: OrderDifference
    late_event: str


class WorkflowStoppedV1(Message):
    """A person stopped a workflow. It does nothing from then on."""

    TYPE: ClassVar[str] = "orders.workflow.stopped.v1"
    workflow_id: int
    kind: str
    order_number: str
    actor: str
    reason: str
    occurred_at: Moment


class WorkflowCrashedV1(Message):
    """An event of a workflow cannot be carried out: an operator has to act. The workflow's other events go on.

    ``event`` is the id of the event that failed (``<workflow>-<sequence>``), None where a timer did; ``code`` is a stable word for why.
    ``retried_by`` is who had this very event tried again before it failed again, and ``retried_at`` when.
    """

    TYPE: ClassVar[str] = "orders.workflow.crashed.v1"
    workflow_id: int
    kind: str
    order_number: str
    event_type: str
    event: str | None = None
    code: str | None = None
    error: str
    attempts: int
    retried_by: str | None = None
    retried_at: Moment | None = None
    occurred_at: Moment


class RefundLine(Message):
    """A part of an order that money goes back for: ``quantity`` of the ``of_quantity`` that ``paid`` minor units were paid for.

    Tips are a line of their own (``kind`` tips). The refunds service works the sum out, so that all parts of a line add up to ``paid``.
    """

    id: str
    kind: Literal["position", "delivery", "tips"] = "position"
    quantity: str = "1"
    of_quantity: str = "1"
    paid: int


class RefundWantedV1(Message):
    """Money is to go back. ``business_key`` makes it one refund however often it is asked for (``{number}:cancel``).

    ``amount`` None means: the sum of ``lines``, or without lines all that was captured. ``source`` (the order's) may decide which
    payment system it is.
    """

    TYPE: ClassVar[str] = "orders.refund.wanted.v1"
    order_number: str
    payment_id: str
    amount: int | None
    currency: str
    reason: str
    business_key: str
    lines: tuple[RefundLine, ...] = ()
    source: str | None = None


class TipsHoldWantedV1(Message):
    """Tips are to be held at this sum. Nothing calls the payment system for it yet."""

    TYPE: ClassVar[str] = "orders.tips.hold_wanted.v1"
    order_number: str
    amount: int
    currency: str
    held_at: Moment
