"""Refunds as HTTP shows them."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, Field

from refunds.providers.provider import GatewayCall, HistoryEntry
from refunds.refunds.lines import LineKind, RefundedLine
from refunds.refunds.model import Attempt, Refund
from refunds.refunds.states import RefundState


class RefundAccepted(BaseModel):
    """The refund that was asked for, new or already there."""

    id: str
    state: int = Field(description="RS_CREATE = 2, RS_ERROR = 7; the others are ours")
    state_name: str


class LineView(BaseModel):
    """A line of the order that the refund is for; ``amount`` in minor units is its part."""

    id: str
    kind: LineKind
    quantity: str
    of_quantity: str
    paid: int
    amount: int


class RefundView(RefundAccepted):
    """A refund. Sums are minor units of ``currency``."""

    business_key: str
    order_number: str
    payment_id: str
    amount: int | None = Field(description="null: everything captured and not refunded, not settled yet")
    currency: str
    reason: str
    version: int
    attempt: int
    error: str | None = Field(description="stable code of what went wrong last")
    next_attempt_at: datetime | None = Field(description="when the service looks at it next by itself")
    created_at: datetime
    state_since: datetime
    lines: list[LineView] = Field(default=[], description="empty in lists, and for a refund that names no lines")


class HistoryView(BaseModel):
    """One change of state, and who or what brought it about."""

    version: int
    attempt: int
    before: int | None
    before_name: str | None
    after: int
    after_name: str
    happened: str
    actor: str
    detail: str
    at: datetime


class HistoryList(BaseModel):
    """The whole history of a refund, oldest first; append-only."""

    items: list[HistoryView]
    next_cursor: str | None = None


class CallView(BaseModel):
    """One call to the payment system: what was asked, what came back, and what that meant."""

    attempt: int
    at: datetime
    operation: str
    request: str
    outcome: str
    answer: str
    seconds: float


class AttemptView(BaseModel):
    """One attempt: the key it went under, and what the payment system calls it."""

    attempt: int
    gateway: str
    gateway_key: str
    began_at: datetime
    sent_at: datetime | None
    gateway_refund_id: str | None


class EvidenceView(BaseModel):
    """Everything that a person needs to talk to the payment system's people."""

    attempts: list[AttemptView]
    calls: list[CallView] = Field(description="the newest hundred, oldest first; no secrets")


def evidence_view(attempts: Sequence[Attempt], calls: Sequence[GatewayCall]) -> EvidenceView:
    """Show the evidence."""
    return EvidenceView(
        attempts=[
            AttemptView(
                attempt=one.number,
                gateway=one.gateway,
                gateway_key=one.gateway_key,
                began_at=one.began_at,
                sent_at=one.sent_at,
                gateway_refund_id=one.gateway_refund_id,
            )
            for one in attempts
        ],
        calls=[
            CallView(
                attempt=call.attempt,
                at=call.at,
                operation=call.operation,
                request=call.request,
                outcome=call.outcome,
                answer=call.answer,
                seconds=call.seconds,
            )
            for call in calls
        ],
    )


def accepted(refund: Refund) -> RefundAccepted:
    """Show the short form."""
    return RefundAccepted(id=refund.id, state=refund.state, state_name=refund.state.name)


def view(refund: Refund, lines: Sequence[RefundedLine] = ()) -> RefundView:
    """Show a refund."""
    return RefundView(
        id=refund.id,
        state=refund.state,
        state_name=refund.state.name,
        business_key=refund.business_key,
        order_number=refund.order_number,
        payment_id=refund.payment_id,
        amount=refund.amount,
        currency=refund.currency,
        reason=refund.reason,
        version=refund.version,
        attempt=refund.attempt,
        error=refund.error,
        next_attempt_at=refund.next_attempt_at,
        created_at=refund.created_at,
        state_since=refund.state_since,
        lines=[
            LineView(
                id=line.id,
                kind=line.kind,
                quantity=f"{line.quantity.normalize():f}",
                of_quantity=f"{line.of_quantity.normalize():f}",
                paid=line.paid,
                amount=line.amount,
            )
            for line in lines
        ],
    )


def history_view(entry: HistoryEntry) -> HistoryView:
    """Show a line of history."""
    return HistoryView(
        version=entry.version,
        attempt=entry.attempt,
        before=entry.before,
        before_name=None if entry.before is None else entry.before.name,
        after=entry.after,
        after_name=entry.after.name,
        happened=entry.happened,
        actor=entry.actor,
        detail=entry.detail,
        at=entry.at,
    )


def state_named(text: str) -> RefundState | None:
    """Read a state given by number, by name or by the seed's name (``7``, ``ERROR``, ``RS_ERROR``)."""
    if text.isascii() and text.isdigit():
        return next((state for state in RefundState if state == int(text[:4])), None)
    return RefundState.__members__.get(text.upper().removeprefix("RS_"))
