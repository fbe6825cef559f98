"""YooKassa's public API: a refund is made in one step, and found again by our key in the payment's list of refunds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import aiohttp
from pydantic import BaseModel, Field, ValidationError

from common.money import exponent, to_decimal_string
from common.reading.values import read_sum
from refunds.providers.gateway import GatewayRefused, GatewaySilent, Impossible
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

_METADATA_KEY = "suite_refund_key"
_PAGE = "100"


class _Amount(BaseModel):
    value: Annotated[str, Field(pattern=r"^\d{1,13}(\.\d{1,3})?$")]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]

    @property
    def minor(self) -> int:
        try:
            exponent(self.currency)  # what is no currency has no sums
            return read_sum(self.value, self.currency)
        except ValueError:
            raise GatewaySilent("YooKassa's sum cannot be understood") from None


class _Payment(BaseModel):
    status: Literal["pending", "waiting_for_capture", "succeeded", "canceled"]
    amount: _Amount


class _Reason(BaseModel):
    reason: str = ""


class _Refund(BaseModel):
    id: GivenId
    status: str
    amount: _Amount
    payment_id: str
    cancellation_details: _Reason | None = None
    metadata: dict[str, str] | None = None

    @property
    def receipt(self) -> Receipt:
        reason = self.cancellation_details.reason if self.cancellation_details else ""
        return Receipt(status_of(self.status, _STATUS, gateway="YooKassa"), self.id, code_of(reason, otherwise=""))


class _List(BaseModel):
    items: list[_Refund]
    next_cursor: str | None = None


class _Refusal(BaseModel):
    type: Literal["error"]
    code: str
    parameter: str | None = None


class _Object(BaseModel):
    id: RefundName


class _Notification(BaseModel):
    event: Literal["refund.succeeded", "payment.succeeded", "payment.waiting_for_capture", "payment.canceled"]
    object: _Object


_STATUS = {"pending": GatewayStatus.PENDING, "succeeded": GatewayStatus.SUCCEEDED, "canceled": GatewayStatus.FAILED}


class YooKassaGateway:
    """A ``Gateway``. ``GatewayHttp`` says what an HTTP failure means; a 4xx in YooKassa's own words is ``GatewayRefused``.

    It recognises an ``Idempotence-Key`` for 24 hours and would pay again under the same key after that. The key goes along as
    metadata, so that a refund whose answer was lost is found in the list of its payment's refunds.
    """

    def __init__(
        self, session: aiohttp.ClientSession, *, url: str, shop_id: str, secret_key: str, key_retention: timedelta
    ) -> None:
        authorization = aiohttp.encode_basic_auth(shop_id, secret_key)
        self._http = GatewayHttp(session, gateway="YooKassa", url=url, headers={"Authorization": authorization})
        self.policy = GatewayPolicy(name="yookassa", key_retention=key_retention, finds_by_key=True, cancels=True)

    async def payment(self, payment_id: str) -> PaymentInfo:
        """``GET /v3/payments/{id}``; ``amount`` of a succeeded payment is what was captured."""
        answer = await self._http.payment(f"/v3/payments/{path_part(payment_id)}", _Payment, _Refusal)
        return PaymentInfo(
            captured=answer.amount.minor if answer.status == "succeeded" else 0,
            currency=answer.amount.currency,
            status=answer.status,
            held=answer.amount.minor if answer.status == "waiting_for_capture" else None,
            cancelled=answer.status == "canceled",
        )

    async def create(self, attempt: Attempt, *, payment_id: str, amount: int, currency: str) -> Receipt:
        """``POST /v3/refunds`` under the attempt's key; the body is the same whenever it is repeated."""
        request = {
            "payment_id": payment_id,
            "amount": {"value": to_decimal_string(amount, currency), "currency": currency},
            "metadata": {_METADATA_KEY: attempt.gateway_key},
        }
        key = {"Idempotence-Key": attempt.gateway_key}
        status, body = await self._http.call("POST", "/v3/refunds", json=request, headers=key)
        if status != OK:
            raise self._refused(status, body)
        return self._http.read(_Refund, body).receipt

    async def start(self, attempt: Attempt) -> Receipt:
        """Never called: what is created is paid."""
        raise Impossible(f"refund {attempt.refund_id} needs no start at YooKassa")

    async def look_up(self, attempt: Attempt, *, payment_id: str) -> Receipt:
        """``GET /v3/refunds/{id}``, or without an id the payment's list, searched for our key."""
        if attempt.gateway_refund_id is None:
            return await self._find(attempt, payment_id)
        status, body = await self._http.call("GET", f"/v3/refunds/{path_part(attempt.gateway_refund_id)}")
        if status == NOT_FOUND:
            return Receipt(GatewayStatus.MISSING, attempt.gateway_refund_id, "not_found")
        if status != OK:
            raise GatewaySilent(f"YooKassa answered {status}")
        return self._http.read(_Refund, body).receipt

    async def cancel(self, payment_id: str, *, key: str) -> None:
        """``POST /v3/payments/{id}/cancel``."""
        path = f"/v3/payments/{path_part(payment_id)}/cancel"
        status, body = await self._http.call("POST", path, json={}, headers={"Idempotence-Key": key})
        if status != OK:
            raise self._refused(status, body)

    async def register(self, *, since: datetime, until: datetime, cursor: str | None) -> RegisterPage:
        """``GET /v3/refunds?created_at.gte=&created_at.lt=``."""
        query = {"created_at.gte": _instant(since), "created_at.lt": _instant(until)}
        page = await self._list(query, cursor)
        items = tuple(
            ListedRefund(
                gateway_refund_id=one.id,
                payment_id=one.payment_id,
                amount=one.amount.minor,
                currency=one.amount.currency,
                status=_STATUS.get(one.status),
                said=one.status,
                key=(one.metadata or {}).get(_METADATA_KEY),
            )
            for one in page.items
        )
        return RegisterPage(items, page.next_cursor)

    def named_in(self, notification: bytes) -> str | None:
        """``{"event": "refund.succeeded", "object": {"id": …}}``; events of payments name the payment."""
        try:
            return _Notification.model_validate_json(notification).object.id
        except ValidationError:
            return None

    async def _find(self, attempt: Attempt, payment_id: str) -> Receipt:
        cursor: str | None = None
        while True:
            page = await self._list({"payment_id": payment_id}, cursor)
            for one in page.items:
                if (one.metadata or {}).get(_METADATA_KEY) == attempt.gateway_key:
                    return one.receipt
            if page.next_cursor is None:
                return Receipt(GatewayStatus.MISSING, None, "not_in_the_list")
            cursor = page.next_cursor

    async def _list(self, query: dict[str, str], cursor: str | None) -> _List:
        more = {} if cursor is None else {"cursor": cursor}
        status, body = await self._http.call("GET", "/v3/refunds", query={**query, "limit": _PAGE, **more})
        if status != OK:
            raise self._refused(status, body)
        page = self._http.read(_List, body)
        if cursor is not None and page.next_cursor == cursor:  # it would be read for ever
            raise GatewaySilent("YooKassa gives the same page again")
        return page

    def _refused(self, status: int, body: bytes) -> GatewayRefused:
        refusal = self._http.refusal(_Refusal, status, body)
        if refusal.parameter == "Idempotence-Key":
            # Our key with another body, which must not be, says nothing about what was paid under it.
            raise GatewaySilent(f"YooKassa answered {status} about the key")
        code = code_of(refusal.code, otherwise="refused")
        if refusal.parameter is not None:
            code = code_of(f"{code}_{refusal.parameter.replace('.', '_')}", otherwise=code)
        return GatewayRefused(f"YooKassa refused it with {status} {code}", reason=code)


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
