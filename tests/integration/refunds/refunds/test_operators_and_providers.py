"""Many refunds restarted at once, refunds by lines, YooKassa beside Trust, and notifications, over HTTP."""

from __future__ import annotations

from typing import Any

from sandbox.testing import RunningSandbox
from tests.integration.refunds.conftest import Desk, Start

YOOKASSA = {
    "yookassa_shop_id": "1234",
    "yookassa_secret_key": "secret",
    "gateway_of_payment": {"yk-": "yookassa"},
}


async def _restart(desk: Desk, **body: Any) -> tuple[int, dict[str, Any]]:
    headers = {"Idempotency-Key": body.pop("key")} if "key" in body else {}
    json = {"reason": "Trust is back", **body}
    return await desk.call("POST", "/admin/v1/refunds/restart", role="operator", json=json, headers=headers)


async def test_refunds_in_error_are_restarted_together_item_by_item(start: Start) -> None:
    desk = await start(declines=1)
    refunds = []
    for number in range(3):
        await desk.sandbox.put_payment(f"pay-{number}", captured=100, outcome="failed")
        _, accepted = await desk.wish(payment_id=f"pay-{number}", amount=60, business_key=f"w-{number}")
        refunds.append(await desk.reaches(accepted["id"], "ERROR"))
    _, taken = await desk.wish(payment_id="pay-2", amount=100, business_key="takes everything")
    await desk.reaches(taken["id"], "ERROR")
    for number in range(3):
        await desk.sandbox.put_payment(f"pay-{number}", captured=100, outcome="success")
    ids = [refund["id"] for refund in refunds]

    status, tried = await _restart(desk, order=refunds[0]["order_number"], dry_run=True)
    assert (status, tried["dry_run"]) == (200, True)
    assert [await desk.refund(one) for one in ids] == refunds
    status, done = await _restart(desk, ids=[*ids, ids[0]], key="press-1")
    again = await _restart(desk, ids=[*ids, ids[0]], key="press-1")
    for one in ids:
        await desk.reaches(one, "SUCCESS")
    status_2, late = await _restart(desk, ids=[ids[0], taken["id"], "00000000-0000-0000-0000-000000000000"])

    assert status == status_2 == 200
    assert [(item["refund_id"], item["outcome"]) for item in done["items"]] == [(one, "restarted") for one in ids]
    assert again == (200, done)
    assert [(item["outcome"], item["code"]) for item in late["items"]] == [
        (None, "not_in_error"),
        (None, "exceeds_captured"),
        (None, "unknown_refund"),
    ]
    assert (await _restart(desk, order="x", error="declined"))[0] == 422
    _, log = await desk.call("GET", "/admin/v1/audit?action=refund.restart", role="viewer")
    assert sorted(item["target"] for item in log["items"]) == sorted(f"refund:{one}" for one in ids)
    _, evidence = await desk.call("GET", f"/admin/v1/refunds/{ids[0]}/evidence", role="viewer")
    assert [attempt["attempt"] for attempt in evidence["attempts"]] == [1, 2]
    assert [call["operation"] for call in evidence["calls"]][:2] == ["create", "start"]


