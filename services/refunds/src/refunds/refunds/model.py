"""A refund, its attempts, and the payment it takes from. Sums are integer minor units."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from common.ids import derived_id
from refunds.providers.model import FailedKey, GatewayPolicy
from refunds.refunds.states import RefundState


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment at a gateway. ``captured`` and ``currency`` are what the gateway says, None until it was asked.

    ``reserved`` is the sum of all refunds that are not proven failures; the database keeps it, and keeps it ≤ ``captured``.
    """

    payment_id: str
    gateway: str
    captured: int | None
    currency: str | None
    reserved: int

    @property
    def left(self) -> int:
        """What can still be refunded; 0 while the captured sum is not known."""
        return 0 if self.captured is None else self.captured - self.reserved


@dataclass(frozen=True, slots=True)
class Refund:
    """Money that is to go back, once. ``business_key`` is what makes a repeated wish the same refund.

    ``amount`` None means everything that is captured and not refunded; it is settled before anything is sent. ``reserved`` is the part of
    the payment that this refund holds: 0 or ``amount``. ``tries`` counts calls without a definite answer since the last change of
    state, ``declines`` definite failures since the last restart. ``next_attempt_at``: when a worker looks at it next, None: not
    by itself.
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

    @property
    def fingerprint(self) -> str:
        """Names the problem of this attempt: one incident an attempt, however often it is reported."""
        return f"refund:{self.id}:{self.attempt}"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a refund: the key it goes under and what the gateway calls it.

    ``gateway_key`` is committed before the first call and never changes. So is ``sent_at``, the moment of the first call under this
    key: without it nothing can have reached the gateway. ``gateway_refund_id`` is committed before the refund is started.
    """

    refund_id: str
    number: int
    gateway: str
    gateway_key: str
    began_at: datetime
    sent_at: datetime | None
    gateway_refund_id: str | None

    def may_send(self, now: datetime, *, policy: GatewayPolicy) -> bool:
        """Tell whether the gateway still knows the key: past its retention a repeat could pay twice, so nothing is sent again."""
        return self.sent_at is None or now < self.sent_at + policy.may_repeat_for

    def never_started(self, policy: GatewayPolicy) -> bool:
        """Tell whether no money can have moved: the gateway pays only what is started by its id, and that is not known to anybody.

        Whoever learns the id later has to commit it to this very attempt of the refund before starting it, and cannot once the refund has
        gone on (``RefundStore.keep_gateway_refund_id``).
        """
        return policy.two_step and self.gateway_refund_id is None

    def after_failure(self, *, policy: GatewayPolicy, now: datetime) -> Attempt:
        """The next attempt after a proven failure: under a new key, unless the gateway takes the old one for a new try."""
        number = self.number + 1
        burnt = policy.failed_key is FailedKey.BURNT
        return Attempt(
            refund_id=self.refund_id,
            number=number,
            gateway=self.gateway,
            gateway_key=gateway_key(self.refund_id, number) if burnt else self.gateway_key,
            began_at=now,
            sent_at=None,
            gateway_refund_id=None,
        )

    def carried_on(self, *, now: datetime) -> Attempt:
        """The next attempt where nothing is proven to have failed: the same key, and the same refund at the gateway."""
        return replace(self, number=self.number + 1, began_at=now)


def gateway_key(refund_id: str, attempt: int) -> str:
    """Return the idempotency key of an attempt, the same whenever it is asked for."""
    return derived_id("refund", refund_id, str(attempt))
