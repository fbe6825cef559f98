"""What the tips should be, as examples and as properties."""

import os
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.tips.factories import END, RULES, an_order, feedback
from tips.rules.constants import TipsRules
from tips.rules.order import Applied, Choice, ChosenTips, Feedback, Order, TipsType
from tips.rules.steps import Rule, Step
from tips.rules.target import target_tips
from tips.rules.write import Write, plan_write


@pytest.mark.parametrize(
    ("order", "given_feedback", "amount"),
    [
        pytest.param(an_order(), feedback(), 1_600, id="ten percent of the cost"),
        pytest.param(an_order(), feedback(TipsType.FLAT, "50"), 5_000, id="flat is in major units"),
        pytest.param(
            an_order(currency="JPY", cost=900), feedback(TipsType.FLAT, "50"), 50, id="a currency without minor units"
        ),
        pytest.param(
            an_order(currency="KWD", cost=9_000),
            feedback(TipsType.FLAT, "1.5"),
            1_500,
            id="a currency with three digits",
        ),
        pytest.param(an_order(cost=105), feedback(value="10"), 11, id="a half is rounded up"),
        pytest.param(an_order(cost=104), feedback(value="10"), 10, id="less than a half is rounded down"),
        pytest.param(an_order(), feedback(value="250"), 16_000, id="never more than the cost"),
        pytest.param(an_order(cost=9_000_000), feedback(value="50"), 500_000, id="never more than the maximum"),
        pytest.param(
            an_order(currency="EUR", cost=9_000_000), feedback(value="50"), 4_500_000, id="no maximum for this currency"
        ),
        pytest.param(
            an_order(currency="EUR", cost=9_000_001), feedback(value="100"), 9_000_001, id="all of the cost is allowed"
        ),
        pytest.param(an_order(), feedback(rating=3), 0, id="rated three"),
        pytest.param(an_order(), feedback(rating=4), 1_600, id="rated four"),
        pytest.param(an_order(), feedback(rating=None), 1_600, id="not rated"),
        pytest.param(an_order(cashless=False), feedback(), 0, id="paid in cash"),
        pytest.param(an_order(refunded=True), feedback(), 0, id="refunded"),
        pytest.param(an_order(zeroed=True), feedback(), 0, id="set to zero by the caller"),
        pytest.param(an_order(), None, 0, id="no feedback"),
        pytest.param(an_order(), feedback(tips=None), 0, id="feedback without tips"),
        pytest.param(an_order(cost=0), feedback(TipsType.FLAT, "50"), 0, id="nothing was paid"),
    ],
)
def test_the_target_follows_from_order_and_feedback(order: Order, given_feedback: Feedback | None, amount: int) -> None:
    assert target_tips(order, given_feedback, RULES).amount == amount


def test_every_rule_leaves_a_step_in_the_explanation() -> None:
    assert target_tips(an_order(), feedback(value="200"), RULES).steps == (
        Step(Rule.CASHLESS, "pass", "the order is paid cashless"),
        Step(Rule.NOT_REFUNDED, "pass", "the order was not refunded in full"),
        Step(Rule.NOT_ZEROED, "pass", "the caller has not set the tips to zero"),
        Step(Rule.FEEDBACK, "pass", "percent 200, updated 2026-11-21T10:00:00+00:00"),
        Step(Rule.RATING, "pass", "rated 5"),
        Step(Rule.SUM, "32000", "percent 200 of a cost of 16000, rounded half up once"),
        Step(Rule.CAP, "16000", "at most 16000: the cost is 16000, the maximum 500000"),
    )


def test_a_share_of_the_cost_caps_the_tips_and_is_rounded_down() -> None:
    rules = TipsRules(maximum_share=Decimal("12.5"))
    assert target_tips(an_order(cost=105), feedback(value="50"), rules).amount == 13
    assert target_tips(an_order(cost=105), feedback(value="10"), rules).amount == 11


@pytest.mark.parametrize(
    ("order", "given_feedback", "forbidden"),
    [
        (an_order(), feedback(), False),
        (an_order(), None, False),
        (an_order(), feedback(rating=1), False),
        (an_order(cashless=False), feedback(), True),
        (an_order(refunded=True), feedback(), True),
        (an_order(zeroed=True), None, True),
    ],
)
def test_it_is_known_whether_the_order_or_the_feedback_forbids_tips(
    order: Order, given_feedback: Feedback | None, forbidden: bool
) -> None:
    assert target_tips(order, given_feedback, RULES).forbidden is forbidden


