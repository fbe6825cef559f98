"""What keeps a struggling gateway from being hammered: a circuit breaker and a retry budget, one of each a gateway and process."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Circuit(StrEnum):
    """Whether calls go through: all, none, or one to see."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """``failures`` in a row open the circuit for ``pause`` seconds, after which one call may try; the others wait until it is answered.

    ``tokens``/``ratio``: the retry budget (userver: 100, 0.1). A failure takes a token, an answer gives ``ratio`` of one back; while half
    of them are gone, only first tries are let through. ``refill`` tokens come back each second, or a gateway that is only ever
    asked again would never be asked again.
    """

    failures: int = 10
    pause: float = 30.0
    tokens: float = 100.0
    ratio: float = 0.1
    refill: float = 0.1


class Guard:
    """The state of both. Not safe for threads; time is passed in."""

    def __init__(self, limits: GuardLimits) -> None:
        self._limits = limits
        self._tokens = limits.tokens
        self._filled_at: datetime | None = None
        self._failures = 0
        self._closed_until: datetime | None = None
        self._probing = False

    @property
    def circuit(self) -> Circuit:
        """Whether calls go through."""
        if self._closed_until is None:
            return Circuit.CLOSED
        return Circuit.PROBING if self._probing else Circuit.OPEN

    @property
    def tokens(self) -> float:
        """What is left of the retry budget."""
        return self._tokens

    def refusal(self, *, retry: bool, now: datetime) -> str | None:
        """Say why a call must not be made now; None lets it through, as the probe if the circuit was open long enough."""
        self._refill(now)
        if self._closed_until is not None:
            if now < self._closed_until:
                return "circuit_open"
            self._probing = True
            self._closed_until = now + timedelta(
                seconds=self._limits.pause
            )  # of others, or of this one if it never ends
            return None
        if retry and self._tokens <= self._limits.tokens / 2:
            return "retry_budget_spent"
        return None

    def answered(self) -> None:
        """The gateway answered something definite."""
        self._failures = 0
        self._closed_until = None
        self._probing = False
        self._tokens = min(self._limits.tokens, self._tokens + self._limits.ratio)

    def failed(self, now: datetime) -> None:
        """It did not."""
        self._failures += 1
        self._tokens = max(0.0, self._tokens - 1)
        if self._probing or self._failures >= self._limits.failures:
            self._closed_until = now + timedelta(seconds=self._limits.pause)
            self._probing = False

    def _refill(self, now: datetime) -> None:
        if self._filled_at is not None:
            passed = max(0.0, (now - self._filled_at).total_seconds())
            self._tokens = min(self._limits.tokens, self._tokens + passed * self._limits.refill)
        self._filled_at = now
