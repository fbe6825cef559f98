"""The checker finds what must not be."""

from dataclasses import replace

import pytest

from refunds.reconciliation.check import Entry, Payout, check
from refunds.refunds.states import RefundState as S

ENTRY = Entry(
    refund_id="r-1",
    business_key="N:cancel",
    payment_id="p-1",
    state=S.SUCCESS,
    amount=60,
    reserved=60,
    keys=("k-1", "k-2"),
    changes=((None, S.CREATE), (S.CREATE, S.SENDING), (S.SENDING, S.PENDING), (S.PENDING, S.SUCCESS)),
)
PAYOUT = Payout(key="k-2", payment_id="p-1", amount=60, paid=1, alive=True)
FAILED = Payout(key="k-1", payment_id="p-1", amount=60, paid=0, alive=False)


def _kinds(entries: list[Entry], payouts: list[Payout], accepted: tuple[str, ...] = ("r-1",)) -> list[str]:
    return [one.kind for one in check(entries, payouts, captured={"p-1": 100}, accepted=accepted)]


def test_a_refund_that_failed_once_and_was_paid_once_is_right() -> None:
    assert _kinds([ENTRY], [FAILED, PAYOUT]) == []


@pytest.mark.parametrize(
    ("entries", "payouts", "kinds"),
    [
        pytest.param([ENTRY], [replace(PAYOUT, key="k-1"), PAYOUT], ["paid_twice", "under_way_twice", "over_captured"]),
        pytest.param([ENTRY], [PAYOUT, replace(PAYOUT, key="nobody's", amount=1)], ["unknown_to_us"]),
        pytest.param([ENTRY], [FAILED], ["not_paid"]),
        pytest.param([ENTRY], [replace(PAYOUT, amount=59)], ["amount_differs"]),
        pytest.param([replace(ENTRY, changes=ENTRY.changes[1:])], [PAYOUT], ["history_broken"]),
        pytest.param([replace(ENTRY, changes=((None, S.CREATE), (S.CREATE, S.SUCCESS)))], [PAYOUT], ["history_broken"]),
        pytest.param(
            [replace(ENTRY, state=S.UNKNOWN, changes=(*ENTRY.changes[:2], (S.SENDING, S.UNKNOWN)))],
            [PAYOUT],
            ["not_over"],
        ),
        pytest.param([], [], ["lost"]),
        pytest.param(
            [ENTRY, replace(ENTRY, refund_id="r-2", keys=("k-3",))],
            [PAYOUT, replace(PAYOUT, key="k-3")],
            ["twice", "over_captured", "over_captured"],
        ),
    ],
)
def test_what_must_not_be_is_found(entries: list[Entry], payouts: list[Payout], kinds: list[str]) -> None:
    assert _kinds(entries, payouts) == kinds
