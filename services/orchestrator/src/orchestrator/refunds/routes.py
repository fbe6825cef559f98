"""Refunds of an order over HTTP: operators ask for one and see what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from pydantic import BaseModel

from common.clock import Clock
from common.contracts.orders import RefundWantedV1
from common.errors import Conflict, NotFound, Unprocessable
from common.http import INTERNAL, Answer, Changes, Request, Route, change_route, read_route
from common.ids import derived_id, new_id
from common.postgres import Record
from orchestrator.refunds.messages import refund_wanted
from orchestrator.refunds.request import RefundAsked, RefundChange, request_refund
from orchestrator.refunds.store import RefundStore


class NoRefundAsked(NotFound):
    """No refund was asked for under this business key."""

    code = "no_refund_asked"


class RefundRequestView(BaseModel):
    """A refund that this service asked for, and how far it has come; `state` is null until the refunds service answers."""

    business_key: str
    payment_id: str
    amount: int | None
    tips: int
    currency: str
    reason: str
    requested_by: str
    requested_at: datetime
    rejected: str | None
    refund_id: str | None
    state: str | None


class RefundRequests(BaseModel):
    """All refunds that were asked for, the oldest first."""

    items: list[RefundRequestView]


@dataclass(frozen=True, slots=True)
class RefundRoutes:
    """The handlers."""

    store: RefundStore
    changes: Changes
    clock: Clock

    def routes(self) -> list[Route]:
        """The table."""
        return [
            read_route(
                "/orders/v1/refunds/{business_key}",
                self._asked,
                "What was asked for under a business key",
                RefundWantedV1,
                description="By this the refunds service tells an event of ours from a forged one, before it pays.",
                errors=(NoRefundAsked,),
                roles=INTERNAL,
                tags=("refunds",),
            ),
            change_route(
                "POST",
                "/admin/v1/orders/{number}/refund",
                self._request,
                "Give money back",
                RefundChange,
                RefundAsked,
                status=202,
                errors=(NotFound, Conflict, Unprocessable),
            ),
            read_route(
                "/admin/v1/orders/{number}/refunds",
                self._requests,
                "Refunds that were asked for, and what became of them",
                RefundRequests,
                errors=(NotFound,),
            ),
        ]

    async def _request(self, request: Request[RefundChange, None]) -> Answer:
        number = request.path["number"]
        work = partial(
            request_refund,
            number=number,
            asked=request.body,
            business_key=_business_key(number, request),
            now=self.clock.now(),
        )
        return await self.changes.carry_out(request, work)

    async def _asked(self, request: Request[None, None]) -> RefundWantedV1:
        asked = await self.store.asked(request.path["business_key"])
        if asked is None:
            raise NoRefundAsked("nothing was asked for under this business key")
        return refund_wanted(asked, source=None)

    async def _requests(self, request: Request[None, None]) -> RefundRequests:
        number = request.path["number"]
        rows = await self.store.requests(number)
        if rows is None:
            raise NotFound(f"there is no order {number}")
        return RefundRequests(items=[_view(row) for row in rows])


def _business_key(number: str, request: Request[Any, Any]) -> str:
    """The same ``Idempotency-Key`` of the same caller is the same refund for ever, also after the key was forgotten."""
    key = request.idempotency_key
    own = new_id() if key is None else derived_id(request.idempotency_scope, key)
    return f"{number}:operator:{own}"


def _view(row: Record) -> RefundRequestView:
    amount = row["amount"] if row["refund_amount"] is None else row["refund_amount"]
    return RefundRequestView.model_validate({**row, "amount": amount, "state": row["state_name"]})
