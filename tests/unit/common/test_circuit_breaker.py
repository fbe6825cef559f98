"""The circuit breaker against a plain account of what its callers reported."""

from __future__ import annotations

import math

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from common.resilience import CircuitBreaker, CircuitState

PAUSE = 8.0  # sums of quarters are exact


class BreakerMachine(RuleBasedStateMachine):
    """Knows the failures since the last success, and from when on a probe may go out."""

    failures_allowed = 3
    restart_pause = True

    def __init__(self) -> None:
        super().__init__()
        self.breaker = CircuitBreaker(failures=self.failures_allowed, pause=PAUSE, restart_pause=self.restart_pause)
        self.now = 1000.0
        self.failures = 0
        self.opened = False
        self.probing = False
        self.quiet_until = -math.inf

    @rule(quarters=st.integers(0, 50))
    def time_passes(self, quarters: int) -> None:
        self.now += quarters / 4

    @rule()
    def somebody_asks(self) -> None:
        allowed = not self.opened or self.now >= self.quiet_until
        assert self.breaker.may_call(self.now) is allowed
        if self.opened and allowed:
            self.probing = True
            self.quiet_until = self.now + PAUSE

    @rule(certain=st.sampled_from([False, False, True]))
    def a_call_fails(self, certain: bool) -> None:
        self.breaker.failed(self.now, certain=certain)
        self.failures += 1
        self.probing = False
        if not self.opened:
            self.opened = certain or self.failures >= self.failures_allowed
            self.quiet_until = self.now + PAUSE
        elif self.restart_pause:
            self.quiet_until = self.now + PAUSE

    @rule()
    def a_call_succeeds(self) -> None:
        self.breaker.succeeded()
        self.failures, self.opened, self.probing = 0, False, False

    @precondition(lambda self: self.opened)
    @rule()
    def it_never_stays_open_for_good(self) -> None:
        self.now += PAUSE
        assert self.breaker.may_call(self.now)
        self.probing, self.quiet_until = True, self.now + PAUSE

    @invariant()
    def the_state_is_reported_as_it_is(self) -> None:
        shown = CircuitState.CLOSED
        if self.opened:
            shown = CircuitState.PROBING if self.probing else CircuitState.OPEN
        assert (self.breaker.state, self.breaker.is_open) == (shown, self.opened)


class ProbesByTheClockMachine(BreakerMachine):
    """Pauses that count from the probe's beginning."""

    failures_allowed = 1
    restart_pause = False


TestBreaker = BreakerMachine.TestCase
TestProbesByTheClock = ProbesByTheClockMachine.TestCase


@pytest.mark.parametrize(("failures", "pause"), [(0, 1.0), (1, -0.1)])
def test_a_breaker_that_makes_no_sense_is_refused(failures: int, pause: float) -> None:
    with pytest.raises(ValueError, match="at least one failure"):
        CircuitBreaker(failures=failures, pause=pause)
