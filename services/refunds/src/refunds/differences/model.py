"""Differences between our books and a gateway's: money moved that we do not know of, or the other way round. Each is an incident."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from common.errors import Conflict, NotFound


class DifferenceKind(StrEnum):
    """What is wrong. The values are labels of metrics and stand in incidents."""

    UNKNOWN_TO_US = "unknown_to_us"
    MISSING_AT_GATEWAY = "missing_at_gateway"
    AMOUNT_DIFFERS = "amount_differs"
    PAID_TWICE = "paid_twice"
    PAID_AFTER_ALL = "paid_after_all"
    STATUS_UNKNOWN = "status_unknown"
    CAPTURED_BELOW_REFUNDED = "captured_below_refunded"
    REGISTER_REFUSED = "register_refused"


_OF_OURS = frozenset(
    {
        DifferenceKind.MISSING_AT_GATEWAY,
        DifferenceKind.AMOUNT_DIFFERS,
        DifferenceKind.PAID_TWICE,
        DifferenceKind.PAID_AFTER_ALL,
        DifferenceKind.STATUS_UNKNOWN,
    }
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One disagreement.

    ``subject`` is our refund's id, the gateway's where we have none, or what differs: a payment, a day. ``payment_id``,
    ``amount`` (minor units) and ``currency`` are the gateway's, where they are needed to take it over.
    """

    kind: DifferenceKind
    gateway: str
    subject: str
    detail: str
    order_number: str | None = None
    payment_id: str | None = None
    amount: int | None = None
    currency: str | None = None

    @property
    def refund_id(self) -> str | None:
        """Our refund, where it is one of ours that differs."""
        return self.subject if self.kind in _OF_OURS else None

    @property
    def fingerprint(self) -> str:
        """The same difference found again is the same incident."""
        return f"refund-difference:{self.gateway}:{self.subject}:{self.kind}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDifference:
    """A difference as it is stored. ``over_at``: they agree, or it was adopted (``adopted_as``: the refund that stands for it)."""

    id: int
    version: int
    difference: Difference
    found_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    over_at: datetime | None
    adopted_as: str | None

    @property
    def settled(self) -> bool:
        """Whether nobody has to do anything about it any more."""
        return self.over_at is not None or self.acknowledged_at is not None


class UnknownDifference(NotFound):
    """There is no such difference."""

    code = "unknown_difference"


class DifferenceSettled(Conflict):
    """The difference is over, or was acknowledged before."""

    code = "difference_settled"


class CannotBeAdopted(Conflict):
    """Taking the gateway's side would not make the books right: people have to settle it, then acknowledge it."""

    code = "cannot_be_adopted"