costs = st.integers(min_value=0, max_value=10**12)
percents = st.decimals(min_value=0, max_value=1000, places=4, allow_nan=False)
flats = st.decimals(min_value=0, max_value=10**9, places=6, allow_nan=False)
maxima = st.one_of(st.none(), st.integers(min_value=0, max_value=10**9))


shares = st.decimals(min_value=0, max_value=100, places=3, allow_nan=False)
feedbacks = st.one_of(
    st.none(),
    st.builds(
        Feedback,
        rating=st.one_of(st.none(), st.integers(min_value=0, max_value=5)),
        tips=st.one_of(st.none(), st.builds(ChosenTips, st.sampled_from(TipsType), st.one_of(percents, flats))),
        choice=st.one_of(st.none(), st.sampled_from(Choice)),
        done=st.booleans(),
        updated_at=st.integers(min_value=-100, max_value=100).map(lambda minutes: END + timedelta(minutes=minutes)),
    ),
)
orders = st.builds(
    an_order,
    cost=costs,
    cashless=st.booleans(),
    refunded=st.booleans(),
    zeroed=st.booleans(),
    tips=st.integers(min_value=0, max_value=10**9),
    seen=st.booleans(),
    currency=st.sampled_from(["RUB", "JPY", "KWD"]),
    applied=feedbacks.map(Applied.of),
)
rule_sets = st.builds(
    TipsRules,
    maximum=st.dictionaries(st.sampled_from(["RUB", "JPY"]), st.integers(min_value=0, max_value=10**9)),
    default_maximum=maxima,
    maximum_share=shares,
    negative_rating=st.integers(min_value=0, max_value=5),
)
# More with TIPS_EXAMPLES, in the time that a person has.
many = settings(max_examples=int(os.environ.get("TIPS_EXAMPLES", "100")), deadline=None)


@many
@given(order=orders, given_feedback=feedbacks, rules=rule_sets)
def test_no_cap_is_ever_exceeded(order: Order, given_feedback: Feedback | None, rules: TipsRules) -> None:
    amount = target_tips(order, given_feedback, rules).amount
    maximum = rules.maximum_for(order.currency)
    assert 0 <= amount <= order.cost
    assert amount <= Decimal(order.cost) * rules.maximum_share / 100
    assert maximum is None or amount <= maximum


@many
@given(order=orders, given_feedback=feedbacks, rules=rule_sets)
def test_setting_tips_twice_is_setting_them_once(
    order: Order, given_feedback: Feedback | None, rules: TipsRules
) -> None:
    target = target_tips(order, given_feedback, rules)
    plan = plan_write(order, given_feedback, target.amount, forbidden=target.forbidden)
    if plan.write is Write.SET:
        order = replace(order, tips=plan.amount, applied=plan.applied, seen=True, version=order.version + 1)
    again = target_tips(order, given_feedback, rules)
    assert again == target
    repeated = plan_write(order, given_feedback, again.amount, forbidden=again.forbidden)
    assert (repeated.write is Write.SET, repeated.amount) == (False, order.tips)


@given(cost=costs, value=st.one_of(percents, flats), kind=st.sampled_from(TipsType), maximum=maxima)
def test_the_caps_hold_whatever_is_chosen(cost: int, value: Decimal, kind: TipsType, maximum: int | None) -> None:
    rules = TipsRules(default_maximum=maximum)
    amount = target_tips(an_order(cost=cost), feedback(tips=ChosenTips(kind, value)), rules).amount
    assert 0 <= amount <= cost
    assert maximum is None or amount <= maximum


@given(cost=costs, lower=percents, higher=percents)
def test_a_higher_percentage_never_gives_less(cost: int, lower: Decimal, higher: Decimal) -> None:
    lower, higher = sorted((lower, higher))
    order = an_order(cost=cost)
    less = target_tips(order, feedback(tips=ChosenTips(TipsType.PERCENT, lower)), RULES).amount
    more = target_tips(order, feedback(tips=ChosenTips(TipsType.PERCENT, higher)), RULES).amount
    assert less <= more


@given(cost=costs, value=percents)
def test_a_percentage_is_rounded_once_and_half_up(cost: int, value: Decimal) -> None:
    exact = Decimal(cost) * value / 100
    amount = target_tips(an_order(cost=cost), feedback(tips=ChosenTips(TipsType.PERCENT, value)), TipsRules()).amount
    if exact <= cost:
        assert Decimal("-0.5") < exact - amount < Decimal("0.5") or amount - exact == Decimal("0.5")
