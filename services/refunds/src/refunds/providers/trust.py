"""Trust: a refund is created, then started, then looked up by its id."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import aiohttp
from pydantic import BaseModel, Field, ValidationError

from refunds.providers.gateway import NOT_OFFERED, GatewayRefused, GatewaySilent, Impossible
from refunds.providers.http import NOT_FOUND, OK, GatewayHttp, GivenId, RefundName, code_of, path_part, status_of
from refunds.providers.model import (
    Attempt,
    GatewayPolicy,
    GatewayStatus,
    ListedRefund,
    PaymentInfo,
    Receipt,
    RegisterPage,
)

_BASE = "/trust-payments/v2"
_NO_SUCH_ADDRESS = frozenset({404, 405})

_Sum = Annotated[int, Field(ge=0, le=10**15)]
_Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class _Payment(BaseModel):
    status: str
    captured: _Sum
    currency: _Currency
    held: _Sum | None = None


class _Created(BaseModel):
    trust_refund_id: GivenId


class _Refund(BaseModel):
    status: str
    status_desc: str = ""


class _Listed(_Refund):
    trust_refund_id: str
    payment_id: str
    amount: _Sum
    currency: _Currency


class _Register(BaseModel):
    items: list[_Listed]
    next_cursor: str | None = None


class _Notification(BaseModel):
    trust_refund_id: RefundName


class _Refusal(BaseModel):
    status_code: Annotated[str, Field(min_length=1)]


_STATUS = {
    "created": GatewayStatus.OPENED,
    "wait_for_notification": GatewayStatus.PENDING,
    "success": GatewayStatus.SUCCEEDED,
    "error": GatewayStatus.FAILED,
    "failed": GatewayStatus.FAILED,
}


class TrustGateway:
    """A ``Gateway``. ``GatewayHttp`` says what an HTTP failure means; a 4xx on creating, in Trust's own words, is ``GatewayRefused``.

    Trust cannot be asked by key, and pays only what is started by its id. ``cancel`` (unhold) and ``register`` are not guaranteed by Trust:
    where it has no such address, nothing is cancelled and only our side is reconciled.
    """

    def __init__(
        self, session: aiohttp.ClientSession, *, url: str, service_token: str, key_retention: timedelta
    ) -> None:
        self._http = GatewayHttp(session, gateway="Trust", url=url, headers={"X-Service-Token": service_token})
        self.policy = GatewayPolicy(name="trust", key_retention=key_retention, two_step=True, cancels=True)

    async def payment(self, payment_id: str) -> PaymentInfo:
        """``GET /payments/{id}``, the authority on what was captured."""
        answer = await self._http.payment(f"{_BASE}/payments/{path_part(payment_id)}", _Payment, _Refusal)
        return PaymentInfo(
            captured=answer.captured,
            currency=answer.currency,
            status=code_of(answer.status, otherwise="unreadable"),
            held=answer.held,
            cancelled=answer.captured == 0 and answer.status in {"cancelled", "canceled", "unheld"},
        )

    async def create(self, attempt: Attempt, *, payment_id: str, amount: int, currency: str) -> Receipt:
        """``POST /refunds`` under the attempt's key; the body is the same whenever it is repeated."""
        request = {"payment_id": payment_id, "amount": amount, "currency": currency}
        key = {"X-Idempotency-Key": attempt.gateway_key}
        status, body = await self._http.call("POST", f"{_BASE}/refunds", json=request, headers=key)
        if status != OK:
            raise self._refused(status, body)
        return Receipt(GatewayStatus.OPENED, self._http.read(_Created, body).trust_refund_id)

    async def start(self, attempt: Attempt) -> Receipt:
        """``POST /refunds/{id}/start``."""
        if attempt.gateway_refund_id is None:
            raise Impossible(f"refund {attempt.refund_id} is started without the gateway's id")
        path = f"{_BASE}/refunds/{path_part(attempt.gateway_refund_id)}/start"
        status, body = await self._http.call("POST", path, headers={"X-Idempotency-Key": attempt.gateway_key})
        return self._receipt(status, body, attempt.gateway_refund_id)

    async def look_up(self, attempt: Attempt, *, payment_id: str) -> Receipt:
        """``GET /refunds/{id}``. Trust cannot be asked by key: without its id the refund is missing."""
        if attempt.gateway_refund_id is None:
            return Receipt(GatewayStatus.MISSING, None, "cannot_be_asked_by_key")
        status, body = await self._http.call("GET", f"{_BASE}/refunds/{path_part(attempt.gateway_refund_id)}")
        return self._receipt(status, body, attempt.gateway_refund_id)

    async def cancel(self, payment_id: str, *, key: str) -> None:
        """``POST /payments/{id}/unhold``."""
        path = f"{_BASE}/payments/{path_part(payment_id)}/unhold"
        status, body = await self._http.call("POST", path, headers={"X-Idempotency-Key": key})
        if status != OK:
            raise self._refused(status, body)

    async def register(self, *, since: datetime, until: datetime, cursor: str | None) -> RegisterPage:
        """``GET /refunds?from=&to=``."""
        query = {"from": since.isoformat(), "to": until.isoformat(), "limit": "200"}
        if cursor is not None:
            query["cursor"] = cursor
        status, body = await self._http.call("GET", f"{_BASE}/refunds", query=query)
        if status in _NO_SUCH_ADDRESS:
            raise GatewayRefused("Trust keeps no register", reason=NOT_OFFERED)
        if status != OK:
            raise self._refused(status, body)
        page = self._http.read(_Register, body)
        items = tuple(
            ListedRefund(
                gateway_refund_id=one.trust_refund_id,
                payment_id=one.payment_id,
                amount=one.amount,
                currency=one.currency,
                status=_STATUS.get(one.status),
                said=one.status,
            )
            for one in page.items
        )
        return RegisterPage(items, page.next_cursor)

    def named_in(self, notification: bytes) -> str | None:
        """``{"trust_refund_id": …}``."""
        try:
            return _Notification.model_validate_json(notification).trust_refund_id
        except ValidationError:
            return None

    def _refused(self, status: int, body: bytes) -> GatewayRefused:
        code = code_of(self._http.refusal(_Refusal, status, body).status_code, otherwise="refused")
        if status == NOT_FOUND and code == "payment_not_found":
            code = "payment_unknown"
        return GatewayRefused(f"Trust refused it with {status} {code}", reason=code)

    def _receipt(self, status: int, body: bytes, refund_id: str) -> Receipt:
        if status == NOT_FOUND:
            return Receipt(GatewayStatus.MISSING, refund_id, "not_found")
        if status != OK:
            raise GatewaySilent(f"Trust answered {status}")
        answer = self._http.read(_Refund, body)
        return Receipt(
            status_of(answer.status, _STATUS, gateway="Trust"), refund_id, code_of(answer.status_desc, otherwise="")
        )
