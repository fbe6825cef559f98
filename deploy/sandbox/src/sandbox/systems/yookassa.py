"""YooKassa's public refund API: `POST /v3/refunds`, `GET /v3/refunds/{id}`, and the payments they belong to."""

import base64
import binascii
import hashlib
import json
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sandbox.clock import Clock
from sandbox.control import ControlError, body_of
from sandbox.faults import FaultMode, FaultOrder, FaultPlan
from sandbox.gate import Answer, Call, HttpSystem
from sandbox.kept import Kept
from sandbox.log import Journal
from sandbox.settings import Settings

KEY_RETENTION = timedelta(days=1)
"""YooKassa forgets an idempotence key after a day; the same key then makes another refund."""
_PAYMENTS, _REFUNDS, _MADE = "yookassa payment", "yookassa refund", "yookassa refunds made"
_KEY_LIMIT = 64
_LIST_LIMIT = 100
_NAMESPACE = uuid.UUID("5b0f7c1e-0000-4000-8000-000000000000")


class Amount(BaseModel):
    """A decimal string with two digits after the point, and its currency."""

    model_config = ConfigDict(extra="forbid")

    value: str = Field(pattern=r"^\d{1,12}\.\d{2}$")
    currency: str = Field(pattern=r"^[A-Z]{3}$")

    @property
    def minor(self) -> int:
        """The sum in minor units."""
        return int(self.value.replace(".", ""))


class RefundBody(BaseModel):
    """The body of `POST /v3/refunds`; other documented fields are allowed and ignored."""

    model_config = ConfigDict(extra="allow")

    payment_id: str = Field(min_length=1, max_length=64)
    amount: Amount
    description: str | None = Field(default=None, max_length=250)
    metadata: dict[str, str] | None = Field(default=None, max_length=16)


class YooPaymentOrder(BaseModel):
    """The body of `PUT /sandbox/yookassa/payments/{payment_id}`; `captured` in minor units, 0 for not yet captured."""

    model_config = ConfigDict(extra="forbid")

    captured: int = Field(ge=0)
    currency: str = Field(default="RUB", pattern=r"^[A-Z]{3}$")
    polls: int | None = Field(default=None, ge=0)
    outcome: Literal["succeeded", "canceled"] = "succeeded"
    held: int = Field(default=0, ge=0)
    canceled: bool = False


class YooRefundOrder(BaseModel):
    """The body of `PUT /sandbox/yookassa/refunds/{refund_id}`: force a status, also a final one back (a reversal)."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["pending", "succeeded", "canceled"]


@dataclass(slots=True)
class _Refund:
    id: str
    payment_id: str
    minor: int
    currency: str
    created_at: datetime
    status: Literal["pending", "succeeded", "canceled"]
    outcome: Literal["succeeded", "canceled"]
    polls_left: int
    description: str | None
    key: str
    digest: str
    metadata: dict[str, str] | None = None
    payouts: int = 0
    """How often money went out for it; a reversal does not take that back."""
    key_forgotten: bool = False

    def as_json(self) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "id": self.id,
            "status": self.status,
            "amount": _amount(self.minor, self.currency),
            "created_at": self.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "payment_id": self.payment_id,
        }
        if self.description is not None:
            shown["description"] = self.description
        if self.metadata is not None:
            shown["metadata"] = self.metadata
        if self.status == "canceled":
            shown["cancellation_details"] = {"party": "refund_network", "reason": "insufficient_funds"}
        return shown


class _Book:
    """What is kept of payments and refunds, and the keys that are still known."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self.payments, self.refunds = kept.all(_PAYMENTS, YooPaymentOrder), kept.all(_REFUNDS, _Refund)
        self.made = kept.all(_MADE, int).get("", 0)  # a reset forgets refunds, it never gives one an id again
        self.keys = {refund.key: refund for refund in self.refunds.values() if not refund.key_forgotten}

    def put_payment(self, payment_id: str, payment: YooPaymentOrder) -> None:
        self.payments[payment_id] = payment
        self._kept.put(_PAYMENTS, payment_id, payment)

    def put_refund(self, refund: _Refund) -> None:
        self.refunds[refund.id] = refund
        self._kept.put(_MADE, "", self.made)
        self._kept.put(_REFUNDS, refund.id, refund)

    def forget_keys(self) -> None:
        for refund in self.keys.values():
            refund.key_forgotten = True
            self.put_refund(refund)
        self.keys.clear()

    def clear(self) -> None:
        self._kept.forget(_PAYMENTS, _REFUNDS)
        self.payments, self.refunds, self.keys = {}, {}, {}


