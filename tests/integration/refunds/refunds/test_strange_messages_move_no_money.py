"""Bodies and messages that are well-formed and senseless: refused with a stable code, or kept as dead letters; no money moves by them."""

from __future__ import annotations

import io
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from common.contracts.envelope import Envelope
from common.contracts.orders import RefundWantedV1
from common.contracts.refunds import TCreateRefundV1
from common.ids import new_id
from common.messaging import Broker
from refunds.app import openapi
from tests.integration.refunds.factories import Start, in_error_after_declines
from tests.support.strange import decided, faults_of, foreseen, publish_strange, strange_bodies

BODY: dict[str, Any] = {
    "order_number": "7Q3M0V9XK2TDW8RC",
    "payment_id": "pay-1",
    "amount": None,
    "lines": [{"id": "a", "kind": "position", "quantity": "1", "of_quantity": "2", "paid": 100}],
    "source": "sbermarket",
    "currency": "RUB",
    "reason": "cancelled by the customer",
    "business_key": "7Q3M0V9XK2TDW8RC:cancel",
}
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


async def test_every_strange_body_is_answered_with_a_code(start: Start) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=10_000)
    statuses: Counter[int] = Counter()
    bodies = strange_bodies(BODY)
    for body in bodies:
        status, answer = await service.call(
            "POST", "/refunds/v1/refunds", data=body, headers={"Content-Type": "application/json"}
        )
        statuses[status] += 1
        assert status < 500, (body[:2000], answer)
        assert status in {200, 201, 202} or answer["code"], (body[:2000], answer)
    assert statuses[422] > statuses[202] > 0, "the body itself is sound"
    for gateway in ("trust", "yookassa", "../x", "a%00b"):
        for body in strange_bodies({"trust_refund_id": "x", "event": "refund.succeeded", "object": {"id": "x"}}):
            status, answer = await service.call("POST", f"/notifications/v1/{gateway}", data=body)
            assert status < 500, (gateway, body[:2000], answer)
    captured, reserved = await service.sums("pay-1")
    assert reserved <= captured == 10_000


async def test_every_strange_message_is_decided_and_the_next_refund_is_paid(start: Start, broker: Broker) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=10_000)
    wanted = RefundWantedV1(
        **{
            **{name: value for name, value in BODY.items() if name != "lines"},
            "payment_id": "pay-0",
            "occurred_at": NOW,
        }
    )
    attempt = TCreateRefundV1(refund_id="0190b5f0-0000-7000-8000-000000000001", attempt=1)
    sound = [Envelope.of(each, event_id=new_id(), source="/test", subject=None, time=NOW) for each in (wanted, attempt)]
    published = await publish_strange(service.amqp_url, sound)
    _, accepted = await service.request(business_key="7Q3M0V9XK2TDW8RC:last")
    await service.reaches(accepted["id"], "SUCCESS")
    wishes = {event_id: what for event_id, what in published.items() if "wanted" in what}
    dead = await decided(wishes, service.fetch, within=120)
    assert [what for what in dead if not foreseen(what, ": order_number")] == []
    letters = (await service.call("GET", "/admin/v1/dead-letters?limit=200", role="viewer"))[1]["items"]
    assert len(letters) >= len(dead) > 0
    paid = [
        refund
        for item in (await service.sandbox.control("GET", "/sandbox/trust/ledger"))["items"]
        for refund in item["refunds"]
    ]
    assert [refund["payouts"] for refund in paid] == [1]


async def test_no_change_with_an_odd_value_is_a_fault(start: Start) -> None:
    service = await start()
    refund = await in_error_after_declines(service)

    async def call(method: str, path: str, body: bytes) -> tuple[int, Any]:
        headers = {"Content-Type": "application/json"}
        return await service.call(method, path, role="admin", data=io.BytesIO(body), headers=headers)

    assert await faults_of(call, openapi(), id=refund["id"], version=1) == []
    assert (await service.refund(refund["id"]))["state_name"] == "ERROR"
