"""A refund and its history. Sums are integer minor units."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from refunds.differences.model import Difference, DifferenceKind
from refunds.refunds.states import RefundState


class Settled(StrEnum):
    """How people settled a refund that they closed: the customer has the money by another way, or is not to get it this way."""

    OUTSIDE = "outside"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True)
class Refund:
    """Money that is to go back, once. ``business_key`` is what makes a repeated request the same refund.

    ``amount`` None means everything that is captured and not refunded; it is settled before anything is sent. ``reserved`` is the part of
    the payment that this refund holds: 0 or ``amount``. ``tries`` counts calls without a definite answer since the last change of
    state, ``declines`` definite failures since the last restart. ``next_attempt_at``: when a worker looks at it next, None: not
    by itself. ``settled``: people closed it, and nothing is sent for it any more. ``everything``: everything captured was asked for;
    None for refunds of before this was stored.
    """

    id: str
    business_key: str
    order_number: str
    payment_id: str
    amount: int | None
    currency: str
    reason: str
    state: RefundState
    version: int
    attempt: int
    reserved: int
    tries: int
    declines: int
    error: str | None
    next_attempt_at: datetime | None
    created_at: datetime
    state_since: datetime
    traceparent: str | None
    settled: Settled | None = None
    everything: bool | None = None

    @property
    def fingerprint(self) -> str:
        """Names the problem of this attempt: one incident an attempt, however often it is reported."""
        return f"refund:{self.id}:{self.attempt}"

    @property
    def released(self) -> bool:
        """Whether it is over and nothing of it counts as spent: what it was for may be asked for again."""
        if self.state is RefundState.CLOSED:
            return self.settled is Settled.GIVEN_UP and self.reserved == 0
        return self.state in {RefundState.REJECTED, RefundState.REVERSED}

    @property
    def state_name(self) -> str:
        """The state as people read it."""
        return self.state.name


def paid_after_close(refund: Refund, *, gateway: str) -> Difference:
    """Return the difference of a refund that people closed and the gateway has paid or is paying."""
    return Difference(
        DifferenceKind.PAID_AFTER_ALL,
        gateway,
        refund.id,
        f"people closed it ({refund.settled}), and the gateway has it: {refund.state.name}",
        refund.order_number,
        payment_id=refund.payment_id,
        amount=refund.amount,
        currency=refund.currency,
    )


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

    @property
    def before_name(self) -> str | None:
        """The earlier state as people read it; None for the first line."""
        return None if self.before is None else self.before.name

    @property
    def after_name(self) -> str:
        """The later state as people read it."""
        return self.after.name


class Restarted(StrEnum):
    """What came of a restart: tried again, or the gateway's truth adopted and nothing sent."""

    RESTARTED = "restarted"
    ADOPTED_PENDING = "adopted_pending"
    ADOPTED_SUCCESS = "adopted_success"
