"""Trust, the payment system: captured payments, and refunds that are created, started and polled."""

from datetime import datetime
from typing import Any, ClassVar, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError

from sandbox.clock import Clock
from sandbox.control import ControlError, body_of
from sandbox.faults import FaultMode, FaultOrder, FaultPlan
from sandbox.gate import Answer, Call, HttpSystem
from sandbox.kept import Kept
from sandbox.log import Journal
from sandbox.settings import Settings
from sandbox.systems.trust_money import FINAL, Payment, RefundStatus, TrustError, TrustMoney

_BASE = "/trust-payments/v2"


class RefundRequest(BaseModel):
    """The body of `POST /trust-payments/v2/refunds`; `amount` in minor units. More fields are allowed and ignored."""

    model_config = ConfigDict(extra="allow")

    payment_id: str = Field(min_length=1)
    amount: StrictInt = Field(gt=0)
    currency: str = Field(pattern=r"^[A-Z]{3}$")


class PaymentOrder(BaseModel):
    """The body of `PUT /sandbox/trust/payments/{payment_id}`; `captured` in minor units.

    `polls`: status requests during which its refunds stay pending (default: the setting). `outcome`: how they end.
    """

    model_config = ConfigDict(extra="forbid")

    captured: int = Field(ge=0)
    currency: str = Field(default="RUB", pattern=r"^[A-Z]{3}$")
    status: str | None = None
    polls: int | None = Field(default=None, ge=0)
    outcome: Literal["success", "error", "failed"] = "success"
    held: int | None = Field(default=None, ge=0)


class RefundOrder(BaseModel):
    """The body of `PUT /sandbox/trust/refunds/{trust_refund_id}`: force a status, also a final one back (a reversal)."""

    model_config = ConfigDict(extra="forbid")

    status: RefundStatus
    status_desc: str = ""


