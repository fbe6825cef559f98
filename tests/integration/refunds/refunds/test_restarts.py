"""An operator restarts a refund: the gateway is asked first, and nothing can be paid twice."""

from __future__ import annotations

from typing import Any

from tests.integration.refunds.factories import RefundsClient, Start, in_error_after_declines, in_error_although_paid
from tests.support.alert_thresholds import alert_after


async def _restart(service: RefundsClient, refund: dict[str, Any], **changes: Any) -> tuple[int, dict[str, Any]]:
    body = {"reason": "Trust says the account is open again", "expected_version": refund["version"]}
    headers = changes.pop("headers", {})
    return await service.call(
        "POST", f"/admin/v1/refunds/{refund['id']}/restart", role="operator", json=body | changes, headers=headers
    )


async def test_a_declined_refund_is_given_up_with_one_problem_and_restarted_with_a_new_key(start: Start) -> None:
    service = await start(declines=2)
    refund = await in_error_after_declines(service)
    await told_to_wait(service)
    problem = await service.event("notifier.alerts", "alerts.problem.raised.v1", kind="refund.error")
    assert (problem["fingerprint"], problem["severity"], problem["order_number"]) == (
        f"refund:{refund['id']}:2",
        "critical",
        refund["order_number"],
    )
    assert problem["details"]["money"] == "proven not to have gone out"

    await service.sandbox.heal("trust")
    status, answer = await _restart(service, refund)
    paid = await service.reaches(refund["id"], "SUCCESS")

    assert (status, answer["outcome"], answer["refund"]["state"]) == (200, "restarted", 2)
    assert (paid["attempt"], paid["error"]) == (3, None)
    ledger = await service.ledger()
    assert (ledger["refunded"], [one["status"] for one in ledger["refunds"]]) == (
        6_000,
        ["failed", "failed", "success"],
    )
    assert len({one["idempotency_key"] for one in ledger["refunds"]}) == 3
    over = await service.event("notifier.alerts", "alerts.problem.resolved.v1")
    assert over["fingerprint"] == problem["fingerprint"]
    assert await service.path(refund["id"]) == [
        *["CREATE", "SENDING", "PENDING", "DECLINED"],
        *["CREATE", "SENDING", "PENDING", "DECLINED", "ERROR"],
        *["CREATE", "SENDING", "PENDING", "SUCCESS"],
    ]
    path = f"/admin/v1/audit?target=refund:{refund['id']}&action=refund.restart"
    _, log = await service.call("GET", path, role="viewer")
    assert [(one["actor"], one["action"], one["before"]["state"], one["after"]["state"]) for one in log["items"]] == [
        ("test-operator", "refund.restart", 7, 2)
    ]


async def told_to_wait(service: RefundsClient) -> None:
    """The refund waits for a person, and what waits is late when the alerts say so."""
    status, said = await service.call("GET", "/admin/v1/queues", role="viewer")
    found = {each["name"]: each for each in said["items"]}
    assert (status, said["complete"]) == (200, True)
    assert {name: each["waiting"] for name, each in found.items() if name.startswith("refunds.")} == {
        "refunds.create": 0,
        "refunds.sending": 0,
        "refunds.pending": 0,
        "refunds.unknown": 0,
        "refunds.error": 1,
        "refunds.declined": 0,
    }
    assert (found["refunds.error"]["state"], found["dead_letters"]["state"]) == ("late", "empty")
    assert {name: each["late_after_seconds"] for name, each in found.items() if each["late_after_seconds"]} == {
        "refunds.create": alert_after("refunds", "refunds_oldest_seconds", "CREATE"),
        "refunds.pending": alert_after("refunds", "refunds_oldest_seconds", "PENDING"),
        "refunds.unknown": alert_after("refunds", "refunds_oldest_seconds", "UNKNOWN"),
        "outbox": alert_after("refunds", "outbox_oldest_seconds"),
    }