async def test_yookassa_pays_what_is_its_own_and_says_itself_when_it_is_done_or_taken_back(
    start: Start, sandbox: RunningSandbox
) -> None:
    # Nobody polls within the test: what happens, happens because a notification was received.
    desk = await start(**YOOKASSA, yookassa_url=sandbox.url, poll_base=600.0, poll_cap=1200.0)
    await desk.sandbox.control("PUT", "/sandbox/yookassa/payments/yk-1", {"captured": 10_000, "polls": 1})
    await desk.sandbox.put_payment("pay-1", captured=10_000)
    _, accepted = await desk.wish(payment_id="yk-1")
    await desk.reaches(accepted["id"], "PENDING")
    page = await desk.sandbox.control("GET", "/sandbox/yookassa/ledger")
    (refund,) = page["items"][0]["refunds"]
    # The body claims much and is believed in nothing but the name.
    claims = {
        "type": "notification",
        "event": "refund.succeeded",
        "object": {"id": refund["id"], "status": "succeeded"},
    }

    async def notify(body: Any, gateway: str = "yookassa") -> int:
        async with desk.http.post(f"/notifications/v1/{gateway}", json=body) as answer:
            return answer.status

    assert [await notify(claims), await notify(claims)] == [200, 200]
    await desk.reaches(accepted["id"], "SUCCESS")
    assert [await notify({"event": "nonsense"}), await notify(claims, "nobody")] == [200, 404]
    stranger = {**claims, "object": {"id": "stranger"}}
    assert await notify(stranger) == 200
    assert await notify(claims) == 200
    assert (await desk.refund(accepted["id"]))["state_name"] == "SUCCESS"

    await desk.sandbox.control("PUT", f"/sandbox/yookassa/refunds/{refund['id']}", {"status": "canceled"})
    assert await notify(claims) == 200
    await desk.reaches(accepted["id"], "REVERSED")
    page = await desk.sandbox.control("GET", "/sandbox/yookassa/ledger")
    assert [one["payouts"] for one in page["items"][0]["refunds"]] == [1]


async def test_parts_of_an_order_are_refunded_line_by_line_and_add_up(start: Start) -> None:
    desk = await start()
    await desk.sandbox.put_payment("pay-1", captured=150)
    line = {"id": "sku-1", "quantity": "1", "of_quantity": "3", "paid": 100}
    tips = {"id": "tips", "kind": "tips", "paid": 50}
    amounts = []
    for number, lines in enumerate(([line], [line, tips], [line])):
        status, accepted = await desk.wish(amount=None, lines=lines, business_key=f"part-{number}")
        assert status == 202
        paid = await desk.reaches(accepted["id"], "SUCCESS")
        amounts.append((paid["amount"], [(one["id"], one["kind"], one["amount"]) for one in paid["lines"]]))
    refused = await desk.wish(amount=None, lines=[line], business_key="one too many")
    wrong_sum = await desk.wish(amount=1, lines=[{**line, "id": "sku-2"}], business_key="wrong sum")

    assert amounts == [
        (33, [("sku-1", "position", 33)]),
        (83, [("sku-1", "position", 33), ("tips", "tips", 50)]),
        (34, [("sku-1", "position", 34)]),
    ]
    assert (refused[0], refused[1]["code"]) == (409, "line_conflict")
    assert (wrong_sum[0], wrong_sum[1]["code"]) == (422, "lines_do_not_add_up")
    assert (await desk.ledger())["refunded"] == 150
    told = await desk.event("orchestrator.journal", "journal.entry.recorded.v1", kind="refund.create")
    assert told["details"]["lines"] == "position sku-1: 1 of 3 = 33"


async def test_a_reconciliation_on_demand_is_audited_and_a_dry_run_changes_nothing(start: Start) -> None:
    desk = await start()
    await desk.sandbox.put_payment("pay-1", captured=10_000)
    _, accepted = await desk.wish()
    await desk.reaches(accepted["id"], "SUCCESS")
    for refund in desk.sandbox.world.trust.money.refunds.values():
        refund.status = "failed"
    body = {"reason": "the bank called"}

    status, tried = await desk.call("POST", "/admin/v1/reconciliation", role="operator", json={**body, "dry_run": True})
    assert (status, (await desk.refund(accepted["id"]))["state_name"]) == (200, "SUCCESS")
    status, found = await desk.call("POST", "/admin/v1/reconciliation", role="operator", json=body)

    assert (status, tried["dry_run"], found["examined"], found["advanced"]) == (200, True, 1, 1)
    assert found["registers"] == {"trust": "compared"}
    reversed_one = await desk.reaches(accepted["id"], "REVERSED")
    problem = await desk.event("notifier.alerts", "alerts.problem.raised.v1", kind="refund.reversed")
    assert problem["fingerprint"] == f"refund-reversed:{reversed_one['id']}"
    _, log = await desk.call("GET", "/admin/v1/audit?action=refunds.reconcile", role="viewer")
    assert [(item["actor"], item["reason"]) for item in log["items"]] == [("test-operator", "the bank called")]