class Trust(HttpSystem):
    """Refunds at `/trust-payments/v2/…`, controls at `/sandbox/trust/…`."""

    name: ClassVar[str] = "trust"
    declines_itself: ClassVar[bool] = True

    def __init__(self, *, settings: Settings, clock: Clock, journal: Journal, faults: FaultPlan, kept: Kept) -> None:
        super().__init__(clock=clock, journal=journal, faults=faults)
        self._settings = settings
        self.money = TrustMoney(kept)

    def routes(self) -> list[web.RouteDef]:
        """The protocol, and payments and refunds as a check orders them."""
        return [
            web.post(f"{_BASE}/refunds", self.endpoint("create_refund", self._create)),
            web.post(f"{_BASE}/refunds/{{refund_id}}/start", self.endpoint("start_refund", self._start)),
            web.get(f"{_BASE}/refunds", self.endpoint("list_refunds", self._list)),
            web.get(f"{_BASE}/refunds/{{refund_id}}", self.endpoint("get_refund", self._get_refund)),
            web.post(f"{_BASE}/payments/{{payment_id}}/unhold", self.endpoint("unhold_payment", self._unhold)),
            web.get(f"{_BASE}/payments/{{payment_id}}", self.endpoint("get_payment", self._get_payment)),
            web.put("/sandbox/trust/payments/{payment_id}", self._put_payment),
            web.put("/sandbox/trust/refunds/{refund_id}", self._put_refund),
            web.post("/sandbox/trust/forget-keys", self._forget_keys),
            web.get("/sandbox/trust/ledger", self._ledger),
        ]

    def refusal(self, fault: FaultOrder, call: Call) -> Answer:
        """A 500 or a 429. A declined refund is accepted first and fails later, as in real life."""
        if fault.mode is FaultMode.RATE_LIMIT:
            return Answer(
                429, _error("too_many_requests", "slow down"), {"Retry-After": f"{max(1, round(fault.delay))}"}
            )
        return Answer(500, _error("technical_error", "try again later"))

    def reset(self) -> None:
        """Forget all money."""
        super().reset()
        self.money.clear()

    def capture(self, payment_id: str, *, captured: int, currency: str) -> None:
        """Make a captured payment, as the marketplace player does for orders that are paid through us."""
        self.money.put_payment(
            Payment(
                id=payment_id,
                captured=captured,
                currency=currency,
                status="cleared",
                polls=self._settings.trust_polls,
                outcome="success",
            )
        )

    async def _create(self, call: Call) -> Answer:
        def act() -> Answer:
            key = call.headers.get("X-Idempotency-Key", "")
            if not 1 <= len(key) <= 128:
                raise TrustError(400, "idempotency_key_missing", "X-Idempotency-Key of 1 to 128 characters is required")
            try:
                body = RefundRequest.model_validate_json(call.raw)
            except ValidationError as error:
                raise TrustError(400, "invalid_request", _fields(error)) from None
            refund = self.money.create(
                key=key, body=body.model_dump(mode="json"), declined=call.declined, now=self.clock.now()
            )
            return Answer(200, {"status": "success", "trust_refund_id": refund.id})

        return self._guarded(call, act)

    async def _start(self, call: Call) -> Answer:
        def act() -> Answer:
            refund = self.money.refund(call.match["refund_id"])
            self.money.start(refund, declined=call.declined)
            return Answer(200, refund.as_json())

        return self._guarded(call, act)

    async def _get_refund(self, call: Call) -> Answer:
        def act() -> Answer:
            refund = self.money.refund(call.match["refund_id"])
            self.money.poll(refund, declined=call.declined)
            return Answer(200, refund.as_json())

        return self._guarded(call, act)

    async def _list(self, call: Call) -> Answer:
        """The register: refunds made in [from, to), a page at a time."""

        def act() -> Answer:
            try:
                since, until = (datetime.fromisoformat(call.query[name]) for name in ("from", "to"))
                start, limit = int(call.query.get("cursor", "0")), int(call.query.get("limit", "100"))
                found = self.money.made_between(since, until)
            except (KeyError, ValueError, TypeError):
                raise TrustError(400, "invalid_request", "from and to are RFC 3339, cursor is from here") from None
            page = found[start : start + min(limit, 200)]
            after = start + len(page)
            more = str(after) if after < len(found) else None
            return Answer(200, {"items": [refund.as_json() for refund in page], "next_cursor": more})

        return self._guarded(call, act)

    async def _unhold(self, call: Call) -> Answer:
        def act() -> Answer:
            payment = self.money.payment(call.match["payment_id"])
            self.money.unhold(payment)
            return Answer(200, {"payment_id": payment.id, "status": payment.status})

        return self._guarded(call, act)

    async def _get_payment(self, call: Call) -> Answer:
        def act() -> Answer:
            payment = self.money.payment(call.match["payment_id"])
            shown = {
                "payment_id": payment.id,
                "status": payment.status,
                "captured": payment.captured,
                "currency": payment.currency,
            }
            return Answer(200, shown if payment.held is None else {**shown, "held": payment.held})

        return self._guarded(call, act)

    def _guarded(self, call: Call, act: Any) -> Answer:
        """Check the service token, act, and word a refusal."""
        token = call.headers.get("X-Service-Token", "")
        allowed = self._settings.trust_service_token
        if not token or (allowed is not None and token != allowed):
            return Answer(401, _error("unauthorized", "X-Service-Token is missing or unknown"))
        try:
            answer: Answer = act()
        except TrustError as error:
            return Answer(error.status, _error(error.code, str(error)))
        return answer

    async def _put_payment(self, request: web.Request) -> web.Response:
        order = await body_of(request, PaymentOrder)
        payment_id = request.match_info["payment_id"]
        payment = Payment(
            id=payment_id,
            captured=order.captured,
            currency=order.currency,
            status=order.status or ("cleared" if order.captured else "authorized"),
            polls=self._settings.trust_polls if order.polls is None else order.polls,
            outcome=order.outcome,
            held=order.held,
        )
        self.money.put_payment(payment)
        return web.json_response({"payment_id": payment_id, "captured": order.captured, "currency": order.currency})

    async def _put_refund(self, request: web.Request) -> web.Response:
        order = await body_of(request, RefundOrder)
        try:
            refund = self.money.refund(request.match_info["refund_id"])
        except TrustError as error:
            raise ControlError(404, str(error)) from None
        refund.status, refund.description = order.status, order.status_desc
        self.money.keep(refund)
        return web.json_response(refund.as_json() | {"final": refund.status in FINAL})

    async def _forget_keys(self, _: web.Request) -> web.Response:
        self.money.forget_keys()
        return web.Response(status=204)

    async def _ledger(self, _: web.Request) -> web.Response:
        return web.json_response({"items": self.money.ledger(), "next_cursor": None})


def _error(code: str, description: str) -> dict[str, Any]:
    return {"status": "error", "status_code": code, "status_desc": description}


def _fields(error: ValidationError) -> str:
    """Names of the fields at fault, without their values."""
    return "; ".join(f"{'.'.join(map(str, part['loc'])) or 'body'}: {part['msg']}" for part in error.errors())
