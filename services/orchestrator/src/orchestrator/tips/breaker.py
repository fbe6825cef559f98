"""A circuit breaker for calls that have a fallback: after a few failures in a row nobody waits, and one call at a time probes."""

from __future__ import annotations


class CircuitBreaker:
    """Decides who may call. ``now`` is seconds of any monotonic clock. For one event loop.

    Closed: everybody may. Open: nobody may for ``pause`` seconds, then one call, the probe; its end closes or opens again. A probe
    that never reports (its caller was cancelled) is given up after another ``pause``.
    """

    def __init__(self, *, failures: int, pause: float) -> None:
        """Open after ``failures`` in a row."""
        if failures < 1 or pause < 0:
            raise ValueError("a breaker needs at least one failure and no negative pause")
        self._limit = failures
        self._pause = pause
        self._failures = 0
        self._next_probe: float | None = None  # when the next probe may go out; None while closed

    @property
    def is_open(self) -> bool:
        """Whether calls are turned away."""
        return self._next_probe is not None

    def may_call(self, now: float) -> bool:
        """Say whether this caller may call; if the breaker is open, a yes makes it the probe. The caller reports how it ended."""
        if self._next_probe is None:
            return True
        if now < self._next_probe:
            return False
        self._next_probe = now + self._pause
        return True

    def succeeded(self) -> None:
        """A call was answered."""
        self._failures = 0
        self._next_probe = None

    def failed(self, now: float) -> None:
        """A call failed."""
        self._failures += 1
        if self._next_probe is not None or self._failures >= self._limit:
            self._next_probe = now + self._pause
