"""What keeps a struggling gateway from being hammered: a circuit breaker and a retry budget, one of each per gateway and process."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from common.resilience import CircuitBreaker, CircuitState


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """``failures`` in a row open the circuit for ``pause`` seconds, after which one call may try; the others wait until it is answered.

    ``tokens``/``ratio``: the retry budget, sized as in userver. A failure takes a token, an answer gives ``ratio`` of one back; while
    half of them are gone, only first tries are let through. ``refill`` tokens come back each second, or a gateway that is only
    ever asked again would never be asked again.
    """

    failures: int = 10
    pause: float = 30.0
    tokens: float = 100.0
    ratio: float = 0.1
    refill: float = 0.1


class Guard:
    """The state of both; ``tokens`` is what is left of the budget. Not safe for threads; time is passed in."""

    def __init__(self, limits: GuardLimits) -> None:
        self._limits = limits
        self._circuit = CircuitBreaker(failures=limits.failures, pause=limits.pause)
        self.tokens = limits.tokens
        self._filled_at: datetime | None = None

    @property
    def circuit(self) -> CircuitState:
        """Whether calls go through: all, none, or one to see."""
        return self._circuit.state

    def refusal(self, *, retry: bool, now: datetime) -> str | None:
        """Say why a call must not be made now; None lets it through, as the probe if the circuit was open long enough."""
        self._refill(now)
        if self._circuit.is_open:
            return None if self._circuit.may_call(now.timestamp()) else "circuit_open"
        if retry and self.tokens <= self._limits.tokens / 2:
            return "retry_budget_spent"
        return None

    def answered(self) -> None:
        """The gateway answered something definite."""
        self._circuit.succeeded()
        self.tokens = min(self._limits.tokens, self.tokens + self._limits.ratio)

    def failed(self, now: datetime) -> None:
        """The gateway was away, or its answer leaves the outcome open."""
        self._circuit.failed(now.timestamp())
        self.tokens = max(0.0, self.tokens - 1)

    def _refill(self, now: datetime) -> None:
        if self._filled_at is not None:
            passed = max(0.0, (now - self._filled_at).total_seconds())
            self.tokens = min(self._limits.tokens, self.tokens + passed * self._limits.refill)
        self._filled_at = now
