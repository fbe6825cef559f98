"""Money goes back through the gateway that the payment came by, with the whole suite running."""

from __future__ import annotations

from common.testing import eventually
from suite_client import Client
from suite_local.plan import YOOKASSA_PAYMENTS


async def test_a_payment_of_yookassa_is_given_back_through_yookassa_once_and_trust_hears_nothing_of_it(
    client: Client,
) -> None:
    payment = f"{YOOKASSA_PAYMENTS}22d6d597-000f"
    await client.put("sandbox", f"/sandbox/yookassa/payments/{payment}", {"captured": 10_000})
    wanted = {
        "order_number": "e2e-yookassa",
        "payment_id": payment,
        "amount": 6_000,
        "currency": "RUB",
        "reason": "the goods did not come",
        "business_key": "e2e:yookassa:1",
    }
    url = client.suite.url("refunds") + "/refunds/v1/refunds"
    status, first = await client.post(url, wanted, role="internal")
    assert status == 202, first
    status, again = await client.post(url, wanted, role="internal")
    assert (status, again["id"]) == (202, first["id"])

    async def paid() -> bool:
        refund = await client.get("refunds", f"/refunds/v1/refunds/{first['id']}", role="internal")
        return bool(refund["state_name"] == "SUCCESS")

    await eventually(paid, what="the refund's end")
    ledger = await client.get("sandbox", "/sandbox/yookassa/ledger", role=None)
    [entry] = [item for item in ledger["items"] if item["payment_id"] == payment]
    assert (entry["refunded"], [each["payouts"] for each in entry["refunds"]]) == (6_000, [1])
    assert not [call for call in await client.chat_log("trust") if payment in str(call)]
    evidence = await client.get("refunds", f"/admin/v1/refunds/{first['id']}/evidence")
    assert [attempt["gateway"] for attempt in evidence["attempts"]] == ["yookassa"]
