"""The circuit breaker and the retry budget of a gateway."""

from datetime import UTC, datetime, timedelta

from common.resilience import CircuitState
from refunds.providers.guard import Guard, GuardLimits

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


def _after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_failures_in_a_row_open_the_circuit_and_one_call_sees_whether_it_is_back() -> None:
    guard = Guard(GuardLimits(failures=3, pause=30))
    for _ in range(2):
        guard.failed(NOW)
    guard.answered()
    for _ in range(3):
        assert guard.refusal(retry=True, now=NOW) is None
        guard.failed(NOW)
    circuits = [guard.circuit]
    assert guard.refusal(retry=False, now=_after(29)) == "circuit_open"
    assert guard.refusal(retry=False, now=_after(30)) is None
    circuits.append(guard.circuit)
    assert guard.refusal(retry=False, now=_after(31)) == "circuit_open"
    guard.failed(_after(32))
    assert guard.refusal(retry=False, now=_after(61)) == "circuit_open"
    assert guard.refusal(retry=False, now=_after(62)) is None
    guard.answered()
    assert [*circuits, guard.circuit] == [CircuitState.OPEN, CircuitState.PROBING, CircuitState.CLOSED]


def test_a_probe_that_never_ends_does_not_keep_the_circuit_open_for_ever() -> None:
    guard = Guard(GuardLimits(failures=1, pause=30))
    guard.failed(NOW)
    assert guard.refusal(retry=False, now=_after(30)) is None
    assert guard.refusal(retry=False, now=_after(60)) is None


def test_when_half_the_budget_is_gone_only_first_tries_go_through() -> None:
    guard = Guard(GuardLimits(failures=1000, tokens=10, ratio=0.5, refill=0.1))
    assert guard.refusal(retry=True, now=NOW) is None
    for _ in range(5):
        guard.failed(NOW)
    assert guard.refusal(retry=True, now=NOW) == "retry_budget_spent"
    assert guard.refusal(retry=False, now=NOW) is None
    guard.answered()
    assert guard.refusal(retry=True, now=NOW) is None
    for _ in range(50):
        guard.failed(NOW)
    assert guard.refusal(retry=True, now=_after(49)) == "retry_budget_spent"
    assert guard.refusal(retry=True, now=_after(51)) is None
