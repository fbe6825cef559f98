"""What is written, and what is not."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.tips.factories import END, an_order, feedback
from tips.rules.order import Applied, Choice, Feedback, Order, TipsType
from tips.rules.write import Plan, Write, plan_write

EARLIER = END - timedelta(minutes=5)
FEEDBACK = feedback()
APPLIED = Applied(feedback_at=END, type=TipsType.PERCENT, choice=Choice.SUGGESTED, done=False)
ORDER = an_order(tips=1_600, applied=APPLIED, seen=True)


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
