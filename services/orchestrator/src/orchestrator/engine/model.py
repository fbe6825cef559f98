"""What the use cases need of the world, and the values that pass between them and it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any, Protocol

from orchestrator.orders.model import OrderState, StockEntry

ORDER_LIFE = "order_life"
"""The workflow kind that carries an order through its life: one a number."""
UPDATE_TRANSACTIONS = "update_transactions"
"""Works out the sum to pay and the tips of a finished order (M16): one a number."""
REFUND_REQUEST = "refund_request"
"""Asks for a refund and follows it to its end: one a business key."""
ORDER_DOCUMENT = "order_document"
"""Issues an order's document (voucher) and issues it again: one a number."""
KINDS = (ORDER_LIFE, UPDATE_TRANSACTIONS, REFUND_REQUEST, ORDER_DOCUMENT)


class Lane(IntEnum):
    """Who carries a workflow out: workers that never wait for another service, or those that do (SQL ``workflow_lane``)."""

    LIFE = 0
    CALLS = 1


class WorkflowState(IntEnum):
    """States of a workflow. ``STOPPED`` has the seed's number (M9)."""

    RUNNING = 1
    STOPPED = 2
    FINISHED = 3
    CRASHED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event to append to a workflow, which is made if it does not exist. ``event_id`` is the same for a repeat."""

    order_number: str
    kind: str
    type: str
    event_id: str
    attributes: Mapping[str, Any]
    payload: bytes
    received_at: datetime
    traceparent: str | None = None
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowEvent:
    """An event as a workflow holds it; ``seq`` counts from 1 without gaps."""

    seq: int
    type: str
    event_id: str
    attributes: Mapping[str, Any]
    payload: bytes
    traceparent: str | None
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A workflow lent to one worker until its lease ends, with its next events. ``fence`` names this claim for ever."""

    workflow_id: int
    order_number: str
    kind: str
    key: str
    done_seq: int
    fence: int
    attempts: int
    events: tuple[WorkflowEvent, ...]

    @property
    def upto(self) -> int:
        """The last event that was lent."""
        return self.events[-1].seq if self.events else self.done_seq


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRow:
    """An order to be written: its state, and what is derived from it. ``revision`` is what it will be."""

    state: OrderState
    revision: int
    zone: str
    tariff: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOrder:
    """An order as it was read."""

    state: OrderState
    revision: int
    tips_revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """One line of an order's story, not about a hook's arrival (those are workflow events). No customer's data."""

    order_number: str
    occurred_at: datetime
    service: str
    kind: str
    actor: str
    summary: str
    details: Mapping[str, str] = field(default_factory=dict)
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """An order that waits for its ``created``."""

    order_number: str
    source: str
    hook: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLog:
    """What to log once the step is committed, with the trace that the event belongs to."""

    trace_id: str | None
    hook: str
    act: str
    status: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transactions:
    """What an iteration of ``update_transactions`` worked out, in minor units. ``next_check_at`` None: nothing is left to check."""

    number: str
    sum_to_pay: int
    refunded: int
    tips: int
    currency: str
    decided_by: str
    fallback: str | None
    computed_at: datetime
    next_check_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One version of an order's document. Equal content has an equal digest."""

    order_number: str
    version: int
    digest: str
    content_type: str
    content: str
    order_revision: int
    issued_at: datetime
    issued_by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundWish:
    """A refund that was asked for. ``amount`` None: everything captured. ``positions`` are (id, quantity) it was worked out from."""

    business_key: str
    order_number: str
    payment_id: str
    amount: int | None
    currency: str
    reason: str
    requested_by: str
    requested_at: datetime
    positions: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True, kw_only=True)
class Outcome:
    """A claim carried out: the cursor moves to ``upto`` and the effects are written, all in one transaction, or nothing is.

    ``events`` are (type, encoded envelope) for the outbox. ``stock`` goes with ``order``. ``unparked`` ends the wait for ``created``; it is
    the event to send if a person had been told of the wait. ``wake_at`` runs the workflow again at that moment, with no event, unless
    a new event comes first. ``appends`` are events for other workflows (children, or whoever waits for this one), made where they
    do not exist.
    """

    claim: Claim
    upto: int
    state: WorkflowState = WorkflowState.RUNNING
    order: OrderRow | None = None
    stock: Sequence[StockEntry] = ()
    stock_corrects: bool = False
    timeline: list[TimelineEntry] = field(default_factory=list)
    events: list[tuple[str, bytes]] = field(default_factory=list)
    parked: Parked | None = None
    unparked: tuple[str, bytes] | None = None
    logs: list[StepLog] = field(default_factory=list)
    wake_at: datetime | None = None
    appends: list[NewEvent] = field(default_factory=list)
    transactions: Transactions | None = None
    document: Document | None = None
    refund_wish: RefundWish | None = None
    refund_rejected: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A claim that failed. ``retry_in`` seconds it is tried again; None means that it has crashed for good.

    ``error`` and ``stack`` say what and where, never a payload. ``event`` is the outbox's WorkflowCrashedV1 of a crash.
    """

    claim: Claim
    error: str
    stack: str
    retry_in: float | None
    counted: bool = True
    event: tuple[str, bytes] | None = None


class WorkflowStore(Protocol):
    """Where workflows live. Every method is one transaction and may raise a retryable error when the store is away."""

    async def claim(self, *, owner: str, limit: int, lease_seconds: float) -> list[Claim]:
        """Take up to ``limit`` runnable workflows, the longest ready first. No other owner gets them until the lease ends."""
        ...

    async def complete(self, *, owner: str, outcomes: Sequence[Outcome], failures: Sequence[Failure]) -> set[int]:
        """Write everything of those claims that this owner still holds under their fence; return their workflow ids.

        A claim whose lease was lost, or whose workflow was stopped, leaves no trace.
        """
        ...

    async def release(self, *, owner: str) -> None:
        """Give back whatever this owner holds, without counting a failure. Only for an owner that carries nothing out."""
        ...

    async def release_expired(self) -> int:
        """Free the workflows whose lease has ended, counting a failure each, and return how many there were."""
        ...


class OrderReader(Protocol):
    """Reads what the order-life workflow needs."""

    async def orders(self, numbers: Sequence[str]) -> dict[str, StoredOrder]:
        """Return the orders that exist, by number."""
        ...

    async def events(self, upto: Mapping[int, int]) -> dict[int, list[WorkflowEvent]]:
        """Return all events of the given workflows (id → last sequence number wanted), by workflow, in sequence."""
        ...


class EngineMetrics(Protocol):
    """What the engine counts."""

    def claimed(self, count: int) -> None:
        """Workflows taken in hand."""
        ...

    def completed(self, kind: str, events: int, lags: Sequence[float]) -> None:
        """One workflow's events carried out; ``lags`` are seconds from the event's receipt to the commit."""
        ...

    def refused(self, count: int) -> None:
        """Results that came after their lease was lost."""
        ...

    def failed(self, kind: str, *, crashed: bool) -> None:
        """A failure, to be retried or for good."""
        ...

    def expired(self, count: int) -> None:
        """Leases that ended without a result."""
        ...

    def transition(self, hook: str, act: str) -> None:
        """One event of an order, and what was done with it."""
        ...
