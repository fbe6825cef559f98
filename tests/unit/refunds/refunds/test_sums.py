"""Sums, keys and waiting times of refunds."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refunds.payments.model import DoesNotFit, Fits, NotKnownYet, fit
from refunds.providers.model import FailedKey, GatewayPolicy
from refunds.refunds.model import Attempt, Payment, Refund, gateway_key
from refunds.refunds.retry import Patience
from refunds.refunds.states import RefundState

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
PAYMENT = Payment(payment_id="p-1", gateway="trust", captured=10_000, currency="RUB", reserved=4_000)


@pytest.mark.parametrize(
    ("payment", "amount", "verdict"),
    [
        pytest.param(PAYMENT, 6_000, Fits(6_000), id="what is left"),
        pytest.param(PAYMENT, None, Fits(6_000), id="everything means what is left"),
        pytest.param(
            PAYMENT,
            6_001,
            DoesNotFit("exceeds_captured", "6001 is more than the 6000 left of the captured 10000"),
            id="one more than is left",
        ),
        pytest.param(
            replace(PAYMENT, reserved=10_000),
            None,
            DoesNotFit("nothing_left", "all of the captured 10000 is refunded or on its way"),
            id="nothing is left",
        ),
        pytest.param(
            replace(PAYMENT, captured=0, reserved=0),
            1,
            DoesNotFit("nothing_captured", "nothing was captured: the payment is to be cancelled, not refunded"),
            id="nothing was captured",
        ),
        pytest.param(
            replace(PAYMENT, currency="KZT"),
            1,
            DoesNotFit("currency_mismatch", "the payment is in KZT, the refund in RUB"),
            id="another currency",
        ),
        pytest.param(replace(PAYMENT, captured=None, currency=None, reserved=0), 1, NotKnownYet(), id="not known yet"),
    ],
)
def test_a_refund_fits_what_is_left_of_the_payment(payment: Payment, amount: int | None, verdict: object) -> None:
    assert fit(payment, amount=amount, currency="RUB") == verdict


@given(
    captured=st.integers(min_value=1, max_value=10**9),
    wishes=st.lists(st.one_of(st.none(), st.integers(min_value=1, max_value=10**9)), max_size=30),
)
def test_whatever_is_wished_for_never_more_than_captured_is_given(captured: int, wishes: list[int | None]) -> None:
    payment = replace(PAYMENT, captured=captured, reserved=0)
    for amount in wishes:
        verdict = fit(payment, amount=amount, currency="RUB")
        if isinstance(verdict, Fits):
            assert verdict.amount > 0
            payment = replace(payment, reserved=payment.reserved + verdict.amount)
    assert 0 <= payment.reserved <= captured


ATTEMPT = Attempt(
    refund_id="r-1",
    number=1,
    gateway="trust",
    gateway_key=gateway_key("r-1", 1),
    began_at=NOW,
    sent_at=None,
    gateway_refund_id=None,
)
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


def test_the_key_of_an_attempt_is_always_the_same_and_never_anothers() -> None:
    assert gateway_key("r-1", 1) == gateway_key("r-1", 1)
    assert len({gateway_key("r-1", 1), gateway_key("r-1", 2), gateway_key("r-2", 1), gateway_key("r-11", 1)}) == 4


def test_past_the_retention_of_its_key_an_attempt_is_not_sent_again() -> None:
    policy = GatewayPolicy(name="trust", key_retention=timedelta(days=1), two_step=True)
    sent = replace(ATTEMPT, sent_at=NOW)
    assert ATTEMPT.may_send(NOW + timedelta(days=365), policy=policy)
    assert sent.may_send(NOW + timedelta(hours=23, microseconds=-1), policy=policy)
    assert not sent.may_send(NOW + timedelta(hours=23), policy=policy)  # an hour for a call that is long on its way
    assert not policy.key_may_be_forgotten(NOW, now=NOW + timedelta(hours=24, microseconds=-1))
    assert policy.key_may_be_forgotten(NOW, now=NOW + timedelta(hours=24))


def test_a_new_key_comes_only_after_a_failure_and_only_where_the_old_one_is_burnt() -> None:
    sent = replace(ATTEMPT, sent_at=NOW, gateway_refund_id="g-1")
    burnt = GatewayPolicy(name="trust", key_retention=timedelta(days=1))
    reusable = replace(burnt, failed_key=FailedKey.REUSABLE)
    later = NOW + timedelta(hours=1)
    fresh = replace(ATTEMPT, number=2, began_at=later)
    assert sent.after_failure(policy=burnt, now=later) == replace(fresh, gateway_key=gateway_key("r-1", 2))
    assert sent.after_failure(policy=reusable, now=later) == fresh
    assert sent.carried_on(now=later) == replace(sent, number=2, began_at=later)


@given(tries=st.integers(min_value=0, max_value=100))
def test_waiting_is_bounded(tries: int) -> None:
    patience = Patience()
    assert timedelta(0) <= patience.retry(tries, now=NOW) - NOW <= timedelta(seconds=patience.retry_cap)
    assert timedelta(seconds=0.5) <= patience.poll(tries, now=NOW) - NOW <= timedelta(seconds=patience.poll_cap + 0.5)


def test_an_unknown_outcome_is_looked_up_after_five_minutes_an_hour_and_then_daily() -> None:
    patience, now, waits = Patience(), NOW, []
    for _ in range(5):
        when = patience.look_up(unknown_since=NOW, now=now)
        waits.append((when - now).total_seconds())
        now = when
    for wait, rung in zip(waits, (300, 3600, 86400, 86400, 86400), strict=True):
        assert 0.9 * rung <= wait <= rung
    # An outage in which nothing could be looked up has climbed no rung by itself.
    assert (patience.look_up(unknown_since=NOW, now=NOW + timedelta(minutes=2)) - NOW) < timedelta(minutes=10)


@pytest.mark.parametrize(
    ("state", "needed"),
    [
        (RefundState.CREATE, True),
        (RefundState.SENDING, True),
        (RefundState.UNKNOWN, True),
        (RefundState.PENDING, False),
    ],
)
def test_a_person_is_needed_after_long_silence_but_never_for_what_the_gateway_works_on(
    state: RefundState, needed: bool
) -> None:
    refund, patience = replace(REFUND, state=state), Patience(give_up_after=60.0)
    assert patience.exhausted(refund, trying_since=NOW, now=NOW + timedelta(seconds=60)) is needed
    assert not patience.exhausted(refund, trying_since=NOW, now=NOW + timedelta(seconds=59))
