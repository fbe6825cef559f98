"""A bulkhead around each thing that tips depends on: what stands still there does not sink the rest."""

from __future__ import annotations

from common.resilience import CircuitBreaker
from tips.errors import Overloaded
from tips.metrics import TipsMetrics

_FAILURES = 10
_PAUSE_S = 0.5
_BLAME_AFTER_S = 0.1
"""A shorter wait says more about the caller's deadline than about who did not answer."""


class Bulkhead:
    """At most ``limit`` calls at a time; and none but a probe while the other side has stopped answering.

    Ten calls in a row without an answer open its circuit breaker; then one call is let through each half second, and its answer closes
    it again. Refusing takes no time, so callers fall back at once instead of waiting for a deadline each. Refusals are counted as
    ``{label}_full`` or ``{label}_away``. ``now`` is a moment of ``time.monotonic()``. One event loop; no lock is needed.
    """

    def __init__(self, name: str, *, label: str, limit: int, metrics: TipsMetrics) -> None:
        self._name = name
        self._label = label
        self._limit = limit
        self._metrics = metrics
        self._breaker = CircuitBreaker(failures=_FAILURES, pause=_PAUSE_S, restart_pause=False)
        self._calls = 0

    def enter(self, now: float) -> None:
        """Take a place; whoever does calls ``leave``. Raises ``Overloaded``."""
        if self._breaker.is_open:
            if not self._breaker.may_call(now):
                self._metrics.shed(f"{self._label}_away")
                raise Overloaded(f"{self._name} does not answer", retry_after=_PAUSE_S)
        elif self._calls >= self._limit:
            self._metrics.shed(f"{self._label}_full")
            raise Overloaded(f"{self._limit} calls to {self._name} are under way", retry_after=_PAUSE_S)
        self._calls += 1

    def leave(self, now: float, *, waited: float, answered: bool) -> None:
        """Give the place back. An answer is any, also an error that the other side has sent; ``waited`` is in seconds."""
        self._calls -= 1
        if answered:
            self._breaker.succeeded()
        elif waited >= _BLAME_AFTER_S:
            self._breaker.failed(now)
