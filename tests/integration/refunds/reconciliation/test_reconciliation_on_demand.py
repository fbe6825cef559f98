"""An operator reconciles with the payment systems."""

from __future__ import annotations

from tests.integration.refunds.factories import Start


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
