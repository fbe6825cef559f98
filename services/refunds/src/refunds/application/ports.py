"""What the use cases need from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from common.contracts import Message
from common.errors import SuiteError
from refunds.domain.gateway import GatewayPolicy, PaymentInfo, Receipt
from refunds.domain.refund import Attempt, Payment, Refund
from refunds.domain.states import Happened, RefundState


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One line of a refund's append-only history."""

    version: int
    attempt: int
    before: RefundState | None
    after: RefundState
    happened: str
    actor: str
    detail: str
    at: datetime


class RefundStore(Protocol):
    """The refunds database inside one transaction. Payments are locked before refunds, always."""

    async def ensure_payment(self, payment_id: str, *, gateway: str) -> None:
        """Make the payment if it is not known."""
        ...

    async def lock_payment(self, payment_id: str) -> Payment:
        """Return a known payment, locked until the transaction ends."""
        ...

    async def learn_captured(self, payment_id: str, info: PaymentInfo, *, now: datetime) -> Payment:
        """Keep what the gateway says was captured. The payment must be locked."""
        ...

    async def find(self, refund_id: str) -> Refund | None:
        """Return the refund as it is."""
        ...

    async def by_business_key(self, business_key: str) -> Refund | None:
        """Return the refund of this business key."""
        ...

    async def waiting_for_captured(self, payment_id: str) -> Sequence[Refund]:
        """Return, locked and oldest first, the refunds in CREATE that hold nothing of the payment yet."""
        ...

    async def add(self, refund: Refund, *, happened: str, actor: str) -> bool:
        """Insert a refund and its first line of history. False when the business key was taken at the same moment."""
        ...

    async def save(self, before: Refund, after: Refund) -> None:
        """Write the refund if state and version are still those of ``before``; end its lease. Raises ``Overtaken``."""
        ...

    async def record(self, after: Refund, *, before: RefundState, happened: Happened, actor: str, detail: str) -> None:
        """Append to the history."""
        ...

    async def history(self, refund_id: str) -> Sequence[HistoryEntry]:
        """Return the history, oldest first."""
        ...

    async def attempt(self, refund: Refund) -> Attempt:
        """Return the refund's present attempt."""
        ...

    async def add_attempt(self, attempt: Attempt) -> None:
        """Insert an attempt, key and all."""
        ...

    async def mark_sent(self, attempt: Attempt, *, now: datetime) -> Attempt:
        """Note that from now on the gateway may know the key. Keeps the first moment."""
        ...

    async def keep_gateway_refund_id(self, attempt: Attempt, gateway_refund_id: str) -> Attempt:
        """Note what the gateway calls it. Raises ``Impossible`` when it is known by another id already."""
        ...

    async def promise(
        self, message: Message, *, event_id: str, order_number: str, traceparent: str | None, now: datetime
    ) -> None:
        """Publish after the transaction commits, as part of the given trace."""
        ...


class Transactions(Protocol):
    """Opens transactions on the refunds database."""

    def begin(self) -> AbstractAsyncContextManager[RefundStore]:
        """Commit at the end of the block, roll back on an exception. Raises ``Unavailable`` when the database is away."""
        ...


class GatewayAway(SuiteError):
    """The request definitely had no effect: there was no connection, or the gateway turned it away (429, 401)."""

    code = "gateway_away"
    retryable = True


class GatewaySilent(SuiteError):
    """The outcome is not known: time-out, reset, 5xx, or an answer that cannot be understood."""

    code = "gateway_silent"
    retryable = True


class GatewayRefused(SuiteError):
    """The gateway definitely refuses this request; the same request will be refused again. ``reason`` is the gateway's code."""

    code = "gateway_refused"

    def __init__(self, detail: str, *, reason: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Gateway(Protocol):
    """A payment system that can move money back.

    Every call is under a deadline of the adapter's own and raises ``GatewayAway``, ``GatewaySilent`` or ``GatewayRefused``. A gateway
    that refunds in one step answers ``create`` with more than ``OPENED``; ``start`` is then never called.
    """

    @property
    def policy(self) -> GatewayPolicy:
        """What the gateway declares."""
        ...

    async def payment(self, payment_id: str) -> PaymentInfo:
        """Return what was captured."""
        ...

    async def create(self, refund: Refund, attempt: Attempt) -> Receipt:
        """Make the refund under the attempt's key; the same key gives the same refund."""
        ...

    async def start(self, attempt: Attempt) -> Receipt:
        """Set a refund going that ``create`` left ``OPENED``; starting it again changes nothing."""
        ...

    async def look_up(self, refund: Refund, attempt: Attempt) -> Receipt:
        """Say what has become of the attempt, moving no money: by the gateway's id, or by the key where the id is not known."""
        ...


Gateways = Mapping[str, Gateway]


class Observer(Protocol):
    """Where figures go. Never raises."""

    def moved(self, before: RefundState | None, after: RefundState) -> None:
        """A refund was made (``before`` None) or changed its state."""
        ...

    def gateway_called(self, gateway: str, operation: str, outcome: str, seconds: float) -> None:
        """A gateway was called; ``outcome`` is ``answered`` or an error's code."""
        ...
