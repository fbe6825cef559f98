"""A payment system notifies: it is asked, its notification is not believed."""

from __future__ import annotations

from typing import Any

from sandbox.testing import RunningSandbox
from tests.integration.refunds.factories import Start

YOOKASSA = {
    "yookassa_shop_id": "1234",
    "yookassa_secret_key": "secret",
    "gateway_of_payment": {"yk-": "yookassa"},
}


async def test_a_refund_at_yookassa_ends_or_is_reversed_by_notification(start: Start, sandbox: RunningSandbox) -> None:
    # Nobody polls within the test: what happens, happens because a notification was received.
    service = await start(**YOOKASSA, yookassa_url=sandbox.url, poll_base=600.0, poll_cap=1200.0)
    await service.sandbox.control("PUT", "/sandbox/yookassa/payments/yk-1", {"captured": 10_000, "polls": 1})
    await service.sandbox.put_payment("pay-1", captured=10_000)
    _, accepted = await service.request(payment_id="yk-1")
    await service.reaches(accepted["id"], "PENDING")
    page = await service.sandbox.control("GET", "/sandbox/yookassa/ledger")
    (refund,) = page["items"][0]["refunds"]
    # The body claims much and is believed in nothing but the name.
    claims = {
        "type": "notification",
        "event": "refund.succeeded",
        "object": {"id": refund["id"], "status": "succeeded"},
    }

    async def notify(body: Any, gateway: str = "yookassa") -> int:
        async with service.http.post(f"/notifications/v1/{gateway}", json=body) as answer:
            return answer.status

    assert [await notify(claims), await notify(claims)] == [200, 200]
    await service.reaches(accepted["id"], "SUCCESS")
    assert [await notify({"event": "nonsense"}), await notify(claims, "nobody")] == [200, 404]
    stranger = {**claims, "object": {"id": "stranger"}}
    assert await notify(stranger) == 200
    assert await notify(claims) == 200
    assert (await service.refund(accepted["id"]))["state_name"] == "SUCCESS"

    await service.sandbox.control("PUT", f"/sandbox/yookassa/refunds/{refund['id']}", {"status": "canceled"})
    assert await notify(claims) == 200
    await service.reaches(accepted["id"], "REVERSED")
    page = await service.sandbox.control("GET", "/sandbox/yookassa/ledger")
    assert [one["payouts"] for one in page["items"][0]["refunds"]] == [1]
