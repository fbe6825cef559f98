"""What the rules look at: an order as tips sees it, and the customer's feedback on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum


class TipsType(StrEnum):
    """How the customer names the tips: a share of the cost, or a sum."""

    PERCENT = "percent"
    FLAT = "flat"


class Choice(StrEnum):
    """Where the customer's tips come from: one of the sums offered, a sum of their own, or their profile's default."""

    SUGGESTED = "suggested"
    CUSTOM = "custom"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class ChosenTips:
    """What the customer chose. ``value`` is percent points, or major units of the order's currency."""

    type: TipsType
    value: Decimal


@dataclass(frozen=True, slots=True)
class Feedback:
    """The customer's feedback on one order. ``done`` means the customer pressed Done: the tips will not change any more."""

    rating: int | None
    tips: ChosenTips | None
    choice: Choice | None
    done: bool
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Applied:
    """What an order keeps of the feedback that was applied to it last; ``feedback_at`` is that feedback's ``updated_at``."""

    feedback_at: datetime | None = None
    type: TipsType | None = None
    choice: Choice | None = None
    done: bool = False

    @classmethod
    def of(cls, feedback: Feedback | None) -> Applied:
        """Return what applying this feedback leaves on the order."""
        if feedback is None:
            return cls()
        kind = None if feedback.tips is None else feedback.tips.type
        return cls(feedback_at=feedback.updated_at, type=kind, choice=feedback.choice, done=feedback.done)


@dataclass(frozen=True, slots=True)
class Order:
    """One row of the view ``tips_order``.

    ``cost`` is the final cost without tips (0 while it is not known), ``tips`` what is set now, ``held_sum`` what is held already:
    integer minor units of ``currency``. ``version`` is what a write is compared with. ``applied`` is the feedback that the tips of
    now came from, ``seen`` whether any set-tips-sum has written to the order. ``zeroed``: the caller has set the tips to zero for
    good (docs/requirements.md#five-places-that-zero-tips).
    """

    number: str
    version: int
    finished: bool
    finished_at: datetime | None
    cashless: bool
    refunded: bool
    zeroed: bool
    currency: str
    cost: int
    tips: int
    held_sum: int | None
    applied: Applied
    seen: bool
    zone: str
    tariff: str
