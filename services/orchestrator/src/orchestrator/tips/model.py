"""What the tips of an order rest on: the order as far as tips go, and the customer's feedback on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Feedback:
    """The customer's feedback on one order.

    ``tips_type`` is ``percent`` (points of the cost) or ``flat`` (major units of the order's currency); None: no tips were named.
    ``done``: the customer pressed Done.
    """

    rating: int | None
    tips_type: str | None
    tips_value: Decimal | None
    choice: str | None
    done: bool
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TipsOrder:
    """An order as it is now, as far as its tips and the sum to pay go. Sums are integer minor units of ``currency``.

    ``version`` is what a write of tips is compared with. ``feedback_at``, ``tips_type``, ``choice`` and ``done`` are of the feedback
    that was applied last; ``seen``: some set-tips-sum has written to the order. ``zeroed``: set to zero for good (M17).
    ``given_back`` is the sum of its successful refunds. ``next_check_at`` and ``worked_out`` (sum to pay, tips) are what the iteration
    before left behind.
    """

    number: str
    version: int
    finished: bool
    finished_at: datetime | None
    cancelled: bool
    payment_method: str | None
    zone: str
    tariff: str
    refunded: bool
    zeroed: bool
    currency: str
    cost: int
    given_back: int
    tips: int
    held_sum: int | None
    feedback_at: datetime | None
    tips_type: str | None
    choice: str | None
    done: bool
    seen: bool
    next_check_at: datetime | None = None
    worked_out: tuple[int, int] | None = None
