"""The explanation of an order's tips: both decisions rule by rule, with everything that they rest on."""

from __future__ import annotations

from datetime import datetime

from pydantic import AliasPath, BaseModel, ConfigDict, Field

from tips.rules.constants import TipsRules
from tips.rules.hold import need_hold
from tips.rules.order import Feedback, Order
from tips.rules.target import target_tips
from tips.rules.write import plan_write


class _View(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class StepView(_View):
    """One rule's part in a decision, and where the rule comes from."""

    rule: str
    outcome: str
    detail: str
    source: str


class ConstantsView(_View):
    """The constants of the rules as they are for this order's zone and tariff; sums are minor units, times seconds."""

    cashless_methods: list[str]
    maximum: int | None
    maximum_share: str
    negative_rating: int
    hold_after: float
    hold_until: float


class OrderView(_View):
    """The order as tips sees it; sums are minor units of ``currency``."""

    order_id: str = Field(validation_alias="number")
    version: int
    finished: bool
    finished_at: datetime | None
    cashless: bool
    refunded: bool
    zeroed: bool
    currency: str
    cost: int
    tips: int
    held_sum: int | None
    feedback_applied_at: datetime | None = Field(validation_alias=AliasPath("applied", "feedback_at"))
    zone: str
    tariff: str


class FeedbackView(_View):
    """The feedback as it is now. ``tips_value`` is percent points, or major units for ``flat``."""

    rating: int | None
    tips_type: str | None
    tips_value: str | None
    choice: str | None
    done: bool
    updated_at: datetime


class TipsView(_View):
    """What set-tips-sum would do now: the sum by the rules, and ``nothing``, ``set`` or ``stale`` (older feedback than applied)."""

    amount: int
    write: str
    steps: list[StepView]


class HoldView(_View):
    """What need-hold-tips would answer now."""

    need_hold_tips: bool = Field(validation_alias="needed")
    steps: list[StepView]


class ExplanationView(_View):
    """Both decisions, with everything that they rest on."""

    order: OrderView
    feedback: FeedbackView | None
    constants: ConstantsView
    tips: TipsView
    hold: HoldView


def explanation_of(order: Order, feedback: Feedback | None, rules: TipsRules, *, now: datetime) -> ExplanationView:
    """Decide as set-tips-sum and need-hold-tips would at ``now``, and explain why."""
    target = target_tips(order, feedback, rules)
    plan = plan_write(order, feedback, target.amount, forbidden=target.forbidden)
    return ExplanationView(
        order=OrderView.model_validate(order),
        feedback=None if feedback is None else _feedback(feedback),
        constants=ConstantsView(
            cashless_methods=sorted(rules.cashless_methods),
            maximum=rules.maximum_for(order.currency),
            maximum_share=str(rules.maximum_share),
            negative_rating=rules.negative_rating,
            hold_after=rules.hold_after.total_seconds(),
            hold_until=rules.hold_until.total_seconds(),
        ),
        tips=TipsView(
            amount=target.amount, write=plan.write, steps=[StepView.model_validate(step) for step in target.steps]
        ),
        hold=HoldView.model_validate(need_hold(order, feedback, rules, now=now)),
    )


def _feedback(feedback: Feedback) -> FeedbackView:
    return FeedbackView(
        rating=feedback.rating,
        tips_type=None if feedback.tips is None else feedback.tips.type,
        tips_value=None if feedback.tips is None else str(feedback.tips.value),
        choice=feedback.choice,
        done=feedback.done,
        updated_at=feedback.updated_at,
    )
