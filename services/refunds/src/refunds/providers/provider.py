"""What the use cases need from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from common.contracts import Message
from common.errors import SuiteError
from refunds.providers.model import GatewayPolicy, PaymentInfo, Receipt, RegisterPage
from refunds.reconciliation.model import Difference
from refunds.refunds.lines import LineTaken, RefundedLine
from refunds.refunds.model import Attempt, Payment, Refund
from refunds.refunds.states import Happened, RefundState


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


@dataclass(frozen=True, slots=True)
class GatewayCall:
    """One call to a gateway about a refund: the evidence that a person gets when the service gives up.

    ``request`` and ``answer`` name sums, ids, keys and codes; no secret, nothing of a customer.
    """

    refund_id: str
    attempt: int
    at: datetime
    operation: str
    request: str
    outcome: str
    answer: str
    seconds: float


class RefundStore(Protocol):
    """The refunds database inside one transaction. Payments are locked before refunds, always."""

    @property
    def observer(self) -> Observer:
        """Where figures go."""
        ...

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
        """Write the refund if state and version are still those of ``before``. Raises ``Overtaken``."""
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

    async def attempts(self, refund_id: str) -> Sequence[Attempt]:
        """Return every attempt, oldest first."""
        ...

    async def by_gateway_refund_id(self, gateway: str, gateway_refund_id: str) -> tuple[Refund, Attempt] | None:
        """Return the refund that the gateway calls so, with the newest of its attempts under that id."""
        ...

    async def add_attempt(self, attempt: Attempt) -> None:
        """Insert an attempt, key and all."""
        ...

    async def mark_sent(self, refund: Refund, attempt: Attempt, *, now: datetime) -> Attempt:
        """Note that from now on the gateway may know the key. Keeps the first moment.

        Raises ``Overtaken`` unless the refund is in the state and version given: nobody sends for a refund that has gone on.
        """
        ...

    async def keep_gateway_refund_id(self, refund: Refund, attempt: Attempt, gateway_refund_id: str) -> Attempt:
        """Note what the gateway calls it. Raises ``Overtaken`` like ``mark_sent``, ``Impossible`` when it has another id already."""
        ...

    async def hurry(self, refund: Refund, *, now: datetime) -> None:
        """Make a refund that waits due now, if it is still in this state and version."""
        ...

    async def add_lines(self, refund: Refund, lines: Sequence[RefundedLine]) -> None:
        """Keep which lines of the order the refund is for."""
        ...

    async def lines(self, refund_id: str) -> Sequence[RefundedLine]:
        """Return them."""
        ...

    async def lines_taken(self, payment_id: str) -> Mapping[str, LineTaken]:
        """Return what the payment's refunds, but for those proven failed, have taken of each line. The payment must be locked."""
        ...

    async def note_calls(self, calls: Sequence[GatewayCall]) -> None:
        """Append to the evidence."""
        ...

    async def calls(self, refund_id: str, *, limit: int) -> Sequence[GatewayCall]:
        """Return the newest calls, oldest first."""
        ...

    async def open_problem(self, refund: Refund, *, now: datetime) -> bool:
        """Note that a problem is raised for the present attempt. False when it was before: one an attempt."""
        ...

    async def close_problems(self, refund_id: str, *, before_attempt: int, now: datetime) -> Sequence[int]:
        """Return, once, the attempts before the given one whose problem was raised and is not over."""
        ...

    async def knows_key(self, gateway: str, key: str) -> bool:
        """Tell whether an attempt of ours goes under this key."""
        ...

    async def note_difference(self, difference: Difference, *, now: datetime) -> bool:
        """Keep a difference. False when it was known and is not over."""
        ...

    async def differences_over(self, subject: str, *, now: datetime) -> Sequence[Difference]:
        """Return, once, the differences of the subject that were not over."""
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
    """A payment system that can move money back. Its ``policy`` says which of the operations mean something there.

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

    async def cancel(self, payment_id: str, *, key: str) -> None:
        """Cancel a payment that was not captured; cancelling it again changes nothing."""
        ...

    async def register(self, *, since: datetime, until: datetime, cursor: str | None) -> RegisterPage:
        """Return a page of the refunds that were made there in [since, until). ``GatewayRefused`` when it keeps no register."""
        ...

    def named_in(self, notification: bytes) -> str | None:
        """Return the gateway's id of the refund that a notification is about. Nothing else of a notification is believed."""
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

    def problem(self, kind: str) -> None:
        """A problem was raised; ``kind`` is that of the event."""
        ...
