"""The table of routes: two for the caller's workflow, one that explains to people, and the audit log."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from common.errors import InvalidInput, Unavailable
from common.http import INTERNAL, Request, Route, audit_routes, read_route
from common.service import WaitingQueue, queue, queue_routes
from tips.decide import TipsDecisions
from tips.errors import Contended, OrderNotFinished, Overloaded, TooLate, UnknownOrder
from tips.explanation import ExplanationView
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


_DONE, _HOLD, _NO_HOLD = Empty(), HoldAnswer(need_hold_tips=True), HoldAnswer(need_hold_tips=False)
_OVERLOAD = (Unavailable, TooLate, Overloaded)
_FINISHED = (InvalidInput, UnknownOrder, OrderNotFinished, *_OVERLOAD)


class TipsApi:
    """The handlers. Each request passes the admission, which bounds the work at a time and the time that it takes."""

    def __init__(self, decisions: TipsDecisions, admission: Admission) -> None:
        self._decisions = decisions
        self._admission = admission

    def routes(self) -> list[Route]:
        """Return every HTTP route of the service."""
        return [
            Route(
                method="POST",
                path="/tips/v1/set-tips-sum",
                handler=self._set_tips_sum,
                summary="Bring the tips of a finished order to what they should be",
                description="Idempotent. Safe under concurrent calls: the newest feedback wins in the end.",
                request=SetTipsSumBody,
                response=Empty,
                errors=(*_FINISHED, Contended),
                roles=INTERNAL,
                invalid_status=400,
                quiet=True,
                timed=True,
                tags=("tips",),
            ),
            read_route(
                "/tips/v1/need-hold-tips",
                self._need_hold_tips,
                "Are the tips of a finished order to be held now?",
                HoldAnswer,
                description="Reads only.",
                query=OrderQuery,
                errors=_FINISHED,
                quiet=True,
                timed=True,
                roles=INTERNAL,
                tags=("tips",),
            ),
            read_route(
                "/admin/v1/explain",
                self._explain,
                "Why the tips of an order are what they are, rule by rule",
                ExplanationView,
                query=OrderQuery,
                errors=(InvalidInput, UnknownOrder, *_OVERLOAD),
                timed=True,
            ),
            *audit_routes(None),  # nothing here is changed by a person
            *queue_routes([self._waiting]),
        ]

    async def _waiting(self) -> list[WaitingQueue]:
        """Read the only queue there is, in the memory of this replica; nobody waits in it for longer than a moment."""
        return [queue("requests", self._admission.waiting, None)]

    async def _set_tips_sum(self, request: Request[SetTipsSumBody, None]) -> Empty:
        number, headers = request.body.order_id, request.raw.headers
        await self._admission.run("set_tips_sum", self._decisions.set_sum, number, headers=headers)
        return _DONE

    async def _need_hold_tips(self, request: Request[None, OrderQuery]) -> HoldAnswer:
        number, headers = request.query.order_id, request.raw.headers
        needed = await self._admission.run("need_hold_tips", self._decisions.need_hold, number, headers=headers)
        return _HOLD if needed else _NO_HOLD

    async def _explain(self, request: Request[None, OrderQuery]) -> ExplanationView:
        number, headers = request.query.order_id, request.raw.headers
        return await self._admission.run("explain", self._decisions.explain, number, headers=headers)
