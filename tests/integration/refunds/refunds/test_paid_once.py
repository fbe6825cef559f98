"""The way of a refund through Trust: paid once, whatever happens to the answers, never more than was captured."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from common.contracts import Envelope
from common.contracts.orders import RefundWantedV1
from common.contracts.refunds import TCreateRefundV1
from common.messaging import Broker
from tests.integration.refunds.factories import Start
from tests.support.servers import TestRabbit, as_served, eventually


async def test_a_refund_is_paid_through_trust_and_every_step_is_published(start: Start) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=10_000)

    status, accepted = await service.request()
    paid = await service.reaches(accepted["id"], "SUCCESS")

    assert (status, accepted["state"]) == (202, 2)
    assert {key: paid[key] for key in ("amount", "currency", "attempt", "version", "error", "next_attempt_at")} == {
        "amount": 6_000,
        "currency": "RUB",
        "attempt": 1,
        "version": 4,
        "error": None,
        "next_attempt_at": None,
    }
    assert await service.path(accepted["id"]) == ["CREATE", "SENDING", "PENDING", "SUCCESS"]
    ledger = await service.ledger()
    assert (ledger["refunded"], len(ledger["refunds"]), ledger["refunds"][0]["starts"]) == (6_000, 1, 1)
    published = await service.event("orchestrator.refunds", "refunds.refund.state_changed.v1", state_name="SUCCESS")
    assert (published["refund_id"], published["amount"], published["business_key"]) == (
        accepted["id"],
        6_000,
        paid["business_key"],
    )
    line = await service.event("orchestrator.journal", "journal.entry.recorded.v1", kind="refund.success")
    assert line["order_number"] == paid["order_number"]


async def test_the_same_business_key_gives_the_same_refund(start: Start) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=10_000)

    answers = await asyncio.gather(*(service.request() for _ in range(10)))
    await service.reaches(answers[0][1]["id"], "SUCCESS")
    again = await service.request()
    other = await service.request(payment_id="pay-2")

    assert {status for status, _ in answers} == {202}
    assert len({body["id"] for _, body in [*answers, again]}) == 1
    assert (other[0], other[1]["code"]) == (409, "business_key_reused")
    assert (await service.ledger())["refunded"] == 6_000


@pytest.mark.parametrize("mode", ["lost_response", "error", "reset", "timeout", "rate_limit"])
async def test_whatever_call_goes_wrong_the_money_moves_once(start: Start, mode: str) -> None:
    service = await (start(gateway_deadline=0.5) if mode == "timeout" else start())
    for operation in ("get_payment", "create_refund", "start_refund", "get_refund"):
        await service.sandbox.put_payment(f"pay-{operation}", captured=10_000)
        await service.sandbox.fault("trust", mode=mode, count=2, match=operation)

        _, accepted = await service.request(payment_id=f"pay-{operation}", business_key=operation)
        await service.reaches(accepted["id"], "SUCCESS")

        ledger = await service.ledger(f"pay-{operation}")
        assert (ledger["refunded"], ledger["spent"], len(ledger["refunds"])) == (6_000, 6_000, 1)


async def test_an_error_after_the_effect_is_found_out(start: Start) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=10_000)
    await service.sandbox.fault("trust", mode="error", count=1, match="create_refund", effect=True)
    await service.sandbox.fault("trust", mode="error", count=1, match="start_refund", effect=True)

    _, accepted = await service.request()
    await service.reaches(accepted["id"], "SUCCESS")

    assert "UNKNOWN" in await service.path(accepted["id"])
    assert (await service.ledger())["refunded"] == 6_000


async def test_of_fifty_refunds_at_once_only_what_was_captured_is_given(start: Start) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=110)
    _, first = await service.request(amount=10, business_key="first")
    await service.reaches(first["id"], "SUCCESS")  # from now on it is known that 110 were captured, and 100 are left

    answers = await asyncio.gather(*(service.request(amount=60, business_key=f"request-{n}") for n in range(50)))

    outcomes = sorted((status, body.get("code", "")) for status, body in answers)
    assert outcomes == [(202, ""), *[(409, "exceeds_captured")] * 49]
    winner = next(body["id"] for status, body in answers if status == 202)
    await service.reaches(winner, "SUCCESS")
    assert (await service.ledger())["refunded"] == 70


async def test_requests_from_before_the_sum_was_known_are_settled_before_sending(start: Start) -> None:
    service = await start()
    await service.sandbox.fault("trust", mode="error", match="get_payment")
    await service.sandbox.put_payment("pay-1", captured=100)
    answers = await asyncio.gather(*(service.request(amount=60, business_key=f"request-{n}") for n in range(10)))
    assert {status for status, _ in answers} == {202}

    await service.sandbox.heal("trust")

    async def settled() -> list[str]:
        found = [(await service.refund(body["id"]))["state_name"] for _, body in answers]
        assert set(found) <= {"SUCCESS", "REJECTED"}
        return found

    states = await eventually(settled)
    assert sorted(states) == ["REJECTED"] * 9 + ["SUCCESS"]
    assert (await service.ledger())["spent"] == 60
    published = await service.event("orchestrator.refunds", "refunds.refund.rejected.v1", code="exceeds_captured")
    assert published["payment_id"] == "pay-1"


async def test_everything_captured_is_what_is_not_refunded_yet(start: Start, broker: Broker) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=10_000)
    _, part = await service.request(amount=2_500, business_key="part")
    await service.reaches(part["id"], "SUCCESS")

    wanted = RefundWantedV1(
        order_number="7Q3M0V9XK2TDW8RC",
        payment_id="pay-1",
        amount=None,
        currency="RUB",
        reason="order cancelled",
        business_key="7Q3M0V9XK2TDW8RC:cancel",
    )
    for event_id in ("wanted-1", "wanted-1", "wanted-2"):  # delivered twice, and asked for twice
        await broker.publisher.publish(_event(wanted, event_id))

    published = await service.event(
        "orchestrator.refunds", "refunds.refund.state_changed.v1", state_name="SUCCESS", amount=7_500
    )
    assert published["business_key"] == wanted.business_key
    ledger = await service.ledger()
    assert (ledger["refunded"], len(ledger["refunds"])) == (10_000, 2)

    await broker.publisher.publish(_event(wanted.model_copy(update={"business_key": "too late"}), "wanted-3"))
    rejected = await service.event("orchestrator.refunds", "refunds.refund.rejected.v1", business_key="too late")
    assert rejected["code"] == "nothing_left"


async def test_tcreaterefund_of_one_attempt_is_carried_out_once(start: Start, broker: Broker) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=10_000)
    _, accepted = await service.request()
    await service.reaches(accepted["id"], "SUCCESS")

    message = TCreateRefundV1(refund_id=accepted["id"], attempt=1)
    for event_id in ("again-1", "again-2"):
        await broker.publisher.publish(_event(message, event_id))
    await broker.publisher.publish(_event(message.model_copy(update={"attempt": 9}), "another-attempt"))

    async def taken() -> bool:
        rows = await service.fetch("SELECT event_id FROM inbox WHERE consumer = 'refunds.work' ORDER BY 1")
        return [row["event_id"] for row in rows] == [f"{accepted['id']}:1", f"{accepted['id']}:9"]

    await eventually(taken)
    assert await service.path(accepted["id"]) == ["CREATE", "SENDING", "PENDING", "SUCCESS"]
    assert (await service.ledger())["refunded"] == 6_000


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"payment_id": "nobody-knows"}, "payment_unknown"),
        ({"currency": "KZT"}, "currency_mismatch"),
        ({"amount": 10_001}, "exceeds_captured"),
        ({"payment_id": "not-captured"}, "nothing_captured"),
    ],
)
async def test_what_cannot_be_refunded_is_rejected_with_a_code(
    start: Start, changes: dict[str, Any], code: str
) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=10_000)
    await service.sandbox.put_payment("not-captured", captured=0)

    status, accepted = await service.request(**changes)
    rejected = await service.reaches(accepted["id"], "REJECTED")

    assert (status, rejected["error"]) == (202, code)
    assert not [entry for entry in await service.sandbox.log("trust") if entry["operation"] == "create_refund"]


async def test_an_order_without_a_payment_of_ours_cannot_be_refunded(start: Start) -> None:
    service = await start()
    status, body = await service.request(payment_id=None)
    assert (status, body["code"]) == (409, "no_payment")


async def test_two_replicas_carry_every_refund_on_once(start: Start) -> None:
    service = await start()
    second = await start()
    await service.sandbox.put_payment("pay-1", captured=100_000)
    await service.sandbox.fault("trust", mode="lost_response", share=0.2)

    answers = await asyncio.gather(
        *((service if n % 2 else second).request(amount=1_000, business_key=f"request-{n}") for n in range(40))
    )
    for _, body in answers:
        await service.reaches(body["id"], "SUCCESS")

    ledger = await service.ledger()
    assert (ledger["refunded"], ledger["spent"], len(ledger["refunds"])) == (40_000, 40_000, 40)
    assert {refund["status"] for refund in ledger["refunds"]} == {"success"}


async def test_the_database_itself_refuses_more_than_was_captured(start: Start) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=10_000)
    _, accepted = await service.request()
    await service.reaches(accepted["id"], "SUCCESS")

    with pytest.raises(asyncpg.CheckViolationError, match="refunds_never_exceed_captured"):
        await service.fetch(
            """INSERT INTO refunds (id, business_key, order_number, payment_id, amount, currency, reason, state, version, attempt,
                                    reserved, created_at, state_since)
               VALUES (gen_random_uuid(), 'by hand', 'N', 'pay-1', 4001, 'RUB', 'by hand', 2, 1, 1, 4001, now(), now())"""
        )
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="never change"):
        await service.fetch("UPDATE refund_attempts SET gateway_key = 'another'")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await service.fetch("DELETE FROM refund_history")


def _event(message: RefundWantedV1 | TCreateRefundV1, event_id: str) -> Envelope:
    return Envelope.of(message, event_id=event_id, source="/test", subject="7Q3M0V9XK2TDW8RC", time=datetime.now(UTC))


async def test_a_refund_that_the_database_has_forgotten_is_not_paid_again(
    start: Start, database_for: Callable[[str], Awaitable[str]], rabbit: TestRabbit
) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=10_000)  # of which a second refund of 4000 would be paid, too
    _, paid = await service.request(amount=4_000)
    await service.reaches(paid["id"], "SUCCESS")

    async with rabbit.virtual_host_of_the_suite() as elsewhere:
        restored = await start(postgres_dsn=as_served(await database_for("refunds")), amqp_url=elsewhere)
        _, again = await restored.request(amount=4_000)
        await restored.reaches(again["id"], "SUCCESS")
        ledger = await restored.ledger()
    assert (ledger["refunded"], [one["payouts"] for one in ledger["refunds"]]) == (4_000, [1])
