"""What the tips caller (M16) needs of the world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from common.errors import SuiteError
from orchestrator.tips.model import Feedback, TipsOrder
from orchestrator.tips.own_rules import Write


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


class Shadow(StrEnum):
    """What a comparison of both paths found."""

    MATCH = "match"
    MISMATCH = "mismatch"
    ERROR = "error"


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
    """What the service would do, had it been asked: the sum, and the hold."""

    amount: int
    need_hold: bool


class Experiment(Protocol):
    """The switches, by order. Both may raise ``ExperimentFailed``."""

    async def arm(self, number: str) -> Arm:
        """Return where the order stands. An order keeps its arm while the share stays or grows."""
        ...

    async def shadows(self, number: str) -> bool:
        """Tell whether both paths are to be compared for this order."""
        ...


class TipsService(Protocol):
    """The tips service. Each call ends within its deadline; all raise ``TipsFailed``."""

    async def set_sum(self, number: str, *, key: str) -> None:
        """Bring the order's tips to what they should be. Repeating it is safe; ``key`` is the same for a repeat."""
        ...

    async def need_hold(self, number: str) -> bool:
        """Ask whether the tips are to be held now."""
        ...

    async def explain(self, number: str) -> Explained:
        """Ask what it would do; nothing is written."""
        ...


class FeedbackSource(Protocol):
    """The feedback service."""

    async def find(self, number: str) -> Feedback | None:
        """Return the feedback on an order, None when there is none. Raises ``FeedbackSilent``."""
        ...


class TipsLedger(Protocol):
    """The orders' rows, as far as tips go."""

    async def read(self, numbers: Sequence[str]) -> dict[str, TipsOrder]:
        """Return the orders that exist."""
        ...

    async def write(self, order: TipsOrder, write: Write) -> bool:
        """Write tips if the order still has the version that was read, by the same function as the service; else return False."""
        ...

    async def hold(self, order: TipsOrder, *, now: datetime, traceparent: str | None) -> bool:
        """Record that the order's tips are held, and promise ``orders.tips.hold_wanted.v1``: once for a sum, whoever repeats it.

        Returns False, and does nothing, when the order's tips are another sum by now.
        """
        ...


class CallerMetrics(Protocol):
    """What the caller counts."""

    def exposed(self, arm: Arm) -> None:
        """An order was looked up in the experiment."""
        ...

    def fell_back(self, reason: Reason) -> None:
        """The caller's own rules decided although the service should have."""
        ...

    def compared(self, result: Shadow) -> None:
        """Both paths were compared."""
        ...

    def iterated(self, decided_by: str) -> None:
        """An iteration ended; ``decided_by`` is service, old, nobody or deferred."""
        ...

    def breaker(self, *, is_open: bool) -> None:
        """The breaker's state, after each call."""
        ...
