"""What payment gateways say, what each declares about its idempotency keys, and the attempts that go to them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from common.ids import derived_id


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


def new_to_us(said: str) -> str:
    """Return in words a status that a gateway has given and that we do not know."""
    return f"{said[:40]!r}, which is new to us"


@dataclass(frozen=True, slots=True)
class Receipt:
    """The gateway's answer about one refund."""

    status: GatewayStatus
    gateway_refund_id: str | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PaymentInfo:
    """What the gateway says of a payment; sums in minor units.

    ``held`` is what was authorised and can still be captured or cancelled, None where the gateway does not say. ``cancelled``: nothing
    of it can be captured any more.
    """

    captured: int
    currency: str
    status: str
    held: int | None = None
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class ListedRefund:
    """A refund as the gateway's own register has it; ``key`` is ours, where the gateway keeps it.

    ``status`` None: what it has ``said`` is new to us. That is neither a yes nor a no: money may have moved.
    """

    gateway_refund_id: str
    payment_id: str
    amount: int
    currency: str
    status: GatewayStatus | None
    said: str
    key: str | None = None

    @property
    def in_words(self) -> str:
        """Its status, for people."""
        return self.status or new_to_us(self.said)


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
        """Return whether the gateway may have forgotten a key; nothing can have been sent under it any more for a while."""
        return now >= sent_at + self.key_retention


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
        """Return whether the gateway still knows the key: past its retention a repeat could pay twice, so nothing is sent again."""
        return self.sent_at is None or now < self.sent_at + policy.may_repeat_for

    def never_started(self, policy: GatewayPolicy) -> bool:
        """Return whether no money can have moved: the gateway pays only what is started by its id, and that is not known to anybody.

        Whoever learns the id later has to commit it to this very attempt of the refund before starting it, and cannot once the refund has
        gone on (``RefundStore.save_gateway_refund_id``).
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
            gateway_key=next_key(self.gateway_key) if burnt else self.gateway_key,
            began_at=now,
            sent_at=None,
            gateway_refund_id=None,
        )

    def carried_on(self, *, now: datetime) -> Attempt:
        """The next attempt where nothing is proven to have failed: the same key, and the same refund at the gateway."""
        return replace(self, number=self.number + 1, began_at=now)


def first_key(payment_id: str, business_key: str) -> str:
    """Return the key of a refund's first attempt: what the refund is for decides it, not who asks for it nor when.

    A database that was restored from a backup knows nothing of what was refunded since. Asked for again, such a refund meets itself at
    the gateway, and is not paid a second time.
    """
    return derived_id("refund-of", payment_id, business_key)


def next_key(burnt: str) -> str:
    """Return the key that takes the place of one that has failed for good: always the same one."""
    return derived_id("refund-after", burnt)


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
