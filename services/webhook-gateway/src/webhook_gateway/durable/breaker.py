"""A circuit breaker for the broker lane: after a few failures hooks go straight to the spool, without waiting for the deadline."""

from __future__ import annotations

from enum import StrEnum


class BreakerState(StrEnum):
    """``closed``: the lane is used. ``open``: it is not. ``probing``: one attempt is out to see whether it works again."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class CircuitBreaker:
    """Decides who may try. Times are seconds of any monotonic clock, given by the caller. Not safe across threads.

    Hooks use the lane only while the breaker is closed. Probing is left to whoever has nothing to answer (the spool's relay), so that no
    marketplace waits for a broker that hangs.
    """

    def __init__(self, *, failures: int, pause: float) -> None:
        """Open after ``failures`` in a row; probe no more often than once in ``pause`` seconds."""
        if failures < 1 or pause < 0:
            raise ValueError("a breaker needs at least one failure and no negative pause")
        self._limit = failures
        self._pause = pause
        self._failures = 0
        self._opened_at = 0.0
        self._state = BreakerState.CLOSED

    @property
    def state(self) -> BreakerState:
        """The present state."""
        return self._state

    @property
    def closed(self) -> bool:
        """Whether a hook may use the lane."""
        return self._state is BreakerState.CLOSED

    def may_probe(self, now: float) -> bool:
        """Say whether the caller is to try now, and if so take the one probe. The caller must report how it ended."""
        if self._state is BreakerState.CLOSED:
            return True
        if self._state is BreakerState.OPEN and now - self._opened_at >= self._pause:
            self._state = BreakerState.PROBING
            return True
        return False

    def succeeded(self) -> None:
        """Something was confirmed: the lane works."""
        self._failures = 0
        self._state = BreakerState.CLOSED

    def failed(self, now: float, *, certain: bool = False) -> None:
        """An attempt failed. ``certain`` says that the next would fail too (there is no connection): open at once."""
        self._failures += 1
        if certain or self._state is not BreakerState.CLOSED or self._failures >= self._limit:
            self._state = BreakerState.OPEN
            self._opened_at = now
