"""Operators restart many refunds at once, by ids or by a filter, with a plan: item by item, and each once."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

from tests.integration.refunds.factories import RefundsClient, Start


async def _restart(service: RefundsClient, **body: Any) -> tuple[int, dict[str, Any]]:
    headers = {"Idempotency-Key": body.pop("key")} if "key" in body else {}
    json = {"reason": "Trust is back", **body}
    return await service.call("POST", "/admin/v1/refunds/restart", role="operator", json=json, headers=headers)


async def _in_error(service: RefundsClient, many: int, *, amount: int = 60) -> list[dict[str, Any]]:
    """So many refunds of payments of their own, which Trust has declined and would pay now."""
    accepted = []
    for number in range(many):
        await service.sandbox.put_payment(f"pay-{number}", captured=100, outcome="failed")
        accepted.append(
            (await service.request(payment_id=f"pay-{number}", amount=amount, business_key=f"w-{number}"))[1]
        )
    refunds = [await service.reaches(one["id"], "ERROR") for one in accepted]
    for number in range(many):
        await service.sandbox.put_payment(f"pay-{number}", captured=100, outcome="success")
    return refunds


def _outcomes(answer: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(item["outcome"], item["code"]) for item in answer["items"]]


async def test_refunds_in_error_are_restarted_together_item_by_item(start: Start) -> None:
    service = await start(declines=1)
    refunds = await _in_error(service, 3)
    await service.sandbox.put_payment("pay-2", captured=100, outcome="failed")
    _, taken = await service.request(payment_id="pay-2", amount=100, business_key="takes everything")
    await service.reaches(taken["id"], "ERROR")
    await service.sandbox.put_payment("pay-2", captured=100, outcome="success")
    ids = [refund["id"] for refund in refunds]

    _, of_payment = await service.call("GET", "/admin/v1/refunds?payment=pay-0", role="viewer")
    assert [item["id"] for item in of_payment["items"]] == [refunds[0]["id"]]
    status, tried = await _restart(service, order=refunds[0]["order_number"], dry_run=True)
    assert (status, tried["dry_run"], tried["matched"]) == (200, True, 4)
    assert [await service.refund(one) for one in ids] == refunds
    status, done = await _restart(service, ids=[*ids, ids[0]], key="press-1")
    again = await _restart(service, ids=[*ids, ids[0]], key="press-1")
    for one in ids:
        await service.reaches(one, "SUCCESS")
    status_2, late = await _restart(service, ids=[ids[0], taken["id"], str(uuid4())])

    assert status == status_2 == 200
    assert [(item["id"], item["outcome"]) for item in done["items"]] == [(one, "restarted") for one in ids]
    assert again == (200, done)
    assert _outcomes(late) == [("refused", "not_in_error"), ("refused", "exceeds_captured"), ("not_found", "not_found")]
    _, log = await service.call("GET", "/admin/v1/audit?action=refund.restart", role="viewer")
    assert sorted(item["target"] for item in log["items"]) == sorted(f"refund:{one}" for one in ids)
    _, payments = await service.call("GET", f"/admin/v1/payments?order={refunds[0]['order_number']}", role="viewer")
    assert [
        tuple(item[key] for key in ("payment_id", "captured", "reserved", "refunded", "left", "refunds"))
        for item in payments["items"]
    ] == [("pay-0", 100, 60, 60, 40, 1), ("pay-1", 100, 60, 60, 40, 1), ("pay-2", 100, 60, 60, 40, 2)]
    assert await service.call("GET", "/admin/v1/payments/pay-2", role="viewer") == (200, payments["items"][2])
    assert (await service.call("GET", "/admin/v1/payments/pay-9", role="viewer"))[0] == 404
    _, of_order = await service.call("GET", f"/admin/v1/audit?order={refunds[0]['order_number']}", role="viewer")
    assert {f"refund:{one}" for one in ids} <= {item["target"] for item in of_order["items"]}
    _, evidence = await service.call("GET", f"/admin/v1/refunds/{ids[0]}/evidence", role="viewer")
    assert [attempt["attempt"] for attempt in evidence["attempts"]] == [1, 2]
    assert [call["operation"] for call in evidence["calls"]][:2] == ["create", "start"]


async def test_a_plan_restarts_what_it_showed_once_and_leaves_alone_what_has_changed(start: Start) -> None:
    service = await start(declines=1)
    refunds = await _in_error(service, 4)
    ids = [refund["id"] for refund in refunds]
    wanted = {"filter": {"error": refunds[0]["error"], "order": refunds[0]["order_number"]}}
    status, plan = await _restart(service, **wanted, dry_run=True)
    assert (status, [item["id"] for item in plan["items"]], plan["more"]) == (200, ids, False)
    assert _outcomes(plan) == [("restarted", None)] * 4
    assert [item["version"] for item in plan["items"]] == [refund["version"] for refund in refunds]

    path = f"/admin/v1/refunds/{ids[0]}/restart"
    body = {"reason": "the customer calls", "expected_version": refunds[0]["version"]}
    assert (await service.call("POST", path, role="operator", json=body))[0] == 200
    both = await asyncio.gather(*(_restart(service, plan=plan["plan"]) for _ in range(2)))

    assert {status for status, _ in both} == {200}
    assert [_outcomes(answer) for _, answer in both] == [[("changed_since", None)] + [("restarted", None)] * 3] * 2
    assert sorted(answer["already_applied"] for _, answer in both) == [False, True]
    for one in ids:
        await service.reaches(one, "SUCCESS")
    assert [(await service.ledger(f"pay-{number}"))["refunded"] for number in range(4)] == [60] * 4
    assert (await _restart(service, **{**wanted, "plan": plan["plan"], "limit": 1}))[1]["already_applied"]
    assert (await _restart(service, plan=plan["plan"], order="another"))[1]["code"] == "plan_differs"
    assert (await _restart(service, plan="0" * 64))[1]["code"] == "plan_unknown"


async def test_refunds_are_found_and_counted_by_state_order_and_error(start: Start) -> None:
    service = await start(declines=1)
    [refund, _] = await _in_error(service, 2)
    for query, many in (
        ("state=RS_ERROR", 2),
        (f"error={refund['error']}&order={refund['order_number']}", 2),
        ("state=SUCCESS", 0),
        ("error=nothing", 0),
    ):
        status, page = await service.call("GET", f"/admin/v1/refunds?{query}&count=true&limit=1", role="viewer")
        assert (status, page["count"], page["count_exact"], len(page["items"])) == (200, many, True, min(many, 1))


async def test_a_choice_that_cannot_be_meant_is_refused(start: Start) -> None:
    service = await start()
    wrongs: list[dict[str, Any]] = [
        {},
        {"filter": {}},
        {"filter": {"colour": "red"}},
        {"filter": {"state": "lost"}},
        {"filter": {"order": "x"}, "order": "x"},
        {"ids": ["1"]},
        {"ids": []},
        {"ids": [str(uuid4()) for _ in range(101)]},
        {"order": "x", "limit": 0},
        {"order": "x\x00"},
    ]
    for wrong in wrongs:
        assert (await _restart(service, **wrong))[0] == 422, wrong
    assert (await service.call("GET", "/admin/v1/refunds?state=lost", role="viewer"))[0] == 400
