"""People and a gateway at cross purposes: sums that no longer fit, differences that change, answers that come while somebody decides."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

from tests.integration.refunds.factories import (
    RefundsClient,
    Start,
    act,
    in_error_after_declines,
    in_error_although_paid,
)
from tests.support.servers import eventually


async def differences(service: RefundsClient, query: str = "") -> list[dict[str, Any]]:
    """The differences that an operator sees."""
    _, page = await service.call("GET", f"/admin/v1/differences?{query}", role="viewer")
    return list(page["items"])


async def refused_and_paid_otherwise(service: RefundsClient) -> dict[str, Any]:
    """A refund of 6,000 that Trust declined for good; 8,000 of the payment's 10,000 went back by another one since."""
    refund = await in_error_after_declines(service)
    await service.sandbox.heal("trust")
    _, other = await service.request(amount=8_000, business_key="another")
    await service.reaches(other["id"], "SUCCESS")
    return refund


async def test_more_settled_outside_than_was_captured_is_told_until_it_fits(start: Start) -> None:
    service = await start(declines=1)
    refund = await refused_and_paid_otherwise(service)
    closing = {"settled": "outside", "expected_version": refund["version"]}

    assert (await act(service, f"refunds/{refund['id']}/close", **closing))[1]["outcome"] == "closed"
    told = await service.event("notifier.alerts", "alerts.problem.raised.v1", kind="refund.difference")
    assert told["details"]["detail"] == "10000 RUB are captured, 14000 refunded, on their way or settled outside"
    assert await service.sums("pay-1") == (10_000, 10_000)

    # The shop captured more: as much of it as the customer has by the other way counts as spent.
    await service.sandbox.put_payment("pay-1", captured=13_000)
    assert (await act(service, f"refunds/{refund['id']}/check"))[0] == 200
    assert await service.sums("pay-1") == (13_000, 13_000)
    assert [one["amount"] for one in await differences(service, "open=true")] == [13_000]
    await service.sandbox.put_payment("pay-1", captured=14_500)
    assert (await act(service, f"refunds/{refund['id']}/check"))[0] == 200
    assert await service.sums("pay-1") == (14_500, 14_000)
    over = await service.event("notifier.alerts", "alerts.problem.resolved.v1", fingerprint=told["fingerprint"])
    assert (over["summary"], await differences(service, "open=true")) == ("Refund pay-1 and trust agree", [])
    assert (await service.request(amount=501, business_key="more"))[1]["code"] == "exceeds_captured"
    assert (await service.ledger())["refunded"] == 8_000


async def test_a_restart_reads_again_what_was_captured_before_it_says_no(start: Start) -> None:
    service = await start(declines=1)
    refund = await refused_and_paid_otherwise(service)
    path, body = f"refunds/{refund['id']}/restart", {"expected_version": refund["version"]}

    status, refused = await act(service, path, **body)
    assert (status, refused["code"]) == (409, "exceeds_captured")
    await service.sandbox.put_payment("pay-1", captured=14_000)
    status, _ = await act(service, path, dry_run=True, **body)
    assert (status, await service.sums("pay-1")) == (409, (10_000, 8_000))

    async def restarted() -> bool:
        return (await act(service, path, **body))[1].get("outcome") == "restarted"

    await eventually(restarted)  # what was read within the same second is not read again
    await service.reaches(refund["id"], "SUCCESS")
    assert (await service.sums("pay-1"), (await service.ledger())["refunded"]) == ((14_000, 14_000), 14_000)


async def test_an_acknowledged_difference_that_becomes_another_is_told_again(start: Start) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=10_000, polls=0)
    _, accepted = await service.request()
    await service.reaches(accepted["id"], "SUCCESS")
    money: Any = service.sandbox.world.trust.money
    body = {"payment_id": "pay-1", "amount": 3_000, "currency": "RUB"}
    made = money.create(key="by hand", body=body, declined=False, now=datetime.now(UTC))
    made.status, made.polls_left = "wait_for_notification", 99

    assert (await act(service, "reconciliation"))[0] == 200
    told = await service.event("notifier.alerts", "alerts.problem.raised.v1", kind="refund.difference")
    (found,) = await differences(service)
    acknowledging = f"differences/{found['id']}/acknowledge", {"expected_version": found["version"]}
    assert (await act(service, acknowledging[0], **acknowledging[1]))[0] == 200
    assert (await act(service, "reconciliation"))[0] == 200
    assert await service.raised("refund.difference") == []  # it is the same

    made.status, made.payouts = "success", 1
    assert (await act(service, "reconciliation"))[0] == 200
    again = await service.event("notifier.alerts", "alerts.problem.raised.v1", kind="refund.difference")
    assert (again["fingerprint"], again["details"] == told["details"]) == (told["fingerprint"], False)
    (changed,) = await differences(service, "open=true")
    stale = await act(service, acknowledging[0], **acknowledging[1])
    assert (stale[0], stale[1]["code"]) == (409, "version_mismatch")
    adopted = await act(service, f"differences/{found['id']}/adopt", expected_version=changed["version"])
    assert (adopted[0], await service.sums("pay-1")) == (200, (10_000, 9_000))


