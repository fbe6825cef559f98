"""Whether tips are to be held, as examples."""

from datetime import timedelta

import pytest

from tests.unit.tips.factories import END, RULES, an_order, feedback
from tips.rules.hold import need_hold
from tips.rules.order import Feedback, Order


@pytest.mark.parametrize(
    ("order", "given_feedback", "after", "needed"),
    [
        pytest.param(an_order(tips=100), feedback(), timedelta(minutes=30), True, id="when the window opens"),
        pytest.param(an_order(tips=100), feedback(), timedelta(minutes=30, microseconds=-1), False, id="just before"),
        pytest.param(
            an_order(tips=100), feedback(), timedelta(hours=24, microseconds=-1), True, id="just before it closes"
        ),
        pytest.param(an_order(tips=100), feedback(), timedelta(hours=24), False, id="when it closes"),
        pytest.param(an_order(tips=100), None, timedelta(hours=1), True, id="no feedback any more"),
        pytest.param(an_order(tips=0), feedback(), timedelta(hours=1), False, id="no tips"),
        pytest.param(
            an_order(tips=100), feedback(done=True), timedelta(hours=1), False, id="the customer pressed Done"
        ),
        pytest.param(an_order(tips=100, held_sum=100), feedback(), timedelta(hours=1), False, id="held at that sum"),
        pytest.param(an_order(tips=100, held_sum=90), feedback(), timedelta(hours=1), True, id="held at another sum"),
        pytest.param(an_order(tips=100, cashless=False), feedback(), timedelta(hours=1), False, id="paid in cash"),
        pytest.param(an_order(tips=100, finished=False), feedback(), timedelta(hours=1), False, id="not finished"),
        pytest.param(
            an_order(tips=100, finished_at=None), feedback(), timedelta(hours=1), False, id="no time of the end"
        ),
    ],
)
def test_tips_are_held_inside_the_window_once_a_sum(
    order: Order, given_feedback: Feedback | None, after: timedelta, needed: bool
) -> None:
    assert need_hold(order, given_feedback, RULES, now=END + after).needed is needed
