"""``GET /admin/v1/explain``: rule by rule, why the tips of an order are what they are."""

from datetime import datetime

from pydantic import BaseModel

from common.errors import InvalidInput, Unavailable
from common.http import VIEWER, Request, Route
from tips import use_cases as ports
from tips.api import OrderQuery
from tips.errors import Overloaded, TooLate, UnknownOrder
from tips.explain import Explanation
from tips.overload.admission import Admission
from tips.rules.target import Step


class StepView(BaseModel):
    """One rule's part in a decision, and where the rule comes from."""

    rule: str
    outcome: str
    detail: str
    source: str


class ConstantsView(BaseModel):
    """The constants of the rules as they are for this order's zone and tariff; sums are minor units, times seconds."""

    cashless_methods: list[str]
    maximum: int | None
    maximum_share: str
    negative_rating: int
    hold_after: float
    hold_until: float


class OrderView(BaseModel):
    """The order as tips sees it; sums are minor units of ``currency``."""

    order_id: str
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
    feedback_applied_at: datetime | None
    zone: str
    tariff: str


class FeedbackView(BaseModel):
    """The feedback as it is now. ``tips_value`` is percent points, or major units for ``flat``."""

    rating: int | None
    tips_type: str | None
    tips_value: str | None
    choice: str | None
    done: bool
    updated_at: datetime


class TipsView(BaseModel):
    """What set-tips-sum would do now: the sum by the rules, and ``nothing``, ``set`` or ``stale`` (older feedback than applied)."""

    amount: int
    write: str
    steps: list[StepView]


class HoldView(BaseModel):
    """What need-hold-tips would answer now."""

    need_hold_tips: bool
    steps: list[StepView]


class ExplanationView(BaseModel):
    """Both decisions, with everything that they rest on."""

    order: OrderView
    feedback: FeedbackView | None
    constants: ConstantsView
    tips: TipsView
    hold: HoldView


def admin_routes(*, explain: ports.Explain, admission: Admission) -> list[Route]:
    """Return the admin routes of tips."""

    async def handler(request: Request[None, OrderQuery]) -> ExplanationView:
        """Explain one order's tips, rule by rule."""
        return _view(await admission.run("explain", explain, request.query.order_id, headers=request.raw.headers))

    return [
        Route(
            method="GET",
            path="/admin/v1/explain",
            handler=handler,
            summary="Why the tips of an order are what they are, rule by rule",
            query=OrderQuery,
            response=ExplanationView,
            errors=(InvalidInput, UnknownOrder, Unavailable, TooLate, Overloaded),
            roles=VIEWER,
            timed=True,
            tags=("admin",),
        )
    ]


def _view(explanation: Explanation) -> ExplanationView:
    order, feedback, rules = explanation.order, explanation.feedback, explanation.rules
    return ExplanationView(
        order=OrderView(
            order_id=order.number,
            version=order.version,
            finished=order.finished,
            finished_at=order.finished_at,
            cashless=order.cashless,
            refunded=order.refunded,
            zeroed=order.zeroed,
            currency=order.currency,
            cost=order.cost,
            tips=order.tips,
            held_sum=order.held_sum,
            feedback_applied_at=order.applied.feedback_at,
            zone=order.zone,
            tariff=order.tariff,
        ),
        feedback=None
        if feedback is None
        else FeedbackView(
            rating=feedback.rating,
            tips_type=None if feedback.tips is None else feedback.tips.type,
            tips_value=None if feedback.tips is None else str(feedback.tips.value),
            choice=feedback.choice,
            done=feedback.done,
            updated_at=feedback.updated_at,
        ),
        constants=ConstantsView(
            cashless_methods=sorted(rules.cashless_methods),
            maximum=rules.maximum_for(order.currency),
            maximum_share=str(rules.maximum_share),
            negative_rating=rules.negative_rating,
            hold_after=rules.hold_after.total_seconds(),
            hold_until=rules.hold_until.total_seconds(),
        ),
        tips=TipsView(
            amount=explanation.target.amount, write=explanation.plan.write, steps=_steps(explanation.target.steps)
        ),
        hold=HoldView(need_hold_tips=explanation.hold.needed, steps=_steps(explanation.hold.steps)),
    )


def _steps(steps: tuple[Step, ...]) -> list[StepView]:
    return [StepView(rule=step.rule, outcome=step.outcome, detail=step.detail, source=step.source) for step in steps]
