"""Rate limits as the outside world counts them. All times are seconds of a monotonic clock."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

_TINY = 1e-9
"""Rounding of float arithmetic must not refuse a call that comes exactly on time."""


class Limit(Protocol):
    """One limit: asked first, charged only when every limit of the call agrees."""

    def wait(self, now: float) -> float:
        """Seconds until one more call would be allowed; 0 means now."""
        ...

    def charge(self, now: float) -> None:
        """Count one call."""
        ...


@dataclass(slots=True)
class TokenBucket:
    """`burst` calls at once, refilled at `rate` a second."""

    rate: float
    burst: float
    _tokens: float = field(init=False)
    _at: float | None = None

    def __post_init__(self) -> None:
        self._tokens = self.burst

    def wait(self, now: float) -> float:
        """Seconds until a token is there."""
        missing = 1 - self._level(now)
        return missing / self.rate if missing > _TINY else 0.0

    def charge(self, now: float) -> None:
        """Take one token."""
        self._tokens = self._level(now) - 1
        self._at = now

    def _level(self, now: float) -> float:
        if self._at is None:
            return self._tokens
        return min(self.burst, self._tokens + (now - self._at) * self.rate)


@dataclass(slots=True)
class SlidingWindow:
    """At most `limit` calls in any `seconds`."""

    limit: int
    seconds: float
    _times: deque[float] = field(default_factory=deque)

    def wait(self, now: float) -> float:
        """Seconds until the oldest call that stands in the way has left the window."""
        self._forget(now)
        if len(self._times) < self.limit:
            return 0.0
        return max(0.0, self._times[len(self._times) - self.limit] + self.seconds - now)

    def charge(self, now: float) -> None:
        """Count one call."""
        self._forget(now)
        self._times.append(now)

    def _forget(self, now: float) -> None:
        while self._times and self._times[0] + self.seconds <= now + _TINY:
            self._times.popleft()


@dataclass(slots=True)
class LimitBook:
    """The limits of one system by key, each made when its key is first seen."""

    _limits: dict[str, Limit] = field(default_factory=dict)

    def get(self, key: str, make: Callable[[], Limit]) -> Limit:
        """The limit of `key`."""
        limit = self._limits.get(key)
        if limit is None:
            limit = self._limits[key] = make()
        return limit

    def clear(self) -> None:
        """Forget all counts."""
        self._limits.clear()


def admit(limits: Iterable[Limit], now: float) -> float:
    """Charge one call to all `limits` and return 0, or charge none and return the seconds to wait."""
    chosen = list(limits)
    wait = max((limit.wait(now) for limit in chosen), default=0.0)
    if wait > 0:
        return wait
    for limit in chosen:
        limit.charge(now)
    return 0.0
