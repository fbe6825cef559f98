"""The feedback service: what a customer said of an order, and the tips they chose."""

from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar, Literal

from aiohttp import web
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from sandbox.clock import Clock
from sandbox.control import body_of
from sandbox.faults import FaultMode, FaultOrder, FaultPlan
from sandbox.gate import Answer, Call, HttpSystem
from sandbox.log import Journal
from sandbox.settings import Settings


class Tips(BaseModel):
    """Tips as chosen: a percentage of the cost, or a flat sum in major units. `value` is a decimal string."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["percent", "flat"]
    value: str

    @field_validator("value", mode="before")
    @classmethod
    def _decimal(cls, value: object) -> str:
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            raise ValueError("a decimal is wanted") from None
        if not number.is_finite() or number < 0:
            raise ValueError("a decimal of at least 0 is wanted")
        return str(value)


class FeedbackOrder(BaseModel):
    """The body of `PUT /sandbox/feedback/orders/{order_id}`; `updated_at` defaults to now."""

    model_config = ConfigDict(extra="forbid")

    rating: int | None = Field(default=None, ge=1, le=5)
    tips: Tips | None = None
    choice: Literal["suggested", "custom", "default"] = "default"
    done: bool = False
    updated_at: AwareDatetime | None = None


class Feedback(HttpSystem):
    """`GET /feedback/v1/orders/{order_id}`."""

    name: ClassVar[str] = "feedback"

    def __init__(self, *, settings: Settings, clock: Clock, journal: Journal, faults: FaultPlan) -> None:
        super().__init__(clock=clock, journal=journal, faults=faults)
        self._orders: dict[str, dict[str, Any]] = {}

    def routes(self) -> list[web.RouteDef]:
        """The service, and a customer's side of it."""
        return [
            web.get("/feedback/v1/orders/{order_id}", self.endpoint("get_feedback", self._get)),
            web.put("/sandbox/feedback/orders/{order_id}", self._put),
            web.delete("/sandbox/feedback/orders/{order_id}", self._delete),
        ]

    def refusal(self, fault: FaultOrder, call: Call) -> Answer:
        """A 500, a 429, or a 403."""
        match fault.mode:
            case FaultMode.RATE_LIMIT:
                return Answer(429, {"code": "too_many_requests"}, {"Retry-After": f"{max(1, round(fault.delay))}"})
            case FaultMode.DECLINED:
                return Answer(403, {"code": "forbidden"})
            case _:
                return Answer(500, {"code": "internal_error"})

    def reset(self) -> None:
        """Forget all feedback."""
        super().reset()
        self._orders.clear()

    async def _get(self, call: Call) -> Answer:
        found = self._orders.get(call.match["order_id"])
        return Answer(404, {"code": "not_found"}) if found is None else Answer(200, found)

    async def _put(self, request: web.Request) -> web.Response:
        order = await body_of(request, FeedbackOrder)
        updated_at: datetime = order.updated_at or self.clock.now()
        found = order.model_dump(mode="json") | {"updated_at": updated_at.isoformat()}
        self._orders[request.match_info["order_id"]] = found
        return web.json_response(found)

    async def _delete(self, request: web.Request) -> web.Response:
        self._orders.pop(request.match_info["order_id"], None)
        return web.Response(status=204)
