"""A compartment of its own for each thing that tips depends on: what stands still there does not sink the rest."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from tips.errors import Overloaded

_BLAME_AFTER_S = 0.1
"""A shorter wait says more about the caller's deadline than about who did not answer."""


class Compartment:
    """At most ``limit`` calls at a time; and none but a probe while the other side has stopped answering.

    ``failures`` calls in a row without an answer close the compartment for ``pause`` seconds; then one call at a time is let through,
    and its answer opens it again. Refusing takes no time, so callers fall back at once instead of waiting for a deadline each.
    ``refused`` hears of each refusal: ``full`` or ``away``. One event loop; no lock is needed.
    """

    def __init__(
        self,
        name: str,
        *,
        limit: int,
        refused: Callable[[str], None],
        failures: int = 10,
        pause: float = 0.5,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._name = name
        self._limit = limit
        self._refused = refused
        self._failures = failures
        self._pause = pause
        self._clock = clock
        self._calls = 0
        self._silent = 0
        self._next_probe = 0.0

    @property
    def away(self) -> bool:
        """Whether the other side counts as having stopped answering."""
        return self._silent >= self._failures

    def enter(self) -> None:
        """Take a place; whoever does calls ``leave``. Raises ``Overloaded``."""
        if self._silent >= self._failures:
            now = self._clock()
            if now < self._next_probe:
                self._refused("away")
                raise Overloaded(f"{self._name} does not answer", retry_after=self._pause)
            self._next_probe = now + self._pause  # this call is the probe; the next one is due only after the pause
        elif self._calls >= self._limit:
            self._refused("full")
            raise Overloaded(f"{self._limit} calls to {self._name} are under way", retry_after=self._pause)
        self._calls += 1

    def leave(self, *, answered: bool, waited: float) -> None:
        """Give the place back. An answer is any, also an error that the other side has told; ``waited`` is in seconds."""
        self._calls -= 1
        if answered:
            self._silent = 0
        elif waited >= _BLAME_AFTER_S:
            self.silent()

    def silent(self) -> None:
        """Note a call without an answer."""
        self._silent += 1
        if self._silent == self._failures:
            self._next_probe = self._clock() + self._pause
