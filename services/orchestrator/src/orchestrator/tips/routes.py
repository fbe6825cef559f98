"""Tips over HTTP: what other services report of an order's money, what was worked out, and the switches of the tips caller."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from pydantic import BaseModel

from common.clock import Clock
from common.errors import Conflict, InvalidInput, NotFound
from common.http import ADMIN, INTERNAL, Answer, Changes, Request, Route, change_route, read_route
from common.postgres import Database
from orchestrator.tips.flags import FlagChange, Flags, FlagSet, FlagView, flag, flags, set_flag
from orchestrator.tips.recheck import FeedbackTaken, recheck_tips
from orchestrator.tips.shadow import ShadowAgreement, ShadowQuery, agreement
from orchestrator.tips.store import TipsStore
from orchestrator.tips.zero import TipsZeroed, zero_order_tips

_PLACES = {
    "close-with-cash": "The order was closed with cash",
    "mark-paid-in-cash": "The order was marked as paid in cash",
    "move-back-to-cash": "The order was moved back to cash",
    "courier-not-accepted": "The courier was not accepted",
}


class TransactionsView(BaseModel):
    """What `update_transactions` worked out last; sums in minor units. `next_check_at` null: nothing is left to check."""

    number: str
    sum_to_pay: int
    refunded: int
    tips: int
    currency: str
    decided_by: str
    fallback: str | None
    iterations: int
    computed_at: datetime
    next_check_at: datetime | None


class TipsRoutes:
    """The handlers."""

    def __init__(self, database: Database, changes: Changes, clock: Clock) -> None:
        self._database = database
        self._store = TipsStore(database)
        self._changes = changes
        self._clock = clock

    def routes(self) -> list[Route]:
        """The table. All are safe to repeat."""
        return [
            Route(
                method="POST",
                path="/orders/v1/orders/{number}/feedback-changed",
                handler=self._feedback_changed,
                summary="The customer's feedback on the order changed: work its tips out again",
                response=FeedbackTaken,
                errors=(NotFound, Conflict, InvalidInput),
                roles=INTERNAL,
                tags=("orders",),
                idempotent=True,
            ),
            *(self._zeroing(place, summary) for place, summary in _PLACES.items()),
            read_route(
                "/admin/v1/orders/{number}/transactions",
                self._transactions,
                "The sum to pay and the tips",
                TransactionsView,
                errors=(NotFound,),
            ),
            read_route(
                "/admin/v1/tips/shadow",
                self._shadow,
                "How well the tips service agrees with the own rules, by order and rule",
                ShadowAgreement,
                query=ShadowQuery,
            ),
            read_route("/admin/v1/flags", self._flags, "All switches", Flags),
            read_route("/admin/v1/flags/{name}", self._flag, "One switch", FlagView, errors=(NotFound,)),
            change_route(
                "PUT",
                "/admin/v1/flags/{name}",
                self._set_flag,
                "Set a switch",
                FlagChange,
                FlagSet,
                errors=(NotFound, Conflict),
                roles=ADMIN,
            ),
        ]

    def _zeroing(self, place: str, summary: str) -> Route:
        return Route(
            method="POST",
            path=f"/orders/v1/orders/{{number}}/{place}",
            handler=partial(self._zero, place.replace("-", "_")),
            summary=f"{summary}: its tips are zero, for good",
            response=TipsZeroed,
            errors=(NotFound, Conflict, InvalidInput),
            roles=INTERNAL,
            tags=("orders",),
            idempotent=True,
        )

    async def _feedback_changed(self, request: Request[None, None]) -> Answer:
        work = partial(recheck_tips, number=request.path["number"], now=self._clock.now())
        return await self._changes.carry_out(request, work)

    async def _zero(self, reason: str, request: Request[None, None]) -> Answer:
        work = partial(zero_order_tips, number=request.path["number"], reason=reason, now=self._clock.now())
        return await self._changes.carry_out(request, work)

    async def _transactions(self, request: Request[None, None]) -> TransactionsView:
        number = request.path["number"]
        row = await self._store.transactions(number)
        if row is None:
            raise NotFound(f"nothing was worked out for an order {number} yet")
        return TransactionsView.model_validate({**row})

    async def _shadow(self, request: Request[None, ShadowQuery]) -> ShadowAgreement:
        return await agreement(self._database, self._clock, request.query)

    async def _flags(self, _request: Request[None, None]) -> Flags:
        return await flags(self._database)

    async def _flag(self, request: Request[None, None]) -> FlagView:
        return await flag(self._database, request.path["name"])

    async def _set_flag(self, request: Request[FlagChange, None]) -> Answer:
        work = partial(set_flag, name=request.path["name"], wanted=request.body)
        return await self._changes.carry_out(request, work)
