"""A phone robot: `POST /calls/v1/calls` rings somebody; every call is in `/sandbox/calls/log`."""

from typing import Any, ClassVar

from aiohttp import web
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from sandbox.clock import Clock
from sandbox.faults import FaultMode, FaultOrder, FaultPlan
from sandbox.gate import Answer, Call, HttpSystem
from sandbox.log import Journal
from sandbox.settings import Settings


class CallRequest(BaseModel):
    """Whom to ring and what to say. Other fields are allowed and kept in the log."""

    model_config = ConfigDict(extra="allow")

    phone: str = Field(pattern=r"^\+?\d{5,15}$", validation_alias=AliasChoices("phone", "to"))
    text: str = Field(min_length=1, max_length=2000)


class Calls(HttpSystem):
    """Each accepted call rings once; the same `Idempotency-Key` rings no second time."""

    name: ClassVar[str] = "calls"

    def __init__(self, *, settings: Settings, clock: Clock, journal: Journal, faults: FaultPlan) -> None:
        super().__init__(clock=clock, journal=journal, faults=faults)
        self._by_key: dict[str, str] = {}
        self._made = 0

    def routes(self) -> list[web.RouteDef]:
        """One address."""
        return [web.post("/calls/v1/calls", self.endpoint("call", self._call))]

    def refusal(self, fault: FaultOrder, call: Call) -> Answer:
        """A 500, a 429, or a number that cannot be rung."""
        match fault.mode:
            case FaultMode.RATE_LIMIT:
                return Answer(429, {"code": "too_many_requests"}, {"Retry-After": f"{max(1, round(fault.delay))}"})
            case FaultMode.DECLINED:
                return Answer(422, {"code": "number_unreachable"})
            case _:
                return Answer(500, {"code": "internal_error"})

    def reset(self) -> None:
        """Forget all calls."""
        super().reset()
        self._by_key.clear()

    async def _call(self, call: Call) -> Answer:
        try:
            CallRequest.model_validate_json(call.raw)
        except ValidationError as error:
            fields = [".".join(map(str, part["loc"])) for part in error.errors()]
            return Answer(400, {"code": "invalid_request", "fields": fields})
        key = call.headers.get("Idempotency-Key")
        known = self._by_key.get(key) if key else None
        if known is not None:
            return self._accepted(known, repeated=True)
        self._made += 1
        call_id = f"call-{self._made:06d}"
        if key:
            self._by_key[key] = call_id
        return self._accepted(call_id, repeated=False)

    def _accepted(self, call_id: str, *, repeated: bool) -> Answer:
        body: dict[str, Any] = {"call_id": call_id, "status": "accepted", "repeated": repeated}
        return Answer(202, body)
