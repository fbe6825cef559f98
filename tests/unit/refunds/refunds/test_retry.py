"""Waiting times of refunds."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refunds.refunds.model import Refund
from refunds.refunds.retry import RetryPolicy
from refunds.refunds.states import RefundState

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
REFUND = Refund(
    id="r-1",
    business_key="N:cancel",
    order_number="N",
    payment_id="p-1",
    amount=100,
    currency="RUB",
    reason="cancelled",
    state=RefundState.UNKNOWN,
    version=3,
    attempt=1,
    reserved=100,
    tries=0,
    declines=0,
    error=None,
    next_attempt_at=None,
    created_at=NOW,
    state_since=NOW,
    traceparent=None,
)


@given(tries=st.integers(min_value=0, max_value=100))
def test_waiting_is_bounded(tries: int) -> None:
    retries = RetryPolicy()
    assert timedelta(0) <= retries.retry_at(tries, now=NOW) - NOW <= timedelta(seconds=retries.retry_cap)
    assert timedelta(seconds=0.5) <= retries.poll_at(tries, now=NOW) - NOW <= timedelta(seconds=retries.poll_cap + 0.5)


def test_an_unknown_outcome_is_looked_up_soon_and_then_every_six_hours() -> None:
    retries, now, waits = RetryPolicy(), NOW, []
    for _ in range(5):
        when = retries.look_up_at(unknown_since=NOW, now=now)
        waits.append((when - now).total_seconds())
        now = when
    for wait, rung in zip(waits, (30, 300, 3600, 21600, 21600), strict=True):
        assert 0.9 * rung <= wait <= rung
    # An outage in which nothing could be looked up has climbed no rung by itself.
    assert (retries.look_up_at(unknown_since=NOW, now=NOW + timedelta(seconds=20)) - NOW) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("state", "needed"),
    [
        (RefundState.CREATE, True),
        (RefundState.SENDING, True),
        (RefundState.UNKNOWN, True),
        (RefundState.PENDING, False),
    ],
)
def test_a_person_is_needed_after_long_silence_but_never_for_a_pending_refund(state: RefundState, needed: bool) -> None:
    refund, retries = replace(REFUND, state=state), RetryPolicy(give_up_after=60.0)
    assert retries.exhausted(refund, trying_since=NOW, now=NOW + timedelta(seconds=60)) is needed
    assert not retries.exhausted(refund, trying_since=NOW, now=NOW + timedelta(seconds=59))
