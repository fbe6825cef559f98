"""Refunds as HTTP shows them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

from common.http import ChangeAnswer
from refunds.refunds.lines import LineKind, RefundedLine
from refunds.refunds.model import Refund, Settled
from refunds.refunds.states import RefundState

_PlainNumber = Annotated[str, BeforeValidator(lambda quantity: f"{quantity.normalize():f}")]


class RefundAccepted(ChangeAnswer):
    """The refund that was asked for, new or already there."""

    id: str
    state: int = Field(description="RS_CREATE = 2, RS_ERROR = 7; the others are ours")
    state_name: str


class LineView(BaseModel):
    """A line of the order that the refund is for; ``amount`` in minor units is its part."""

    id: str
    kind: LineKind
    quantity: _PlainNumber
    of_quantity: _PlainNumber
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
    settled: Settled | None = Field(description="how people settled it, once they closed it")
    error: str | None = Field(description="stable code of what went wrong last")
    next_attempt_at: datetime | None = Field(description="when the service looks at it next by itself")
    created_at: datetime
    state_since: datetime
    lines: list[LineView] = Field(default=[], description="empty in lists, and for a refund that names no lines")


class PaymentView(BaseModel):
    """A payment and its refunds together, in minor units of ``currency``; ``reserved`` (refunded or on its way) is at most ``captured``.

    What customers had in another way than from this payment (paid at the gateway beyond what it captured) makes ``refunded`` the larger.
    """

    payment_id: str
    gateway: str
    captured: int | None = Field(description="as the payment system says; null until it was asked")
    captured_at: datetime | None = Field(description="when it said so")
    currency: str | None
    reserved: int = Field(description="held by all refunds that are not proven failures; never more than `captured`")
    refunded: int = Field(description="what customers have of it, as far as it is known")
    left: int | None = Field(description="what can still be refunded")
    refunds: int = Field(description="how many were asked for")


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

    attempt: int = Field(validation_alias="number")
    gateway: str
    gateway_key: str
    began_at: datetime
    sent_at: datetime | None
    gateway_refund_id: str | None


class EvidenceView(BaseModel):
    """Everything that a person needs to talk to the payment system's people."""

    attempts: list[AttemptView]
    calls: list[CallView] = Field(description="the newest hundred, oldest first; no secrets")


def view(refund: Refund, lines: Sequence[RefundedLine] = ()) -> RefundView:
    """Show a refund."""
    shown = RefundView.model_validate(refund, from_attributes=True)
    shown.lines = [LineView.model_validate(line, from_attributes=True) for line in lines]
    return shown


def state_named(text: str) -> RefundState | None:
    """Read a state given by number or by name (``7``, ``ERROR``, ``RS_ERROR``)."""
    if text.isascii() and text.isdigit():
        return next((state for state in RefundState if state == int(text[:4])), None)
    return RefundState.__members__.get(text.upper().removeprefix("RS_"))
