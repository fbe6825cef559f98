"""What is asked for: a business key stands for one sum, every request is audited, and what was captured is read again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from common.contracts import Envelope
from common.contracts.orders import RefundWantedV1
from common.messaging import Broker
from tests.integration.refunds.factories import Start
from tests.support.servers import eventually

NUMBER = "7Q3M0V9XK2TDW8RC"
LINE: dict[str, Any] = {"id": "sku-1", "quantity": "1", "of_quantity": "3", "paid": 300}


async def _publish(broker: Broker, event_id: str, **changes: Any) -> None:
    wanted: dict[str, Any] = {
        "order_number": NUMBER,
        "payment_id": "pay-1",
        "amount": 1_000,
        "currency": "RUB",
        "reason": "asked by event",
        "business_key": "by-event",
    }
    message = RefundWantedV1(**(wanted | changes))
    envelope = Envelope.of(message, event_id=event_id, source="/orders", subject=NUMBER, time=datetime.now(UTC))
    await broker.publisher.publish(envelope)


async def test_a_business_key_used_for_another_sum_is_refused_and_says_the_sum(start: Start, broker: Broker) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=10_000)
    _, first = await service.request(amount=1_000)
    await service.reaches(
        first["id"], "SUCCESS"
    )  # from now on it is known what was captured: each sum is taken as it is asked for
    _, by_lines = await service.request(amount=None, lines=[LINE], business_key="lines")
    _, everything = await service.request(amount=None, business_key="everything")
    found = [
        await service.request(amount=1_000),
        await service.request(amount=5_000),
        await service.request(amount=1_000, currency="USD"),
        await service.request(amount=None),
        await service.request(amount=1_000, lines=[LINE]),
        await service.request(amount=None, lines=[LINE], business_key="lines"),
        await service.request(amount=100, lines=[LINE], business_key="lines"),
        await service.request(amount=None, lines=[LINE | {"quantity": "2"}], business_key="lines"),
        await service.request(amount=None, business_key="everything"),
        await service.request(amount=1, business_key="everything"),
    ]
    assert [(status, body.get("id") or body["code"]) for status, body in found] == [
        (202, first["id"]),
        (409, "business_key_reused"),
        (409, "business_key_reused"),
        (409, "business_key_reused"),
        (409, "business_key_reused"),
        (202, by_lines["id"]),
        (202, by_lines["id"]),
        (409, "business_key_reused"),
        (202, everything["id"]),
        (409, "business_key_reused"),
    ]
    refused = found[1][1]
    assert "1000 RUB" in refused["detail"]
    assert [(one["field"], one["message"]) for one in refused["fields"]] == [("amount", "1000 RUB")]

    await _publish(broker, "event-1", business_key=f"{NUMBER}:cancel", amount=5_000)
    rejected = await service.event("orchestrator.refunds", "refunds.refund.rejected.v1")
    assert (rejected["code"], "1000 RUB" in rejected["detail"]) == ("business_key_reused", True)
    for one in (by_lines, everything):
        await service.reaches(one["id"], "SUCCESS")
    assert (await service.ledger())["refunded"] == 10_000  # 1000, 100 and what was left: each once


async def test_a_request_for_a_refund_is_audited_and_has_a_real_reason(start: Start) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=10_000)
    for reason in (" ", "", "ok", None, "\u200b\u200b\u200b"):
        assert (await service.request(reason=reason))[0] == 422
    assert (await service.request(amout=100))[0] == 422, "a misspelt sum would be everything that was captured"
    for amount in (0, -1, True, "100", 0.5, 100.0, 10**16):
        assert (await service.request(amount=amount))[0] == 422
    for currency in ("rub", "XXX", "RUR", "643", " RUB", ""):
        assert (await service.request(currency=currency))[0] == 422
    for key in ("   ", "K ", "\nK", "K\u00a0"):  # would pay twice: by the one before without it, or with it
        assert (await service.request(business_key=key))[0] == 422
    body = {
        "order_number": NUMBER,
        "payment_id": "pay-1",
        "amount": 500,
        "currency": "RUB",
        "reason": "call +7 916 123-45-67 about the sour milk",
        "business_key": "operator-1",
    }
    path = "/refunds/v1/refunds"
    assert (await service.call("POST", path, role="viewer", json=body))[0] == 403
    tried = await service.call("POST", path, role="operator", json=body | {"dry_run": True})
    assert (tried[0], await service.fetch("SELECT id FROM refunds")) == (202, [])
    for _ in range(2):
        status, accepted = await service.call("POST", path, role="operator", json=body)
    assert status == 202
    _, log = await service.call("GET", "/admin/v1/audit", role="viewer")
    entry, refused = log["items"]
    assert (refused["actor"], refused["action"]) == ("test-viewer", "call.refused")
    assert (entry["actor"], entry["action"], entry["target"], entry["before"], entry["after"]["amount"]) == (
        "test-operator",
        "refund.request",
        f"refund:{accepted['id']}",
        None,
        500,
    )
    assert "123-45" not in str(log["items"][0])
    (kept,) = await service.fetch("SELECT reason FROM refunds")
    assert ("123-45" in kept["reason"], "sour milk" in kept["reason"]) == (False, True)

    assert (await service.request(business_key="service-1", amount=600))[0] == 202
    _, log = await service.call("GET", "/admin/v1/audit", role="viewer")
    named = [(entry["actor"], entry["role"], entry["after"]["amount"]) for entry in log["items"][:2]]
    assert named == [("test-internal", "internal", 600), ("test-operator", "operator", 500)]


@pytest.mark.parametrize("by_event", [False, True])
async def test_what_was_captured_is_read_again_before_a_sum_is_refused(
    start: Start, broker: Broker, *, by_event: bool
) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=1_000)
    _, first = await service.request(amount=900)
    await service.reaches(first["id"], "SUCCESS")
    await service.sandbox.control("PUT", "/sandbox/trust/payments/pay-1", {"captured": 3_000})  # the rest was captured

    async def not_just_read() -> bool:
        (row,) = await service.fetch("SELECT now() - captured_at > interval '1.1 s' AS old FROM payments")
        return bool(row["old"])

    await eventually(not_just_read)

    if by_event:
        await _publish(broker, "more", amount=2_000)
        await _publish(broker, "too much", amount=2_000, business_key="too much")
        refused = await service.event("orchestrator.refunds", "refunds.refund.rejected.v1")
        assert refused["code"] == "exceeds_captured"
    else:
        status, _ = await service.request(amount=2_000, business_key="more")
        assert status == 202
        _, refused = await service.request(amount=2_000, business_key="too much")
        assert refused["code"] == "exceeds_captured"

    async def paid() -> bool:
        return bool((await service.ledger())["refunded"] == 2_900)

    await eventually(paid)
    assert await service.sums("pay-1") == (3_000, 2_900)


async def test_a_rehearsal_asks_what_was_captured_and_answers_as_the_refund_would_end(start: Start) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=1_000)
    await service.sandbox.put_payment("pay-0", captured=0)
    for wanted, code in (
        ({"amount": 1_001}, "exceeds_captured"),
        ({"amount": 1_000, "currency": "KZT"}, "currency_mismatch"),
        ({"amount": 5, "payment_id": "pay-0"}, "nothing_captured"),
    ):
        status, refused = await service.request(**wanted, dry_run=True)
        assert (status, refused["code"]) == (409, code)
    status, plan = await service.request(amount=1_000, dry_run=True)
    assert (status, plan["state_name"]) == (202, "CREATE")
    assert await service.fetch("SELECT payment_id FROM payments") == []
    assert await service.fetch("SELECT id FROM refunds") == []
    _, done = await service.request(amount=1_000)
    await service.reaches(done["id"], "SUCCESS")
    status, refused = await service.request(amount=1, business_key="again", dry_run=True)
    assert (status, refused["code"]) == (409, "nothing_left")


async def test_a_rehearsal_while_the_payment_system_is_away_is_not_refused(start: Start) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=1_000)
    await service.sandbox.fault("trust", mode="error")
    status, _ = await service.request(amount=1_001, dry_run=True)
    assert status == 202  # nobody can tell: the refund would wait, too


async def test_a_notification_about_a_payment_has_what_was_captured_read_again(start: Start) -> None:
    service = await start()
    yookassa: dict[str, Any] = {"yookassa_shop_id": "1234", "yookassa_secret_key": "secret"}
    service = await start(**yookassa, gateway_of_payment={"yk-": "yookassa"}, yookassa_url=service.sandbox.url)
    control = service.sandbox.control
    await control("PUT", "/sandbox/yookassa/payments/yk-1", {"captured": 1_000})
    _, first = await service.request(payment_id="yk-1", amount=900)
    await service.reaches(first["id"], "SUCCESS")
    await control("PUT", "/sandbox/yookassa/payments/yk-1", {"captured": 3_000})
    claims = {
        "type": "notification",
        "event": "payment.succeeded",
        "object": {"id": "yk-1", "amount": "believed in nothing"},
    }
    async with service.http.post("/notifications/v1/yookassa", json=claims) as answer:
        assert answer.status == 200
    assert await service.sums("yk-1") == (3_000, 900)

    await control("PUT", "/sandbox/yookassa/payments/yk-1", {"captured": 500})  # less than what went back
    async with service.http.post("/notifications/v1/yookassa", json=claims) as answer:
        assert answer.status == 200
    assert await service.sums("yk-1") == (900, 900)
    problem = await service.event("notifier.alerts", "alerts.problem.raised.v1", kind="refund.difference")
    assert problem["details"]["difference"] == "captured_below_refunded"
    assert (await service.request(payment_id="yk-1", amount=1, business_key="one more"))[1]["code"] == "nothing_left"
