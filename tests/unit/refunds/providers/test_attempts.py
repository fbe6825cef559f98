"""Attempts and their idempotency keys."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from refunds.providers.model import Attempt, FailedKey, GatewayPolicy, first_key, next_key

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
ATTEMPT = Attempt(
    refund_id="r-1",
    number=1,
    gateway="trust",
    gateway_key=first_key("p-1", "o-1:cancel"),
    began_at=NOW,
    sent_at=None,
    gateway_refund_id=None,
)


def test_the_key_of_an_attempt_is_always_the_same_and_never_anothers() -> None:
    first, wanted = first_key("p-1", "o-1:cancel"), [("p-1", "o-1:tips"), ("p-2", "o-1:cancel"), ("p-1o", "-1:cancel")]
    assert (first_key("p-1", "o-1:cancel"), next_key(first)) == (first, next_key(first))
    assert len({first, next_key(first), next_key(next_key(first)), *(first_key(*each) for each in wanted)}) == 6


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
    assert sent.after_failure(policy=burnt, now=later) == replace(fresh, gateway_key=next_key(ATTEMPT.gateway_key))
    assert sent.after_failure(policy=reusable, now=later) == fresh
    assert sent.carried_on(now=later) == replace(sent, number=2, began_at=later)
