"""What other services tell the orchestrator about an order's money: ``/orders/v1/orders/{number}/…`` (DECISIONS "Orders", M17)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from common.clock import Clock
from common.errors import Conflict, InvalidInput, NotFound
from common.http import INTERNAL, Request, Route
from common.postgres import Connection, Database
from orchestrator.engine.changes import Answer, Changes, current_trace
from orchestrator.engine.lookups import Money

_PLACES = {
    "close-with-cash": "The order was closed with cash",
    "mark-paid-in-cash": "The order was marked as paid in cash",
    "move-back-to-cash": "The order was moved back to cash",
    "courier-not-accepted": "The courier was not accepted",
}


class FeedbackTaken(BaseModel):
    """`started` is false while the order is not finished: its end starts a run anyway."""

    number: str
    started: bool


class TipsZeroed(BaseModel):
    """The tips of the order are zero for good; `changed` is false when they were already."""

    number: str
    reason: str
    changed: bool


def money_routes(database: Database, money: Money, *, clock: Clock, committed: Callable[[], None]) -> list[Route]:
    """Return the routes. All are safe to repeat."""
    changes = Changes(database, clock=clock, committed=committed)

    async def feedback_changed(request: Request[None, None]) -> Answer:
        """Begin another run of `update_transactions`."""
        number = request.path["number"]

        async def _work(connection: Connection) -> BaseModel:
            started = await money.feedback_changed(connection, number, now=clock.now(), traceparent=current_trace())
            return FeedbackTaken(number=number, started=started)

        return await changes.carry_out(request, _work)

    def zeroing(reason: str) -> Callable[[Request[None, None]], Any]:
        async def handle(request: Request[None, None]) -> Answer:
            """Set the order's tips to zero, for good."""
            number = request.path["number"]

            async def _work(connection: Connection) -> BaseModel:
                changed = await money.zero_tips(
                    connection,
                    number,
                    reason,
                    actor=request.principal.name,
                    now=clock.now(),
                    traceparent=current_trace(),
                )
                return TipsZeroed(number=number, reason=reason, changed=changed)

            return await changes.carry_out(request, _work)

        return handle

    return [
        Route(
            method="POST",
            path="/orders/v1/orders/{number}/feedback-changed",
            handler=feedback_changed,
            summary="The customer's feedback on the order changed: work its tips out again",
            response=FeedbackTaken,
            errors=(NotFound, Conflict, InvalidInput),
            roles=INTERNAL,
            tags=("orders",),
            idempotent=True,
        ),
        *(
            Route(
                method="POST",
                path=f"/orders/v1/orders/{{number}}/{place}",
                handler=zeroing(place.replace("-", "_")),
                summary=f"{summary}: its tips are zero, for good",
                response=TipsZeroed,
                errors=(NotFound, Conflict, InvalidInput),
                roles=INTERNAL,
                tags=("orders",),
                idempotent=True,
            )
            for place, summary in _PLACES.items()
        ),
    ]
