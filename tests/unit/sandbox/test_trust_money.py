"""Trust's money: one key one refund, never more than was captured, whatever is asked."""

import contextlib
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sandbox.systems.trust_money import Payment, Refund, TrustError, TrustMoney


def money(captured: int = 1000, **payment: Any) -> TrustMoney:
    kept = TrustMoney()
    values: dict[str, Any] = {"currency": "RUB", "status": "cleared", "polls": 1, "outcome": "success"} | payment
    kept.put_payment(Payment(id="p", captured=captured, **values))
    return kept


def create(kept: TrustMoney, key: str, amount: int, *, currency: str = "RUB", declined: bool = False) -> Refund:
    body = {"payment_id": "p", "amount": amount, "currency": currency}
    return kept.create(key=key, body=body, declined=declined)


def refused(kept: TrustMoney, key: str, amount: int, **more: Any) -> tuple[int, str]:
    with pytest.raises(TrustError) as error:
        create(kept, key, amount, **more)
    return error.value.status, error.value.code


def test_the_same_key_and_body_give_the_same_refund() -> None:
    kept = money()
    assert create(kept, "k", 300) is create(kept, "k", 300)
    assert kept.spent(kept.payment("p")) == 300


def test_the_same_key_with_another_body_is_refused() -> None:
    kept = money()
    create(kept, "k", 300)
    assert refused(kept, "k", 301) == (409, "idempotency_key_reused")


def test_more_than_captured_is_refused_even_before_anything_was_started() -> None:
    kept = money()
    create(kept, "a", 600)
    assert refused(kept, "b", 401) == (422, "refund_exceeds_captured")
    create(kept, "c", 400)


def test_wrong_currency_and_uncaptured_payments_are_refused() -> None:
    assert refused(money(), "k", 1, currency="USD") == (422, "currency_mismatch")
    assert refused(money(captured=0), "k", 1) == (422, "payment_not_captured")


def test_a_started_refund_is_pending_for_its_polls_and_then_ends() -> None:
    kept = money(polls=2)
    refund = create(kept, "k", 300)
    statuses = [refund.status]
    kept.start(refund, declined=False)
    kept.start(refund, declined=False)
    for _ in range(4):
        kept.poll(refund, declined=False)
        statuses.append(refund.status)
    assert statuses == ["created", "wait_for_notification", "wait_for_notification", "success", "success"]


def test_a_declined_refund_fails_and_gives_its_sum_free_again() -> None:
    kept = money(polls=0)
    refund = create(kept, "k", 1000, declined=True)
    kept.start(refund, declined=False)
    kept.poll(refund, declined=False)
    assert (refund.status, refund.description, kept.spent(kept.payment("p"))) == ("failed", "not_enough_funds", 0)


class TrustMachine(RuleBasedStateMachine):
    """Any calls in any order: refunded never exceeds captured, and the ledger adds up."""

    def __init__(self) -> None:
        super().__init__()
        self.money = money(captured=500, polls=1)

    @rule(key=st.sampled_from("abcd"), amount=st.integers(1, 400), declined=st.booleans())
    def ask(self, key: str, amount: int, declined: bool) -> None:
        with contextlib.suppress(TrustError):
            create(self.money, key, amount, declined=declined)

    @rule(index=st.integers(0, 3), poll=st.booleans())
    def go_on(self, index: int, poll: bool) -> None:
        refunds = list(self.money.refunds.values())
        if index < len(refunds):
            (self.money.poll if poll else self.money.start)(refunds[index], declined=False)

    @invariant()
    def never_more_than_captured(self) -> None:
        [ledger] = self.money.ledger()
        assert ledger["refunded"] <= ledger["spent"] <= ledger["captured"]
        keys = [refund["idempotency_key"] for refund in ledger["refunds"]]
        assert len(keys) == len(set(keys))


TestTrustMachine = TrustMachine.TestCase
