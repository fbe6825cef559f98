"""Calls to something that may be away: a circuit breaker, so that nobody waits for what has just failed several times in a row."""

from __future__ import annotations

from enum import StrEnum


class CircuitState(StrEnum):
    """``closed``: calls go through. ``open``: none does. ``probing``: one was let through to see whether the other side is back."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class CircuitBreaker:
    """Decides who may call. ``now`` is seconds of any clock that does not go back. For one event loop, no lock is needed.

    Closed, everybody may. ``failures`` in a row open it; then nobody may for ``pause`` seconds, and after that one call in each ``pause``,
    the probe. Any success closes it, also that of a call from before. A probe that never reports (its caller was cancelled) is given
    up after another ``pause``, so the circuit never stays open for good.

    ``restart_pause``: a failure while open begins the pause anew, so that a probe which waited long for nothing is followed by a whole
    pause. Without it the pauses count from the probe's beginning, and calls from before the opening change nothing.
    """

    def __init__(self, *, failures: int, pause: float, restart_pause: bool = True) -> None:
        if failures < 1 or pause < 0:
            raise ValueError("a breaker needs at least one failure and no negative pause")
        self._limit = failures
        self._pause = pause
        self._restart_pause = restart_pause
        self._failures = 0
        self._next_probe: float | None = None  # None while closed
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether calls are turned away, but for a probe."""
        return self._next_probe is not None

    @property
    def state(self) -> CircuitState:
        """The present state."""
        if self._next_probe is None:
            return CircuitState.CLOSED
        return CircuitState.PROBING if self._probing else CircuitState.OPEN

    def may_call(self, now: float) -> bool:
        """Say whether this caller may call. While open a yes makes the call the probe: whoever asks must report how it ended."""
        if self._next_probe is None:
            return True
        if now < self._next_probe:
            return False
        self._next_probe = now + self._pause
        self._probing = True
        return True

    def succeeded(self) -> None:
        """A call was answered: the other side works."""
        self._failures = 0
        self._next_probe = None
        self._probing = False

    def failed(self, now: float, *, certain: bool = False) -> None:
        """A call failed. ``certain`` says that the next would fail too (there is no connection): open at once."""
        self._failures += 1
        self._probing = False
        if self._next_probe is None:
            if certain or self._failures >= self._limit:
                self._next_probe = now + self._pause
        elif self._restart_pause:
            self._next_probe = now + self._pause
