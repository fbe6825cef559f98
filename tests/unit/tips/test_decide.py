"""What is written, and who wins when calls overtake each other."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import inf

import pytest

from tips.decide import SetTipsSum
from tips.errors import Contended, OrderNotFinished, UnknownOrder
from tips.ports import Outcome, Place, Written
from tips.rules.constants import RuleBook
from tips.rules.order import Applied, Choice, ChosenTips, Feedback, Order, TipsType
from tips.rules.target import TipsRules
from tips.rules.write import Plan, Write, plan_write

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
EARLIER = NOW - timedelta(minutes=5)
FEEDBACK = Feedback(
    rating=5, tips=ChosenTips(TipsType.PERCENT, Decimal(10)), choice=Choice.CUSTOM, done=False, updated_at=NOW
)
APPLIED = Applied(feedback_at=NOW, type=TipsType.PERCENT, choice=Choice.CUSTOM, done=False)
ORDER = Order(
    number="7Q3M0V9XK2TDW8RC",
    version=6,
    finished=True,
    finished_at=NOW,
    cashless=True,
    refunded=False,
    zeroed=False,
    currency="RUB",
    cost=16_000,
    tips=1_600,
    held_sum=None,
    applied=APPLIED,
    seen=True,
    zone="moscow",
    tariff="express",
)


@pytest.mark.parametrize(
    ("order", "feedback", "amount", "plan"),
    [
        pytest.param(ORDER, FEEDBACK, 1_600, Plan(Write.NOTHING, 1_600, APPLIED), id="a repeat writes nothing"),
        pytest.param(ORDER, FEEDBACK, 900, Plan(Write.SET, 900, APPLIED), id="another sum is written"),
        pytest.param(
            replace(ORDER, applied=replace(APPLIED, feedback_at=EARLIER)),
            FEEDBACK,
            1_600,
            Plan(Write.SET, 1_600, APPLIED),
            id="newer feedback is written also when the sum is equal",
        ),
        pytest.param(
            ORDER,
            replace(FEEDBACK, updated_at=EARLIER),
            900,
            Plan(Write.STALE, 1_600, APPLIED),
            id="older feedback is refused",
        ),
        pytest.param(ORDER, None, 0, Plan(Write.STALE, 1_600, APPLIED), id="feedback that has gone is older"),
        pytest.param(
            replace(ORDER, tips=0, applied=Applied(), seen=False),
            None,
            0,
            Plan(Write.SET, 0, Applied()),
            id="an order seen for the first time is written",
        ),
    ],
)
def test_a_write_happens_only_for_something_new(
    order: Order, feedback: Feedback | None, amount: int, plan: Plan
) -> None:
    assert plan_write(order, feedback, amount) == plan


@pytest.mark.parametrize("feedback", [None, replace(FEEDBACK, updated_at=EARLIER)])
def test_an_order_that_allows_no_tips_loses_them_whatever_the_feedback_at_hand(feedback: Feedback | None) -> None:
    assert plan_write(ORDER, feedback, 0, forbidden=True) == Plan(Write.SET, 0, APPLIED)
    assert plan_write(replace(ORDER, tips=0), feedback, 0, forbidden=True) == Plan(Write.STALE, 0, APPLIED)


class _Orders:
    """Plays back what was read, and what came of the writes."""

    def __init__(self, reads: list[Order | None], outcomes: list[Outcome]) -> None:
        self._reads: Iterator[Order | None] = iter(reads)
        self._outcomes = iter(outcomes)
        self.writes: list[tuple[int, int, Applied]] = []

    async def find(self, number: str, *, until: float) -> Order | None:
        return next(self._reads)

    async def set_tips(
        self, order: Order, *, amount: int, applied: Applied, until: float, late: Callable[[Written], None]
    ) -> Written:
        self.writes.append((order.version, amount, applied))
        return Written(next(self._outcomes))

    async def take_refunded(self) -> tuple[tuple[Place, ...], bool]:
        raise AssertionError("nobody asked for refunds")


class _FeedbackSource:
    def __init__(self, answers: list[Feedback | None]) -> None:
        self._answers = iter(answers)

    async def find(self, number: str, *, until: float) -> Feedback | None:
        return next(self._answers)


class _Silent:
    def decided(self, order: Order, written: Written, *, amount: int, applied: Applied) -> None: ...

    def nothing_to_write(self, order: Order) -> None: ...

    def refunded(self, place: Place) -> None: ...


async def test_a_lost_race_reads_order_and_feedback_again() -> None:
    first = replace(ORDER, tips=0, applied=Applied(), seen=False)
    newer = replace(FEEDBACK, tips=ChosenTips(TipsType.FLAT, Decimal(20)), updated_at=NOW + timedelta(seconds=1))
    orders = _Orders([first, replace(first, version=7)], [Outcome.STALE_VERSION, Outcome.CHANGED])
    await SetTipsSum(orders, _FeedbackSource([FEEDBACK, newer]), _Silent(), book=RuleBook(TipsRules()))(
        ORDER.number, until=inf
    )
    assert orders.writes == [(6, 1_600, APPLIED), (7, 2_000, Applied.of(newer))]


async def test_a_race_lost_every_time_is_given_up_as_retryable() -> None:
    orders = _Orders([replace(ORDER, tips=0)] * 3, [Outcome.STALE_VERSION] * 3)
    with pytest.raises(Contended) as caught:
        await SetTipsSum(orders, _FeedbackSource([FEEDBACK] * 3), _Silent(), book=RuleBook(TipsRules()), attempts=3)(
            ORDER.number, until=inf
        )
    assert (caught.value.code, caught.value.retryable) == ("contended", True)


@pytest.mark.parametrize(("read", "error"), [(None, UnknownOrder), (replace(ORDER, finished=False), OrderNotFinished)])
async def test_unknown_and_unfinished_orders_are_told_apart(read: Order | None, error: type[Exception]) -> None:
    with pytest.raises(error):
        await SetTipsSum(_Orders([read], []), _FeedbackSource([]), _Silent(), book=RuleBook(TipsRules()))(
            ORDER.number, until=inf
        )