async def test_a_refund_that_was_paid_in_fact_is_adopted_and_nothing_is_sent(start: Start) -> None:
    service = await start(give_up_after=0.5)
    refund = await in_error_although_paid(service)
    problem = await service.event("notifier.alerts", "alerts.problem.raised.v1", kind="refund.error")
    assert problem["details"]["money"] == "may have gone out; counted as spent"
    _, other = await service.request(amount=6_000, business_key="another")
    assert other["code"] == "exceeds_captured"

    await service.sandbox.heal("trust")
    status, answer = await _restart(service, refund)

    assert (status, answer["outcome"], answer["refund"]["state_name"]) == (200, "adopted_success", "SUCCESS")
    ledger = await service.ledger()
    assert (ledger["refunded"], len(ledger["refunds"]), ledger["refunds"][0]["starts"]) == (6_000, 1, 1)

    whom = {"reason": "the customer asked", "order_number": refund["order_number"]}
    assert (await service.call("POST", "/admin/v1/erasures", role="admin", json=whom))[0] == 200
    said = await service.fetch("SELECT detail FROM refund_history WHERE actor <> 'refunds' ORDER BY id")
    assert {row["detail"] for row in said} == {"[masked]"}  # the person's words at the restart, too


async def test_without_an_answer_of_the_gateway_nothing_is_restarted(start: Start) -> None:
    service = await start(give_up_after=0.5)
    refund = await in_error_although_paid(service)

    status, answer = await _restart(service, refund)

    assert (status, answer["code"]) == (409, "gateway_no_answer")
    assert await service.refund(refund["id"]) == refund


async def test_after_a_long_outage_a_restart_carries_on_under_the_same_key(
    start: Start,
) -> None:
    service = await start(give_up_after=0.5)
    await service.sandbox.put_payment("pay-1", captured=10_000)
    await service.sandbox.fault("trust", mode="error", match="start_refund")
    _, accepted = await service.request()
    refund = await service.reaches(accepted["id"], "ERROR")

    await service.sandbox.heal("trust")
    status, answer = await _restart(service, refund)
    await service.reaches(refund["id"], "SUCCESS")

    assert (status, answer["outcome"], answer["refund"]["attempt"]) == (200, "restarted", 2)
    ledger = await service.ledger()
    assert (ledger["refunded"], len(ledger["refunds"])) == (6_000, 1)


async def test_only_a_refund_in_error_at_the_version_that_was_looked_at_is_restarted(start: Start) -> None:
    service = await start(declines=1)
    refund = await in_error_after_declines(service)
    stale = await _restart(service, refund, expected_version=refund["version"] - 1)
    tried = await _restart(service, refund, dry_run=True)
    assert (stale[0], stale[1]["code"]) == (409, "version_mismatch")
    assert (tried[0], tried[1]["outcome"], tried[1]["dry_run"]) == (200, "restarted", True)
    assert await service.refund(refund["id"]) == refund

    await service.sandbox.heal("trust")
    first = await _restart(service, refund, headers={"Idempotency-Key": "press-1"})
    await service.reaches(refund["id"], "SUCCESS")
    pressed_again = await _restart(service, refund, headers={"Idempotency-Key": "press-1"})
    another = await _restart(service, await service.refund(refund["id"]))

    assert first == pressed_again
    assert (another[0], another[1]["code"]) == (409, "not_in_error")
    assert (await service.ledger())["refunded"] == 6_000


async def test_operators_find_refunds_and_viewers_change_nothing(start: Start) -> None:
    service = await start(declines=1)
    refund = await in_error_after_declines(service)
    for state in ("7", "ERROR", "RS_ERROR"):
        _, page = await service.call(
            "GET", f"/admin/v1/refunds?state={state}&order={refund['order_number']}", role="viewer"
        )
        assert page == {"items": [refund], "next_cursor": None}
    assert (await service.call("GET", "/admin/v1/refunds?state=5", role="viewer"))[1]["items"] == []
    assert (await service.call("GET", "/admin/v1/refunds?state=nonsense", role="viewer"))[0] == 400
    body = {"reason": "because", "expected_version": refund["version"]}
    refused = await service.call("POST", f"/admin/v1/refunds/{refund['id']}/restart", role="viewer", json=body)
    assert (refused[0], refused[1]["code"]) == (403, "forbidden")
    missing = await service.call("GET", "/admin/v1/refunds/00000000-0000-0000-0000-000000000000/history", role="viewer")
    assert (missing[0], missing[1]["code"]) == (404, "unknown_refund")
