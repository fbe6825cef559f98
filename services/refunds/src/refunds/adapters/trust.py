"""Trust, as CONTRACT "refunds" has it: a refund is created, started, and looked up."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Literal, TypeVar
from urllib.parse import quote

import aiohttp
from pydantic import BaseModel, Field, ValidationError

from refunds.application.errors import Impossible
from refunds.application.ports import GatewayAway, GatewayRefused, GatewaySilent
from refunds.domain.gateway import GatewayPolicy, GatewayStatus, PaymentInfo, Receipt
from refunds.domain.refund import Attempt, Refund

_BASE = "/trust-payments/v2"
_OK, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _CONFLICT, _BUSY, _SERVER_ERROR = 200, 401, 403, 404, 409, 429, 500
_CODE = re.compile(r"^[a-z0-9_]{1,64}$")

ModelT = TypeVar("ModelT", bound=BaseModel)


class _Payment(BaseModel):
    status: str
    captured: Annotated[int, Field(ge=0, le=10**15)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class _Created(BaseModel):
    trust_refund_id: Annotated[str, Field(min_length=1, max_length=200)]


class _Refund(BaseModel):
    status: Literal["created", "wait_for_notification", "success", "error", "failed"]
    status_desc: str = ""


class _Trouble(BaseModel):
    status_code: str = ""


_STATUS = {
    "created": GatewayStatus.OPENED,
    "wait_for_notification": GatewayStatus.PENDING,
    "success": GatewayStatus.SUCCEEDED,
    "error": GatewayStatus.FAILED,
    "failed": GatewayStatus.FAILED,
}


class TrustGateway:
    """Port ``Gateway``.

    The session's own deadlines bound every call. No connection, 401, 403 and 429 are ``GatewayAway``: nothing happened. A 4xx on
    creating is ``GatewayRefused``. Everything else that is not a clear answer is ``GatewaySilent``, the outcome being unknown: 5xx,
    409 (our key with another body, which must not be), a reset, a time-out, an answer that cannot be read.
    """

    def __init__(
        self, session: aiohttp.ClientSession, *, url: str, service_token: str, key_retention: timedelta
    ) -> None:
        self._session = session
        self._url = url.rstrip("/") + _BASE
        self._headers = {"X-Service-Token": service_token}
        self.policy = GatewayPolicy(name="trust", key_retention=key_retention, two_step=True)

    async def payment(self, payment_id: str) -> PaymentInfo:
        """``GET /payments/{id}``, the authority on what was captured."""
        status, body = await self._call("GET", f"/payments/{_part(payment_id)}")
        if status == _NOT_FOUND:
            raise GatewayRefused("Trust does not know the payment", reason="payment_unknown")
        if status != _OK:
            raise GatewayAway(f"Trust answered {status}")
        answer = _read(_Payment, body)
        return PaymentInfo(captured=answer.captured, currency=answer.currency, status=answer.status)

    async def create(self, refund: Refund, attempt: Attempt) -> Receipt:
        """``POST /refunds`` under the attempt's key; the body is the same whenever it is repeated."""
        if refund.amount is None:
            raise Impossible(f"refund {refund.id} is sent without a sum")
        request = {"payment_id": refund.payment_id, "amount": refund.amount, "currency": refund.currency}
        status, body = await self._call("POST", "/refunds", json=request, key=attempt.gateway_key)
        if status != _OK:
            code = "payment_unknown" if status == _NOT_FOUND else _code(body)
            raise GatewayRefused(f"Trust refused the refund with {status} {code}", reason=code)
        return Receipt(GatewayStatus.OPENED, _read(_Created, body).trust_refund_id)

    async def start(self, attempt: Attempt) -> Receipt:
        """``POST /refunds/{id}/start``."""
        if attempt.gateway_refund_id is None:
            raise Impossible(f"refund {attempt.refund_id} is started without the gateway's id")
        status, body = await self._call(
            "POST", f"/refunds/{_part(attempt.gateway_refund_id)}/start", key=attempt.gateway_key
        )
        return _receipt(status, body, attempt.gateway_refund_id)

    async def look_up(self, refund: Refund, attempt: Attempt) -> Receipt:
        """``GET /refunds/{id}``. Trust cannot be asked by key: without its id the refund is missing."""
        if attempt.gateway_refund_id is None:
            return Receipt(GatewayStatus.MISSING, None, "Trust cannot be asked by key")
        status, body = await self._call("GET", f"/refunds/{_part(attempt.gateway_refund_id)}")
        return _receipt(status, body, attempt.gateway_refund_id)

    async def _call(
        self, method: str, path: str, *, json: dict[str, object] | None = None, key: str | None = None
    ) -> tuple[int, bytes]:
        headers = self._headers if key is None else {**self._headers, "X-Idempotency-Key": key}
        try:
            async with self._session.request(method, self._url + path, json=json, headers=headers) as response:
                status, body = response.status, await response.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise GatewayAway(f"Trust cannot be reached ({type(error).__name__})") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise GatewaySilent(f"Trust did not answer ({type(error).__name__})") from error
        if status in {_UNAUTHORIZED, _FORBIDDEN, _BUSY}:
            raise GatewayAway(f"Trust answered {status}")
        if status >= _SERVER_ERROR or status == _CONFLICT:
            raise GatewaySilent(f"Trust answered {status}")
        return status, body


def _receipt(status: int, body: bytes, refund_id: str) -> Receipt:
    if status == _NOT_FOUND:
        return Receipt(GatewayStatus.MISSING, refund_id, "Trust does not know the refund")
    if status != _OK:
        raise GatewaySilent(f"Trust answered {status}")
    answer = _read(_Refund, body)
    detail = answer.status_desc if _CODE.match(answer.status_desc) else ""
    return Receipt(_STATUS[answer.status], refund_id, detail)


def _read(model: type[ModelT], body: bytes) -> ModelT:
    try:
        return model.model_validate_json(body)
    except ValidationError:
        raise GatewaySilent("Trust's answer cannot be understood") from None


def _code(body: bytes) -> str:
    try:
        code = _Trouble.model_validate_json(body).status_code
    except ValidationError:
        code = ""
    return code if _CODE.match(code) else "refused"


def _part(value: str) -> str:
    return quote(value, safe="")
