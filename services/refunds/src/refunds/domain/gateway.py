"""What gateways say, and what each declares about itself: their key policies conflict (research "Gateways")."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from refunds.domain.states import Happened


class GatewayStatus(StrEnum):
    """How far a refund is at the gateway. ``OPENED`` is made and not started: no money moves yet."""

    OPENED = "opened"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    MISSING = "missing"


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
    """What the gateway says of a payment; ``captured`` in minor units."""

    captured: int
    currency: str
    status: str


@dataclass(frozen=True, slots=True)
class GatewayPolicy:
    """What a gateway declares.

    ``key_retention``: how long it recognises an idempotency key. ``two_step``: making a refund moves no money, only starting it does;
    so an attempt whose gateway id we never learned was never started.
    """

    name: str
    key_retention: timedelta
    two_step: bool


_MEANS = {
    GatewayStatus.OPENED: Happened.NOT_STARTED,
    GatewayStatus.PENDING: Happened.ACCEPTED,
    GatewayStatus.SUCCEEDED: Happened.SUCCEEDED,
    GatewayStatus.FAILED: Happened.FAILED,
    GatewayStatus.MISSING: Happened.NO_ANSWER,
}