async def test_a_gateway_that_answers_while_people_decide_is_heard_and_pays_once(start: Start) -> None:
    service = await start(give_up_after=0.5)
    for payment_id, settled in (("pay-1", "outside"), ("pay-2", "given_up")):
        refund = await in_error_although_paid(service, payment_id)
        (name,) = [one["trust_refund_id"] for one in (await service.ledger(payment_id))["refunds"]]
        await service.sandbox.heal("trust")
        await service.sandbox.fault("trust", mode="slow", match="get_refund", count=2, delay_s=0.4)
        path, body = f"refunds/{refund['id']}", {"expected_version": refund["version"]}

        async def notify(name: str = name) -> tuple[int, dict[str, Any]]:
            return await service.call("POST", "/notifications/v1/trust", json={"trust_refund_id": name})

        answers = await asyncio.gather(
            act(service, f"{path}/close", settled=settled, **body),
            act(service, f"{path}/restart", **body),
            act(service, f"{path}/check"),
            notify(),
            notify(),
        )
        assert {answer.get("code") for status, answer in answers if status != 200} <= {
            *("version_mismatch", "overtaken", "not_in_error")
        }, answers
        after = await service.reaches(refund["id"], "SUCCESS")
        assert (await act(service, "reconciliation"))[0] == 200
        told = [one["kind"] for one in await differences(service, f"subject={refund['id']}&open=true")]
        assert told == (["paid_after_all"] if after["settled"] else [])
        ledger = await service.ledger(payment_id)
        assert (ledger["refunded"], [one["payouts"] for one in ledger["refunds"]]) == (6_000, [1])
        assert await service.sums(payment_id) == (10_000, 6_000)


async def test_what_was_closed_is_asked_for_again_under_its_key_and_stays_closed(start: Start) -> None:
    service = await start(declines=1)
    refund = await in_error_after_declines(service)
    await service.sandbox.heal("trust")
    closing = {"settled": "given_up", "expected_version": refund["version"]}
    assert (await act(service, f"refunds/{refund['id']}/close", **closing))[0] == 200

    found = [await service.request(), await service.request(amount=1)]
    assert [(status, body.get("state_name", body.get("code"))) for status, body in found] == [
        (202, "CLOSED"),
        (409, "business_key_reused"),
    ]
    assert (await service.ledger())["refunded"] == 0


async def test_odd_input_to_the_exits_is_refused_and_changes_nothing(start: Start) -> None:
    service = await start(declines=1)
    refund = await in_error_after_declines(service)
    path, version = f"refunds/{refund['id']}", refund["version"]
    odd: list[Any] = [None, True, "1", -1, 0, 1.5, 10**30, [version], {"$gt": 0}, "\u0000"]
    tried = [
        *(await asyncio.gather(*(act(service, f"{path}/close", settled="outside", expected_version=v) for v in odd))),
        *(await asyncio.gather(*(act(service, f"{path}/restart", expected_version=v) for v in odd))),
        *(await asyncio.gather(*(act(service, f"{path}/close", settled=v, expected_version=version) for v in odd))),
        *(
            await asyncio.gather(
                *(act(service, "differences/1/adopt", expected_version=1, order_number=v) for v in odd[1:])
            )
        ),
        await act(service, "differences/99999999999999999999999/adopt"),
        await act(service, "differences/%00/acknowledge"),
        await act(service, f"{path}/close", settled="outside", expected_version=version, reason="a\u0000b\ud800"),
    ]
    assert {status for status, _ in tried} <= {400, 404, 409, 422}, tried
    for body in (
        "",
        "[]",
        "null",
        "\u0000",
        '{"trust_refund_id": "\\u0000"}',
        json.dumps({"trust_refund_id": "x" * 10**5}),
    ):
        async with service.http.post("/notifications/v1/trust", data=body.encode()) as answer:
            assert answer.status == 200
    assert await service.refund(refund["id"]) == refund
