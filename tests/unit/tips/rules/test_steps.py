"""What explains a decision."""

from datetime import timedelta

from tests.unit.tips.factories import END, RULES, an_order, feedback
from tips.rules.hold import need_hold
from tips.rules.steps import Rule
from tips.rules.target import target_tips


def test_every_step_names_where_its_rule_comes_from() -> None:
    steps = (
        *target_tips(an_order(), feedback(), RULES).steps,
        *need_hold(an_order(tips=100), feedback(), RULES, now=END + timedelta(hours=1)).steps,
    )
    assert {step.rule for step in steps} == set(Rule)
    assert all(step.source.startswith("docs/requirements.md#") for step in steps)
