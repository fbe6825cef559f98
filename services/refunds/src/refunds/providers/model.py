"""What gateways say, and what each declares about itself: their key policies conflict (research "Gateways")."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from refunds.refunds.states import Happened


class GatewayStatus(StrEnum):
    """How far a refund is at the gateway. ``OPENED`` is made and not started: no money moves yet."""

    OPENED = "opened"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    MISSING = "missing"


class FailedKey(StrEnum):
    """What a key is worth after a definite failure: the gateway replays the failure, or takes the key for a new try."""

    BURNT = "burnt"
    REUSABLE = "reusable"


@dataclass(frozen=True, slots=True)
class Receipt:
    """The gateway's answer about one refund."""

    status: GatewayStatus
    gateway_refund_id: str | None
    detail: str = ""

    @property
    def happened(self) -> Happened:
        """What the answer means to the state machine. A refund that the gateway cannot find is no proof of anything."""
        return _MEANS[self.status]


@dataclass(frozen=True, slots=True)
class PaymentInfo:
    """What the gateway says of a payment; sums in minor units.

    ``held`` is what was authorised and can still be captured or cancelled, None where the gateway does not tell. ``cancelled``: nothing
    of it can be captured any more.
    """

    captured: int
    currency: str
    status: str
    held: int | None = None
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class ListedRefund:
    """A refund as the gateway's own register has it; ``key`` is ours, where the gateway keeps it."""

    gateway_refund_id: str
    payment_id: str
    amount: int
    currency: str
    status: GatewayStatus
    key: str | None = None


@dataclass(frozen=True, slots=True)
class RegisterPage:
    """One page of a gateway's register; ``cursor`` None on the last."""

    items: tuple[ListedRefund, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class GatewayPolicy:
    """What a gateway declares.

    - ``key_retention``: how long it recognises an idempotency key, from when it first saw it.
    - ``failed_key``: what a key is worth after a definite failure.
    - ``two_step``: making a refund moves no money, only starting it does; so an attempt whose gateway id we never learned was never
      started, and never can be.
    - ``finds_by_key``: ``look_up`` finds a refund by our key, without the gateway's id. Only after ``key_retention`` may the answer that
      there is none be taken for proof, and only by an operator's restart.
    - ``cancels``: it can cancel a payment that was not captured.
    """

    name: str
    key_retention: timedelta
    failed_key: FailedKey = FailedKey.BURNT
    two_step: bool = False
    finds_by_key: bool = False
    cancels: bool = False

    @property
    def may_repeat_for(self) -> timedelta:
        """How long after the first call a key may be sent again.

        Shorter than the retention, so that a call that was long on its way still finds the key known.
        """
        return self.key_retention * 23 / 24

    def key_may_be_forgotten(self, sent_at: datetime, *, now: datetime) -> bool:
        """Tell whether the gateway may have forgotten a key; nothing can have been sent under it any more for a while."""
        return now >= sent_at + self.key_retention


_MEANS = {
    GatewayStatus.OPENED: Happened.NOT_STARTED,
    GatewayStatus.PENDING: Happened.ACCEPTED,
    GatewayStatus.SUCCEEDED: Happened.SUCCEEDED,
    GatewayStatus.FAILED: Happened.FAILED,
    GatewayStatus.MISSING: Happened.NO_ANSWER,
}
