"""An operator reconciles with the payment systems."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from refunds.reconciliation.compare import CompareRefund
from tests.integration.refunds.factories import Start
from tests.support.poisoned import Fault


async def test_a_reconciliation_on_demand_is_audited_and_a_dry_run_changes_nothing(start: Start) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=10_000)
    _, accepted = await service.request()
    await service.reaches(accepted["id"], "SUCCESS")
    for refund in service.sandbox.world.trust.money.refunds.values():
        refund.status = "failed"
    body = {"reason": "the bank called"}

    status, tried = await service.call(
        "POST", "/admin/v1/reconciliation", role="operator", json={**body, "dry_run": True}
    )
    assert (status, (await service.refund(accepted["id"]))["state_name"]) == (200, "SUCCESS")
    status, found = await service.call("POST", "/admin/v1/reconciliation", role="operator", json=body)
    verdicts = (await service.call("GET", "/admin/v1/verdicts", role="viewer"))[1]["items"]
    [verdict] = [each for each in verdicts if each["name"] == "refunds"]  # beside that of the audit log
    assert (verdict["found"], verdict["looked"]) == (len(found["differences"]), 1)

    assert (status, tried["dry_run"], found["examined"], found["advanced"]) == (200, True, 1, 1)
    assert found["registers"] == {"trust": "compared"}
    reversed_one = await service.reaches(accepted["id"], "REVERSED")
    problem = await service.event("notifier.alerts", "alerts.problem.raised.v1", kind="refund.reversed")
    assert problem["fingerprint"] == f"refund-reversed:{reversed_one['id']}"
    _, log = await service.call("GET", "/admin/v1/audit?action=refunds.reconcile", role="viewer")
    assert [(item["actor"], item["reason"]) for item in log["items"]] == [("test-operator", "the bank called")]


async def test_a_reversal_that_the_gateway_took_back_is_over_and_the_next_one_is_told(start: Start) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=10_000)
    _, accepted = await service.request()
    await service.reaches(accepted["id"], "SUCCESS")
    [at_gateway] = service.sandbox.world.trust.money.refunds.values()
    body = {"reason": "the bank called"}
    told = []
    for _ in range(2):
        at_gateway.status = "failed"
        await service.call("POST", "/admin/v1/reconciliation", role="operator", json=body)
        await service.reaches(accepted["id"], "REVERSED")
        told.append(await service.event("notifier.alerts", "alerts.problem.raised.v1", kind="refund.reversed"))
        at_gateway.status = "success"
        await service.call("POST", "/admin/v1/reconciliation", role="operator", json=body)
        [found] = (await service.call("GET", "/admin/v1/differences?open=true", role="viewer"))[1]["items"]
        adopt = {**body, "expected_version": found["version"]}
        status, answer = await service.call(
            "POST", f"/admin/v1/differences/{found['id']}/adopt", role="operator", json=adopt
        )
        assert (status, answer["refund"]["state_name"]) == (200, "SUCCESS"), answer
        told.append(
            await service.event(
                "notifier.alerts", "alerts.problem.resolved.v1", fingerprint=f"refund-reversed:{accepted['id']}"
            )
        )
    assert {each["fingerprint"] for each in told} == {f"refund-reversed:{accepted['id']}"}


async def test_a_fault_in_one_refund_is_named_and_told_and_the_others_are_compared(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault, bad = Fault(), set[str]()
    monkeypatch.setattr(CompareRefund, "__call__", fault.over(CompareRefund.__call__, lambda _, one, **__: one in bad))
    service = await start()
    refunds = []
    for number in range(3):
        await service.sandbox.put_payment(f"pay-{number}", captured=10_000)
        _, accepted = await service.request(payment_id=f"pay-{number}", business_key=f"7Q3M0V9XK2TDW8RC:{number}")
        await service.reaches(accepted["id"], "SUCCESS")
        refunds.append(accepted["id"])
    bad.add(refunds[1])
    for refund in service.sandbox.world.trust.money.refunds.values():
        refund.status = "failed"
    for dry_run in (True, True, False):
        body = {"reason": "the bank called", "dry_run": dry_run}
        status, found = await service.call("POST", "/admin/v1/reconciliation", role="operator", json=body)
        assert (status, found["failed"], found["examined"]) == (200, [f"refund {refunds[1]}"], 2), found
    told = await service.event("notifier.alerts", "alerts.problem.raised.v1", kind="task.failing")
    assert (told["details"]["task"], told["details"]["item"]) == ("reconciliation", f"refund {refunds[1]}")
    states = [(await service.refund(one))["state_name"] for one in refunds]
    assert states == ["REVERSED", "SUCCESS", "REVERSED"]
    fault.mended = True
    _, found = await service.call(
        "POST", "/admin/v1/reconciliation", role="operator", json={"reason": "the bank called"}
    )
    assert found["failed"] == []
    assert (await service.refund(refunds[1]))["state_name"] == "REVERSED"


async def test_a_status_that_is_new_to_us_is_told_by_its_word_and_is_no_failure(start: Start) -> None:
    service = await start()
    for number in range(3):
        await service.sandbox.put_payment(f"pay-{number}", captured=10_000)
    refunds = []
    for number in range(2):
        _, accepted = await service.request(payment_id=f"pay-{number}", business_key=f"7Q3M0V9XK2TDW8RC:{number}")
        await service.reaches(accepted["id"], "SUCCESS")
        refunds.append(accepted["id"])
    money = service.sandbox.world.trust.money
    theirs = {"payment_id": "pay-2", "amount": 40, "currency": "RUB"}
    stranger = money.create(key="theirs", body=theirs, declined=False, now=datetime.now(UTC) - timedelta(minutes=1))
    first, second = [one for one in money.refunds.values() if one is not stranger]
    new_word: Any = "on_hold"
    first.status = stranger.status = new_word
    second.status = "failed"
    body = {"reason": "the bank called"}
    _, found = await service.call("POST", "/admin/v1/reconciliation", role="operator", json=body)
    assert (found["registers"], found["unanswered"]) == ({"trust": "compared"}, 1)
    kinds = {(one["kind"], one["subject"]): one["detail"] for one in found["differences"]}
    [ours] = [one for one in refunds if ("status_unknown", one) in kinds]
    said = "'on_hold', which is new to us"
    assert kinds["status_unknown", ours] == f"we have SUCCESS, the gateway {said}"
    assert kinds["unknown_to_us", stranger.id] == f"40 RUB of payment pay-2, {said}"
    told = {(await service.event("notifier.alerts", "alerts.problem.raised.v1"))["details"]["detail"] for _ in range(2)}
    assert told >= {kinds["status_unknown", ours]}
    for refund in refunds:  # it stays spent; the other was reversed
        assert (await service.refund(refund))["state_name"] == ("SUCCESS" if refund == ours else "REVERSED")
    first.status = "success"
    await service.call("POST", "/admin/v1/reconciliation", role="operator", json=body)
    _, left = await service.call("GET", "/admin/v1/differences?open=true", role="viewer")
    assert [one["kind"] for one in left["items"]] == ["unknown_to_us"]
