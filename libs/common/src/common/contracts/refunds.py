"""Context ``refunds``: the life of refunds. Sent by the refunds service."""

from __future__ import annotations

from typing import ClassVar, Literal

from common.contracts.envelope import Message, Moment


class TCreateRefundV1(Message):
    """Carry out one attempt of a refund. Consumed once per (refund, attempt)."""

    TYPE: ClassVar[str] = "refunds.tcreate_refund.requested.v1"
    refund_id: str
    attempt: int


class RefundStateChangedV1(Message):
    """A refund went into another state. ``state`` is the state's number (RS_CREATE = 2, RS_ERROR = 7).

    ``amount`` is None only while "everything captured" was asked for and what was captured is not known yet (states CREATE, REJECTED,
    and ERROR before anything was sent). ``settled``: people closed the refund; ``outside``: the customer has the money by another way.
    ``released``: it is over and nothing of it counts as spent, so what it was for may be asked for again.
    """

    TYPE: ClassVar[str] = "refunds.refund.state_changed.v1"
    refund_id: str
    order_number: str
    payment_id: str
    business_key: str
    state: int
    state_name: str
    version: int
    attempt: int
    amount: int | None
    currency: str
    reason: str
    error: str | None = None
    settled: Literal["outside", "given_up"] | None = None
    released: bool = False
    occurred_at: Moment


class RefundRejectedV1(Message):
    """A refund that was wanted cannot be made; ``code`` is the same as an HTTP caller would get."""

    TYPE: ClassVar[str] = "refunds.refund.rejected.v1"
    order_number: str
    payment_id: str
    business_key: str
    code: str
    detail: str
    occurred_at: Moment
