"""What the tips of an order rest on, what an iteration works out, and what may keep the tips service from deciding."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from common.errors import SuiteError


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
    that was applied last; ``seen``: some set-tips-sum has written to the order. ``zeroed``: set to zero for good.
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


@dataclass(frozen=True, slots=True)
class Written:
    """A write of tips that was taken; ``marks`` are those that it is the first of its order to earn."""

    changed: bool
    marks: frozenset[str]


class Shadow(StrEnum):
    """What a comparison of both paths found."""

    MATCH = "match"
    MISMATCH = "mismatch"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A comparison of the tips service with the own rules. But for ``result`` all is None unless the two differ.

    ``decision``: ``tips`` when the sums differ, ``hold`` when the holds alone do; ``rule``: what decided that at the service.
    """

    result: Shadow
    decision: str | None = None
    rule: str | None = None
    own_amount: int | None = None
    service_amount: int | None = None
    own_hold: bool | None = None
    service_hold: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transactions:
    """What an iteration of ``update_transactions`` worked out, in minor units. ``next_check_at`` None: nothing is left to check."""

    number: str
    sum_to_pay: int
    refunded: int
    tips: int
    currency: str
    decided_by: str
    fallback: str | None
    computed_at: datetime
    next_check_at: datetime | None
    compared: Compared | None = None


class Arm(StrEnum):
    """Where an order stands: the config flag is off; it is on and the experiment leaves the order out; or includes it."""

    OFF = "off"
    CONTROL = "control"
    SERVICE = "service"


class Reason(StrEnum):
    """Why the caller's own rules decided although the service should have."""

    EXPERIMENT = "experiment"
    NOT_CONFIGURED = "not_configured"
    BREAKER_OPEN = "breaker_open"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    STATUS = "status"
    ANSWER = "answer"
    NOT_SET = "not_set"
    MISMATCH = "mismatch"


class ExperimentFailed(Exception):
    """The experiment cannot be looked up."""


class TipsFailed(Exception):
    """The service did not do what was asked. ``ill``: it is the service that is ill, not this order that is odd."""

    def __init__(self, reason: Reason, *, ill: bool = True) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.ill = ill


class FeedbackSilent(SuiteError):
    """The feedback service does not answer: tips cannot be decided now, by anybody."""

    code = "feedback_silent"
    retryable = True


class Contended(SuiteError):
    """The order changed under every attempt to write its tips."""

    code = "contended"
    retryable = True


@dataclass(frozen=True, slots=True)
class Explained:
    """What the service would do, had it been asked: the sum, and the hold; and the rule by which it decides each, where it says so."""

    amount: int
    need_hold: bool
    amount_rule: str | None = None
    hold_rule: str | None = None
