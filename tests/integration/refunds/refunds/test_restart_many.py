"""An operator restarts many refunds at once, item by item."""

from __future__ import annotations

from typing import Any

from tests.integration.refunds.factories import RefundsClient, Start


async def _restart(service: RefundsClient, **body: Any) -> tuple[int, dict[str, Any]]:
    headers = {"Idempotency-Key": body.pop("key")} if "key" in body else {}
    json = {"reason": "Trust is back", **body}
    return await service.call("POST", "/admin/v1/refunds/restart", role="operator", json=json, headers=headers)


async def test_refunds_in_error_are_restarted_together_item_by_item(start: Start) -> None:
    service = await start(declines=1)
    refunds = []
    for number in range(3):
        await service.sandbox.put_payment(f"pay-{number}", captured=100, outcome="failed")
        _, accepted = await service.request(payment_id=f"pay-{number}", amount=60, business_key=f"w-{number}")
        refunds.append(await service.reaches(accepted["id"], "ERROR"))
    _, taken = await service.request(payment_id="pay-2", amount=100, business_key="takes everything")
    await service.reaches(taken["id"], "ERROR")
    for number in range(3):
        await service.sandbox.put_payment(f"pay-{number}", captured=100, outcome="success")
    ids = [refund["id"] for refund in refunds]

    status, tried = await _restart(service, order=refunds[0]["order_number"], dry_run=True)
    assert (status, tried["dry_run"]) == (200, True)
    assert [await service.refund(one) for one in ids] == refunds
    status, done = await _restart(service, ids=[*ids, ids[0]], key="press-1")
    again = await _restart(service, ids=[*ids, ids[0]], key="press-1")
    for one in ids:
        await service.reaches(one, "SUCCESS")
    status_2, late = await _restart(service, ids=[ids[0], taken["id"], "00000000-0000-0000-0000-000000000000"])

    assert status == status_2 == 200
    assert [(item["refund_id"], item["outcome"]) for item in done["items"]] == [(one, "restarted") for one in ids]
    assert again == (200, done)
    assert [(item["outcome"], item["code"]) for item in late["items"]] == [
        (None, "not_in_error"),
        (None, "exceeds_captured"),
        (None, "unknown_refund"),
    ]
    assert (await _restart(service, order="x", error="declined"))[0] == 422
    _, log = await service.call("GET", "/admin/v1/audit?action=refund.restart", role="viewer")
    assert sorted(item["target"] for item in log["items"]) == sorted(f"refund:{one}" for one in ids)
    _, evidence = await service.call("GET", f"/admin/v1/refunds/{ids[0]}/evidence", role="viewer")
    assert [attempt["attempt"] for attempt in evidence["attempts"]] == [1, 2]
    assert [call["operation"] for call in evidence["calls"]][:2] == ["create", "start"]
