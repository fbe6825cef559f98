"""``POST /tips/v1/set-tips-sum`` and ``GET /tips/v1/need-hold-tips`` (CONTRACT "tips")."""

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from common.errors import InvalidInput, Unavailable
from common.http import INTERNAL, Request, Route
from tips import use_cases as ports
from tips.errors import Contended, OrderNotFinished, Overloaded, TooLate, UnknownOrder
from tips.overload.admission import Admission

OrderId = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9A-Za-z_-]{1,64}$"),
    Field(description="the order's number", examples=["7Q3M0V9XK2TDW8RC"]),
]


class SetTipsSumBody(BaseModel):
    """Which order."""

    order_id: OrderId


class OrderQuery(BaseModel):
    """Which order."""

    order_id: OrderId


class Empty(BaseModel):
    """Nothing to say: it is done."""


class HoldAnswer(BaseModel):
    """Whether the tips are to be held now."""

    need_hold_tips: bool


_ERRORS = (InvalidInput, UnknownOrder, OrderNotFinished, Unavailable, TooLate, Overloaded)


def tips_routes(
    *, set_tips_sum: ports.SetTipsSum, need_hold_tips: ports.NeedHoldTips, admission: Admission
) -> list[Route]:
    """Return the two routes of the two use cases; both need the ``internal`` token."""
    done, hold, no_hold = Empty(), HoldAnswer(need_hold_tips=True), HoldAnswer(need_hold_tips=False)

    async def set_sum(request: Request[SetTipsSumBody, None]) -> Empty:
        """Set the tips of one order."""
        await admission.run("set_tips_sum", set_tips_sum, request.body.order_id, headers=request.raw.headers)
        return done

    async def need_hold(request: Request[None, OrderQuery]) -> HoldAnswer:
        """Tell whether one order's tips are to be held."""
        needed = await admission.run(
            "need_hold_tips", need_hold_tips, request.query.order_id, headers=request.raw.headers
        )
        return hold if needed else no_hold

    return [
        Route(
            method="POST",
            path="/tips/v1/set-tips-sum",
            handler=set_sum,
            summary="Bring the tips of a finished order to what they should be",
            description="Idempotent. Safe under concurrent calls: the newest feedback wins in the end.",
            request=SetTipsSumBody,
            response=Empty,
            errors=(*_ERRORS, Contended),
            roles=INTERNAL,
            invalid_status=400,
            quiet=True,
            timed=True,
            tags=("tips",),
        ),
        Route(
            method="GET",
            path="/tips/v1/need-hold-tips",
            handler=need_hold,
            summary="Are the tips of a finished order to be held now?",
            description="Reads only.",
            query=OrderQuery,
            response=HoldAnswer,
            errors=_ERRORS,
            roles=INTERNAL,
            quiet=True,
            timed=True,
            tags=("tips",),
        ),
    ]
