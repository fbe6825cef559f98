"""What each answer of a payment system means for money: away (nothing happened), silent (not known), refused (definite)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from refunds.providers.gateway import GatewayAway, GatewayRefused, GatewaySilent
from refunds.providers.model import Attempt, GatewayStatus, ListedRefund, PaymentInfo, Receipt
from refunds.providers.trust import TrustGateway
from refunds.providers.yookassa import YooKassaGateway
from tests.support.scripted_server import answering

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
ATTEMPT = Attempt("r-1", 1, "trust", "key-1", NOW, NOW, "g-1")
REFUND: dict[str, Any] = {"payment_id": "p-1", "amount": 6_000, "currency": "RUB"}


class Scripted:
    """A server that answers everything with what the test chose."""

    def __init__(self) -> None:
        self.status = 200
        self.body: Any = {}
        self.requests: list[tuple[str, str, Any]] = []

    def answers(self, status: int, body: Any) -> None:
        """Answer so from now on; a string goes out as it is."""
        self.status, self.body = status, body

    async def serve(self, request: web.Request) -> web.Response:
        """Answer."""
        self.requests.append((request.method, request.path_qs, await request.text()))
        if isinstance(self.body, str):
            return web.Response(status=self.status, text=self.body, headers={"Location": "/elsewhere"})
        return web.json_response(self.body, status=self.status)


@pytest.fixture
async def server() -> AsyncIterator[tuple[Scripted, str]]:
    """A scripted server and its address."""
    scripted = Scripted()
    async with answering(scripted.serve) as address:
        yield scripted, address


TRUST_SAYS_NO = {"status": "error", "status_code": "refund_exceeds_captured", "status_desc": "…"}
YOOKASSA_SAYS_NO = {"type": "error", "code": "invalid_request", "description": "…", "parameter": "amount.value"}
WRONG_KEY = {"type": "error", "code": "invalid_request", "description": "…", "parameter": "Idempotence-Key"}


async def test_what_trust_answers_to_a_new_refund_is_definite_only_in_its_own_words(
    server: tuple[Scripted, str],
) -> None:
    scripted, url = server
    async with aiohttp.ClientSession() as session:
        trust = TrustGateway(session, url=url, service_token="t", key_retention=timedelta(days=7))
        found: dict[tuple[int, str], str] = {}
        for status, body in (
            (200, {"trust_refund_id": "g-1"}),
            (200, {"nothing": "of use"}),
            (200, "<html>"),
            (302, "moved"),
            (401, TRUST_SAYS_NO),
            (403, "<html>forbidden</html>"),
            (404, "<html>no such page</html>"),
            (404, {"status": "error", "status_code": "payment_not_found"}),
            (409, {"status": "error", "status_code": "idempotency_key_reused"}),
            (422, TRUST_SAYS_NO),
            (429, TRUST_SAYS_NO),
            (500, TRUST_SAYS_NO),
            (502, "<html>bad gateway</html>"),
        ):
            scripted.answers(status, body)
            try:
                answer = await trust.create(ATTEMPT, **REFUND)
                outcome = f"{answer.status} {answer.gateway_refund_id}"
            except (GatewayAway, GatewaySilent) as error:
                outcome = error.code
            except GatewayRefused as error:
                outcome = error.reason
            found[(status, str(body)[:12])] = outcome
    assert list(found.values()) == [
        "opened g-1",
        "gateway_silent",
        "gateway_silent",
        "gateway_silent",
        "gateway_away",
        "gateway_away",
        "gateway_silent",
        "payment_unknown",
        "gateway_silent",
        "refund_exceeds_captured",
        "gateway_away",
        "gateway_silent",
        "gateway_silent",
    ]


async def test_what_yookassa_answers_to_a_new_refund(server: tuple[Scripted, str]) -> None:
    scripted, url = server
    refund = {"id": "y-1", "status": "succeeded", "amount": {"value": "60.00", "currency": "RUB"}, "payment_id": "p-1"}
    cancelled = {**refund, "status": "canceled", "cancellation_details": {"reason": "insufficient_funds"}}
    async with aiohttp.ClientSession() as session:
        yookassa = YooKassaGateway(session, url=url, shop_id="1", secret_key="s", key_retention=timedelta(days=1))
        outcomes: list[object] = []
        for status, body in (
            (200, refund),
            (200, {**refund, "status": "pending"}),
            (200, cancelled),
            (202, {"type": "processing"}),
            (400, YOOKASSA_SAYS_NO),
            (400, WRONG_KEY),
            (404, "<html>"),
            (429, YOOKASSA_SAYS_NO),
            (500, YOOKASSA_SAYS_NO),
        ):
            scripted.answers(status, body)
            try:
                outcomes.append(await yookassa.create(ATTEMPT, **REFUND))
            except (GatewayAway, GatewaySilent) as error:
                outcomes.append(error.code)
            except GatewayRefused as error:
                outcomes.append(error.reason)
        scripted.answers(200, {"status": "waiting_for_capture", "amount": {"value": "60.00", "currency": "RUB"}})
        held = await yookassa.payment("p-1")
    assert outcomes == [
        Receipt(GatewayStatus.SUCCEEDED, "y-1"),
        Receipt(GatewayStatus.PENDING, "y-1"),
        Receipt(GatewayStatus.FAILED, "y-1", "insufficient_funds"),
        "gateway_silent",
        "invalid_request_amount_value",
        "gateway_silent",
        "gateway_silent",
        "gateway_away",
        "gateway_silent",
    ]
    assert held == PaymentInfo(captured=0, currency="RUB", status="waiting_for_capture", held=6_000)
    assert '"value": "60.00"' in scripted.requests[0][2]
    assert '"suite_refund_key": "key-1"' in scripted.requests[0][2]


async def test_a_payment_is_unknown_only_when_the_gateway_itself_says_so(server: tuple[Scripted, str]) -> None:
    scripted, url = server
    async with aiohttp.ClientSession() as session:
        trust = TrustGateway(session, url=url, service_token="t", key_retention=timedelta(days=7))
        scripted.answers(404, "<html>the ingress has lost its way</html>")
        with pytest.raises(GatewaySilent):
            await trust.payment("p-1")
        scripted.answers(404, {"status": "error", "status_code": "payment_not_found"})
        with pytest.raises(GatewayRefused):
            await trust.payment("p-1")
        scripted.answers(404, "<html>")
        with pytest.raises(GatewayRefused, match="keeps no register"):
            await trust.register(since=NOW, until=NOW, cursor=None)
        assert [trust.named_in(body) for body in (b'{"trust_refund_id": "g-1"}', b"nonsense", b"{}")] == [
            "g-1",
            None,
            None,
        ]


async def test_a_status_that_is_new_to_us_is_neither_yes_nor_no_nor_an_unread_register(
    server: tuple[Scripted, str],
) -> None:
    scripted, url = server
    line = {"trust_refund_id": "g-1", "payment_id": "p-1", "amount": 6_000, "currency": "RUB", "status": "on_hold"}
    item = {"id": "y-1", "status": "on_hold", "amount": {"value": "60.00", "currency": "RUB"}, "payment_id": "p-1"}
    async with aiohttp.ClientSession() as session:
        trust = TrustGateway(session, url=url, service_token="t", key_retention=timedelta(days=7))
        yookassa = YooKassaGateway(session, url=url, shop_id="1", secret_key="s", key_retention=timedelta(days=1))
        for gateway, name, said in ((trust, "g-1", line), (yookassa, "y-1", item)):
            scripted.answers(200, {"items": [said]})
            page = await gateway.register(since=NOW, until=NOW, cursor=None)
            assert page.items == (ListedRefund(name, "p-1", 6_000, "RUB", None, "on_hold"),)
            scripted.answers(200, said)
            with pytest.raises(GatewaySilent, match="says 'on_hold', which is new to us"):
                await gateway.look_up(ATTEMPT, payment_id="p-1")