class YooKassa(HttpSystem):
    """HTTP Basic (shop, key), `Idempotence-Key`, and the documented error object."""

    name: ClassVar[str] = "yookassa"
    declines_itself: ClassVar[bool] = True

    def __init__(self, *, settings: Settings, clock: Clock, journal: Journal, faults: FaultPlan, kept: Kept) -> None:
        super().__init__(clock=clock, journal=journal, faults=faults)
        self._settings = settings
        self._book = _Book(kept)

    def routes(self) -> list[web.RouteDef]:
        """The protocol, and payments as a check orders them."""
        return [
            web.post("/v3/refunds", self.endpoint("create_refund", self._create)),
            web.get("/v3/refunds", self.endpoint("list_refunds", self._list)),
            web.get("/v3/refunds/{refund_id}", self.endpoint("get_refund", self._get_refund)),
            web.get("/v3/payments/{payment_id}", self.endpoint("get_payment", self._get_payment)),
            web.post("/v3/payments/{payment_id}/cancel", self.endpoint("cancel_payment", self._cancel)),
            web.put("/sandbox/yookassa/payments/{payment_id}", self._put_payment),
            web.put("/sandbox/yookassa/refunds/{refund_id}", self._put_refund),
            web.post("/sandbox/yookassa/forget-keys", self._forget_keys),
            web.get("/sandbox/yookassa/ledger", self._ledger),
        ]

    def refusal(self, fault: FaultOrder, call: Call) -> Answer:
        """A 500 whose result is unknown to the caller, or a 429. A declined refund ends as `canceled`."""
        if fault.mode is FaultMode.RATE_LIMIT:
            return self._error(429, "too_many_requests", "Too many requests")
        return self._error(500, "internal_server_error", "Processing results unavailable")

    def reset(self) -> None:
        """Forget all money."""
        super().reset()
        self._book.clear()

    async def _create(self, call: Call) -> Answer:
        if refused := self._unauthorized(call):
            return refused
        if not call.headers.get("Content-Type", "").startswith("application/json"):
            return self._error(415, "unsupported_media_type", "The content type is not application/json")
        key = call.headers.get("Idempotence-Key", "")
        if not 1 <= len(key) <= _KEY_LIMIT:
            return self._bad("Idempotence key is not provided or too long", "Idempotence-Key")
        try:
            body = RefundBody.model_validate_json(call.raw)
        except ValidationError as error:
            first = error.errors()[0]
            return self._bad("Error in request syntax", ".".join(map(str, first["loc"])) or "body")
        digest = hashlib.sha256(json.dumps(body.model_dump(), sort_keys=True, default=str).encode()).hexdigest()
        known = self._book.keys.get(key)
        if known is not None and self.clock.now() - known.created_at < KEY_RETENTION:
            if known.digest != digest:
                return self._bad("Idempotence key duplicated", "Idempotence-Key")
            return Answer(200, known.as_json())
        return self._refund(key, digest, body, declined=call.declined)

    def _refund(self, key: str, digest: str, body: RefundBody, *, declined: bool) -> Answer:
        payment = self._book.payments.get(body.payment_id)
        if payment is None:
            return self._bad("Payment doesn't exist or access denied", "payment_id")
        if payment.captured == 0:
            return self._bad("Payment is not in the status succeeded", "payment_id")
        if payment.currency != body.amount.currency:
            return self._bad("Incorrect currency", "amount.currency")
        if body.amount.minor <= 0:
            return self._bad("Incorrect amount", "amount.value")
        if self._spent(body.payment_id) + body.amount.minor > payment.captured:
            return self._bad("Refund amount exceeds the amount of the payment", "amount.value")
        polls = self._settings.yookassa_polls if payment.polls is None else payment.polls
        outcome: Literal["succeeded", "canceled"] = "canceled" if declined else payment.outcome
        self._book.made += 1
        refund = _Refund(
            id=str(uuid.uuid5(_NAMESPACE, f"refund {self._book.made - 1}")),
            payment_id=body.payment_id,
            minor=body.amount.minor,
            currency=body.amount.currency,
            created_at=self.clock.now(),
            status="pending" if polls else outcome,
            outcome=outcome,
            polls_left=polls,
            description=body.description,
            key=key,
            digest=digest,
            metadata=body.metadata,
            payouts=int(not polls and outcome == "succeeded"),
        )
        self._book.keys[key] = refund
        self._book.put_refund(refund)
        return Answer(200, refund.as_json())

    async def _get_refund(self, call: Call) -> Answer:
        if refused := self._unauthorized(call):
            return refused
        refund = self._book.refunds.get(call.match["refund_id"])
        if refund is None:
            return self._error(404, "not_found", "Refund doesn't exist or access denied", "refund_id")
        if refund.status == "pending":
            refund.polls_left -= 1
            if refund.polls_left <= 0:
                refund.status = "canceled" if call.declined else refund.outcome
                refund.payouts += refund.status == "succeeded"
            self._book.put_refund(refund)
        return Answer(200, refund.as_json())

    async def _get_payment(self, call: Call) -> Answer:
        if refused := self._unauthorized(call):
            return refused
        payment_id = call.match["payment_id"]
        payment = self._book.payments.get(payment_id)
        if payment is None:
            return self._error(404, "not_found", "Payment doesn't exist or access denied", "payment_id")
        return Answer(200, self._payment_json(payment_id, payment))

    def _payment_json(self, payment_id: str, payment: YooPaymentOrder) -> dict[str, Any]:
        status = "succeeded" if payment.captured else "canceled" if payment.canceled else "waiting_for_capture"
        return {
            "id": payment_id,
            "status": status,
            "paid": status != "canceled",
            "refundable": payment.captured > 0,
            "amount": _amount(payment.captured or payment.held, payment.currency),
            "refunded_amount": _amount(self._refunded(payment_id), payment.currency),
        }

    async def _cancel(self, call: Call) -> Answer:
        """Cancel a payment that waits for capture; again with another key it is refused, as it is no longer waiting."""
        if refused := self._unauthorized(call):
            return refused
        payment_id = call.match["payment_id"]
        payment = self._book.payments.get(payment_id)
        if payment is None:
            return self._error(404, "not_found", "Payment doesn't exist or access denied", "payment_id")
        if not 1 <= len(call.headers.get("Idempotence-Key", "")) <= _KEY_LIMIT:
            return self._bad("Idempotence key is not provided or too long", "Idempotence-Key")
        if payment.captured:
            return self._bad("Incorrect payment status", "payment_id")
        payment.canceled = True
        self._book.put_payment(payment_id, payment)
        return Answer(200, self._payment_json(payment_id, payment))

    async def _list(self, call: Call) -> Answer:
        """Refunds, newest first, by payment and time; at most 100 a page."""
        if refused := self._unauthorized(call):
            return refused
        query = call.query
        try:
            since, until = (
                datetime.fromisoformat(query[name]) if name in query else None
                for name in ("created_at.gte", "created_at.lt")
            )
            start, limit = int(query.get("cursor", "0")), int(query.get("limit", "10"))
        except ValueError:
            return self._bad("Error in request syntax", "created_at")
        if not 1 <= limit <= _LIST_LIMIT:
            return self._bad("Error in request syntax", "limit")
        found = [
            refund
            for refund in reversed(self._book.refunds.values())
            if query.get("payment_id") in {None, refund.payment_id}
            and (since is None or refund.created_at >= since)
            and (until is None or refund.created_at < until)
        ]
        page = found[start : start + limit]
        body: dict[str, Any] = {"type": "list", "items": [refund.as_json() for refund in page]}
        if start + len(page) < len(found):
            body["next_cursor"] = str(start + len(page))
        return Answer(200, body)

    async def _put_payment(self, request: web.Request) -> web.Response:
        order = await body_of(request, YooPaymentOrder)
        self._book.put_payment(request.match_info["payment_id"], order)
        return web.json_response({"payment_id": request.match_info["payment_id"], **order.model_dump(mode="json")})

    async def _put_refund(self, request: web.Request) -> web.Response:
        order = await body_of(request, YooRefundOrder)
        refund = self._book.refunds.get(request.match_info["refund_id"])
        if refund is None:
            raise ControlError(404, "there is no such refund")
        refund.status = order.status
        if order.status != "pending":
            refund.outcome = order.status
        self._book.put_refund(refund)
        return web.json_response(refund.as_json())

    async def _forget_keys(self, _: web.Request) -> web.Response:
        self._book.forget_keys()
        return web.Response(status=204)

    async def _ledger(self, _: web.Request) -> web.Response:
        return web.json_response({"items": self.ledger(), "next_cursor": None})

    def ledger(self) -> list[dict[str, Any]]:
        """Every payment with its refunds and sums, for a check that money moved at most once."""
        return [
            {
                "payment_id": payment_id,
                "captured": payment.captured,
                "currency": payment.currency,
                "refunded": self._refunded(payment_id),
                "refunds": [
                    refund.as_json() | {"idempotence_key": refund.key, "payouts": refund.payouts}
                    for refund in self._book.refunds.values()
                    if refund.payment_id == payment_id
                ],
            }
            for payment_id, payment in self._book.payments.items()
        ]

    def _spent(self, payment_id: str) -> int:
        return sum(
            refund.minor
            for refund in self._book.refunds.values()
            if refund.payment_id == payment_id and refund.status != "canceled"
        )

    def _refunded(self, payment_id: str) -> int:
        return sum(
            refund.minor
            for refund in self._book.refunds.values()
            if refund.payment_id == payment_id and refund.status == "succeeded"
        )

    def _unauthorized(self, call: Call) -> Answer | None:
        scheme, _, encoded = call.headers.get("Authorization", "").partition(" ")
        try:
            shop, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            shop = secret = ""
        wanted = (self._settings.yookassa_shop_id or shop, self._settings.yookassa_secret_key or secret)
        if scheme.lower() != "basic" or not shop or not secret or (shop, secret) != wanted:
            return self._error(401, "invalid_credentials", "Login has illegal format or the key is wrong")
        return None

    def _bad(self, description: str, parameter: str) -> Answer:
        return self._error(400, "invalid_request", description, parameter)

    def _error(self, status: int, code: str, description: str, parameter: str | None = None) -> Answer:
        body = {
            "type": "error",
            "id": str(uuid.uuid5(_NAMESPACE, f"error {self.clock.now().isoformat()}")),
            "code": code,
            "description": description,
        }
        if parameter is not None:
            body["parameter"] = parameter
        return Answer(status, body)


def _amount(minor: int, currency: str) -> dict[str, str]:
    return {"value": f"{minor // 100}.{minor % 100:02d}", "currency": currency}
