"""People close a refund in RS_ERROR. Nothing is sent for it again, its sum stays right, and what the gateway says later is seen."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from tests.integration.refunds.factories import (
    RefundsClient,
    Start,
    act,
    in_error_after_declines,
    in_error_although_paid,
)


async def test_what_was_settled_outside_and_paid_after_all_is_told_once_and_counted_once(start: Start) -> None:
    service = await start(give_up_after=0.5)
    refund = await in_error_although_paid(service)
    body = {"settled": "outside", "expected_version": refund["version"]}

    tried = await act(service, f"refunds/{refund['id']}/close", dry_run=True, **body)
    assert (tried[0], tried[1]["outcome"], tried[1]["gateway"]) == (200, "closed", "nothing")
    assert await service.refund(refund["id"]) == refund
    status, closed = await act(service, f"refunds/{refund['id']}/close", key="press", **body)
    assert (status, closed) == await act(service, f"refunds/{refund['id']}/close", key="press", **body)
    assert (status, closed["refund"]["state_name"], closed["refund"]["settled"]) == (200, "CLOSED", "outside")
    over = await service.event("notifier.alerts", "alerts.problem.resolved.v1")
    assert over["fingerprint"] == f"refund:{refund['id']}:1"
    _, other = await service.request(amount=6_000, business_key="another")
    assert other["code"] == "exceeds_captured"  # the customer has it: it counts as spent

    await service.sandbox.heal("trust")
    status, checked = await act(service, f"refunds/{refund['id']}/check")
    assert (status, checked["gateway"], checked["refund"]["state_name"]) == (200, "succeeded", "SUCCESS")
    assert checked["difference"]["kind"] == "paid_after_all"
    problem = await service.event("notifier.alerts", "alerts.problem.raised.v1", kind="refund.difference")
    assert (problem["severity"], problem["order_number"]) == ("critical", refund["order_number"])
    assert problem["details"]["refund_id"] == refund["id"]  # its notice links the refund
    assert (await act(service, "reconciliation"))[0] == 200
    (difference,) = (await service.call("GET", "/admin/v1/differences?open=true", role="viewer"))[1]["items"]
    assert (difference["kind"], difference["subject"], difference["amount"]) == ("paid_after_all", refund["id"], 6_000)

    path, body = f"differences/{difference['id']}/acknowledge", {"expected_version": difference["version"]}
    assert (await act(service, path, dry_run=True, **body))[0] == 200
    both = await asyncio.gather(act(service, path, **body), act(service, path, **body))
    assert sorted(status for status, _ in both) == [200, 409]
    ended = await service.event("notifier.alerts", "alerts.problem.resolved.v1")
    assert ended["fingerprint"] == problem["fingerprint"]
    assert (await act(service, "reconciliation"))[0] == 200
    stored = (await service.call("GET", "/admin/v1/differences", role="viewer"))[1]["items"]
    assert [(one["acknowledged_by"], one["over_at"]) for one in stored] == [("test-operator", None)]
    assert await service.raised("refund.difference") == []  # told once

    ledger = await service.ledger()
    assert (ledger["refunded"], [one["starts"] for one in ledger["refunds"]]) == (6_000, [1])
    assert await service.sums("pay-1") == (10_000, 6_000)
    assert await service.path(refund["id"]) == ["CREATE", "SENDING", "UNKNOWN", "ERROR", "CLOSED", "SUCCESS"]
    _, log = await service.call("GET", "/admin/v1/audit", role="viewer")
    acts = [one["action"] for one in reversed(log["items"])]
    assert acts == [
        *("refund.request", "refund.close", "refund.check", "refunds.reconcile"),
        *("difference.acknowledge", "refunds.reconcile"),
    ]


async def test_what_is_given_up_and_proven_unpaid_may_be_asked_for_again(start: Start) -> None:
    service = await start(declines=1)
    line = {"id": "sku-1", "quantity": "3", "of_quantity": "3", "paid": 6_000}
    refund = await in_error_after_declines(service, lines=[line])

    closing = {"settled": "given_up", "expected_version": refund["version"]}
    status, closed = await act(service, f"refunds/{refund['id']}/close", **closing)
    assert (status, closed["outcome"], closed["gateway"]) == (200, "closed", "failed")
    told = await service.event("orchestrator.refunds", "refunds.refund.state_changed.v1", state_name="CLOSED")
    assert (told["settled"], told["released"]) == ("given_up", True)
    again = closed["refund"]["version"]
    restarted = await act(service, f"refunds/{refund['id']}/restart", expected_version=again)
    assert (restarted[0], restarted[1]["code"]) == (409, "not_in_error")
    await service.sandbox.heal("trust")
    _, second = await service.request(business_key="again", lines=[line])
    await service.reaches(second["id"], "SUCCESS")
    assert await service.sums("pay-1") == (10_000, 6_000)

    # Closed again, to correct how it was settled: the customer had it all along, as far as the payment has room.
    status, corrected = await act(service, f"refunds/{refund['id']}/close", settled="outside", expected_version=again)
    assert (status, corrected["refund"]["settled"]) == (200, "outside")
    assert await service.sums("pay-1") == (10_000, 10_000)
    assert (await service.ledger())["refunded"] == 6_000


async def test_of_operators_who_close_restart_and_check_at_once_one_wins(start: Start) -> None:
    service = await start(declines=1)
    await service.sandbox.put_payment("pay-1", captured=100_000)
    for number in range(8):
        refund = await in_error_after_declines(service, amount=1_000, business_key=f"w-{number}")
        await service.sandbox.heal("trust")
        version, path = {"expected_version": refund["version"]}, f"refunds/{refund['id']}"
        answers = await asyncio.gather(
            act(service, f"{path}/close", settled="outside", **version),
            act(service, f"{path}/restart", **version),
            act(service, f"{path}/close", settled="given_up", **version),
            act(service, f"{path}/check"),
        )
        won = [status for status, _ in answers[:3]].count(200)
        codes = {body["code"] for status, body in answers if status != 200}
        assert (won, codes <= {"version_mismatch", "not_in_error", "overtaken"}) == (1, True), answers
    for row in await service.fetch("SELECT id, state FROM refunds"):
        if row["state"] == 2:
            await service.reaches(str(row["id"]), "SUCCESS")
    restarted = await service.fetch("SELECT count(*) AS n FROM refunds WHERE state = 5")
    ledger = await service.ledger()
    assert ledger["refunded"] == 1_000 * restarted[0]["n"]
    assert all(one["payouts"] <= 1 for one in ledger["refunds"])


async def test_only_a_refund_in_error_is_closed_with_a_reason_and_by_an_operator(start: Start) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=10_000)
    _, accepted = await service.request()
    paid = await service.reaches(accepted["id"], "SUCCESS")
    path, body = f"refunds/{paid['id']}/close", {"settled": "outside", "expected_version": paid["version"]}

    found = [
        await act(service, path, **body),
        await act(service, path, **(body | {"settled": "somehow"})),
        await act(service, path, **(body | {"reason": "   "})),
        await act(service, path, role="viewer", **body),
        await act(service, "refunds/00000000-0000-0000-0000-000000000000/close", **body),
        await act(service, "differences/77/adopt", expected_version=1),
        await act(service, "differences/x/acknowledge", expected_version=1),
    ]

    assert [(status, answer["code"]) for status, answer in found] == [
        (409, "not_in_error"),
        (422, "unprocessable"),
        (422, "unprocessable"),
        (403, "forbidden"),
        (404, "unknown_refund"),
        (404, "unknown_difference"),
        (404, "not_found"),
    ]
    assert await service.refund(paid["id"]) == paid


async def test_a_refund_made_by_hand_at_the_gateway_is_adopted_once_and_counts_as_spent(start: Start) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=10_000, polls=0)
    _, accepted = await service.request()
    await service.reaches(accepted["id"], "SUCCESS")
    stranger = await by_hand(service, amount=3_000)
    assert (await act(service, "reconciliation"))[0] == 200
    (difference,) = (await service.call("GET", "/admin/v1/differences?kind=unknown_to_us", role="viewer"))[1]["items"]
    assert (difference["subject"], difference["amount"], difference["payment_id"]) == (stranger, 3_000, "pay-1")
    path, body = f"differences/{difference['id']}/adopt", {"expected_version": difference["version"]}

    tried = await act(service, path, dry_run=True, **body)
    assert (tried[0], await service.sums("pay-1")) == (200, (10_000, 6_000))
    both = await asyncio.gather(*(act(service, path, **body) for _ in range(4)))
    assert sorted(status for status, _ in both) == [200, 409, 409, 409]
    adopted = next(answer for status, answer in both if status == 200)

    assert (adopted["refund"]["state_name"], adopted["refund"]["amount"]) == ("SUCCESS", 3_000)
    assert adopted["refund"]["order_number"] == "7Q3M0V9XK2TDW8RC"
    assert await service.sums("pay-1") == (10_000, 9_000)
    _, other = await service.request(amount=1_001, business_key="too much")
    assert other["code"] == "exceeds_captured"
    _, found = await act(service, "reconciliation")
    assert (found["differences"], found["registers"]) == ([], {"trust": "compared"})
    assert (await service.ledger())["refunded"] == 9_000  # nothing was sent for it


async def by_hand(service: RefundsClient, *, amount: int) -> str:
    """Somebody refunds at Trust's own desk."""
    money: Any = service.sandbox.world.trust.money
    made = money.create(
        key="by hand",
        body={"payment_id": "pay-1", "amount": amount, "currency": "RUB"},
        declined=False,
        now=datetime.now(UTC),
    )
    made.status, made.payouts = "success", 1
    return str(made.id)
