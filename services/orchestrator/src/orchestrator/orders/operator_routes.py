"""Orders changed by hand, over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from common.clock import Clock
from common.errors import Conflict, NotFound, Unprocessable
from common.http import Answer, Changes, Request, Route, change_route
from orchestrator.orders.add_operator_event import Wanted, add_operator_event
from orchestrator.orders.foretell import ForetellLife
from orchestrator.orders.model import HookType
from orchestrator.orders.operator_views import (
    CancelOrder,
    CorrectOrder,
    DeliverOrder,
    OperatorEvent,
    OperatorEventAdded,
)

_SPELLINGS = {"store_id": "storeID", "delivery_window": "deliveryWindow"}


@dataclass(frozen=True, slots=True)
class OperatorRoutes:
    """The handlers."""

    changes: Changes
    clock: Clock
    foretell: ForetellLife

    def routes(self) -> list[Route]:
        """The table."""
        errors = (NotFound, Conflict, Unprocessable)
        return [
            change_route(
                "POST",
                "/admin/v1/orders/{number}/cancel",
                self._cancel,
                "Cancel an order",
                CancelOrder,
                OperatorEventAdded,
                errors=errors,
            ),
            change_route(
                "POST",
                "/admin/v1/orders/{number}/deliver",
                self._deliver,
                "Say that the customer has the order",
                DeliverOrder,
                OperatorEventAdded,
                errors=errors,
            ),
            change_route(
                "POST",
                "/admin/v1/orders/{number}/correct",
                self._correct,
                "Correct positions, store, address, customer, time of delivery or comment, also of a closed order",
                CorrectOrder,
                OperatorEventAdded,
                errors=errors,
            ),
        ]

    async def _cancel(self, request: Request[CancelOrder, None]) -> Answer:
        given = request.body.model_dump(include={"slug", "description"}, exclude_none=True)
        return await self._add(request, HookType.CANCELLED, {"cancellation": given} if given else {}, "order.cancel")

    async def _deliver(self, request: Request[DeliverOrder, None]) -> Answer:
        return await self._add(request, HookType.DELIVERED, {}, "order.deliver")

    async def _correct(self, request: Request[CorrectOrder, None]) -> Answer:
        said = {_SPELLINGS.get(name, name): value for name, value in request.body.said.items()}
        return await self._add(request, HookType.CORRECTED, said, "order.correct")

    async def _add(self, request: Request[Any, None], hook: HookType, said: dict[str, Any], action: str) -> Answer:
        asked: OperatorEvent = request.body
        work = partial(
            add_operator_event,
            number=request.path["number"],
            wanted=Wanted(hook=hook, said=said, action=action),
            expected_version=asked.expected_version,
            foretell=self.foretell,
            now=self.clock.now(),
        )
        return await self.changes.carry_out(request, work)
