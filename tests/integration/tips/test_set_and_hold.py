"""The two endpoints of tips on the real orders database."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from .conftest import ENDED, Start, gated_feedback


async def test_the_tips_that_the_customer_chose_are_set_once(start: Start) -> None:
    service = await start()
    await service.order()
    await service.feedback()

    answers = [await service.set_sum() for _ in range(3)]

    assert answers == [(200, {})] * 3
    assert await service.stored() == {
        "tips_amount": 1_600,
        "tips_type": "percent",
        "tips_choice": "suggested",
        "tips_feedback_at": ENDED,
        "tips_revision": 1,
    }
    place = {"zone": "moscow", "tariff": "express"}
    assert await service.metric("tips_orders_total", has_tip="true", **place) == 1
    assert await service.metric("tips_set_total", source="suggested", **place) == 1
    assert await service.metric("tips_amount_minor_units_sum", currency="RUB", **place) == 1_600
    assert await service.metric("tips_changes_total", direction="unchanged", **place) == 2


async def test_the_newest_feedback_wins_and_older_feedback_is_refused(start: Start) -> None:
    service = await start()
    await service.order()
    await service.feedback(after=10, tips={"type": "flat", "value": "50"}, choice="custom")
    await service.set_sum()
    await service.feedback(after=5, tips={"type": "flat", "value": "20"})

    assert await service.set_sum() == (200, {})
    assert (await service.stored())["tips_amount"] == 5_000

    await service.feedback(after=20, tips={"type": "flat", "value": "20"})
    assert await service.set_sum() == (200, {})
    assert (await service.stored())["tips_amount"] == 2_000
    assert await service.metric("tips_changes_total", direction="decrease", zone="moscow", tariff="express") == 1


async def test_feedback_from_a_clock_that_is_ahead_does_not_outlive_its_removal(start: Start) -> None:
    service = await start()
    await service.order()
    ahead = (service.clock.now() + timedelta(minutes=10)).isoformat()
    await service.feedback(updated_at=ahead)
    assert await service.set_sum() == (200, {})
    assert (await service.stored())["tips_amount"] == 1_600
    assert (await service.stored())["tips_feedback_at"] == service.clock.now()

    service.clock.move_to(service.clock.now() + timedelta(minutes=1))
    await service.feedback(tips=None, updated_at=service.clock.now().isoformat())
    assert await service.set_sum() == (200, {})
    assert (await service.stored())["tips_amount"] == 0


async def test_a_call_that_hangs_after_its_read_cannot_bring_back_an_older_sum(start: Start) -> None:
    """One call reads order and old feedback and hangs; the customer changes the tips; another call overtakes it."""
    async with gated_feedback() as gated:
        service = await start(feedback_url=gated.url, feedback_deadline=30.0)
        await service.order()
        gated.says(after=1, value="50")
        gated.hang_next()
        hanging = asyncio.create_task(service.set_sum())
        await gated.asked.wait()  # it has read the order, and what it will be told is fixed

        gated.says(after=2, value="77")
        assert await service.set_sum() == (200, {})
        assert (await service.stored())["tips_amount"] == 7_700

        gated.gate.set()
        assert await hanging == (200, {})
        assert (await service.stored())["tips_amount"] == 7_700
        assert await service.metric("tips_writes_total", outcome="stale_version") == 1


async def test_equal_sums_from_newer_feedback_still_beat_the_older_call(start: Start) -> None:
    """The overtaking call stores the sum that stands already; were the version not bumped, the hanging call could write over it."""
    async with gated_feedback() as gated:
        service = await start(feedback_url=gated.url, feedback_deadline=30.0)
        await service.order()
        gated.says(after=1, value="50")
        await service.set_sum()
        gated.says(after=2, value="10")
        gated.hang_next()
        hanging = asyncio.create_task(service.set_sum())
        await gated.asked.wait()

        gated.says(after=3, value="50")
        await service.set_sum()
        assert (await service.stored())["tips_revision"] == 2

        gated.gate.set()
        assert await hanging == (200, {})
        assert (await service.stored())["tips_amount"] == 5_000


async def test_request_id_and_trace_reach_the_feedback_service(start: Start) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with gated_feedback() as gated:
        service = await start(feedback_url=gated.url)
        await service.order()
        gated.says(after=1, value="50")
        headers = {
            "Authorization": "Bearer token-internal",
            "X-Request-Id": "order-77",
            "traceparent": f"00-{trace}-b7ad6b7169203331-01",
        }
        async with service.http.post("/tips/v1/set-tips-sum", json={"order_id": "ORDER1"}, headers=headers) as answer:
            assert answer.status == 200
        assert gated.headers["x-request-id"] == "order-77"
        assert gated.headers["traceparent"].split("-")[1] == trace
        assert gated.headers["traceparent"].split("-")[2] != "b7ad6b7169203331"


async def test_many_calls_at_once_write_once(start: Start) -> None:
    service = await start()
    await service.order()
    await service.feedback()

    answers = await asyncio.gather(*(service.set_sum() for _ in range(30)))

    assert set(map(str, answers)) == {str((200, {}))}
    assert (await service.stored())["tips_revision"] == 1
    assert await service.metric("tips_orders_seen_total", zone="moscow", tariff="express") == 1


@pytest.mark.parametrize(
    ("order", "amount"),
    [
        ({"payment_method": "cash"}, 0),
        ({"payment_method": None}, 0),
        ({"payment_method": "CARD"}, 1_600),
        ({"refunded": True}, 0),
    ],
)
async def test_only_cashless_orders_that_were_not_refunded_have_tips(
    start: Start, order: dict[str, Any], amount: int
) -> None:
    service = await start()
    await service.order(**order)
    await service.feedback()
    assert await service.set_sum() == (200, {})
    assert (await service.stored())["tips_amount"] == amount


async def test_tips_are_to_be_held_inside_the_window_until_they_are(start: Start) -> None:
    service = await start()
    await service.order()
    assert await service.need_hold() == (200, {"need_hold_tips": False})
    await service.feedback()
    await service.set_sum()
    answers = {}
    for minutes in (29, 30, 24 * 60 - 1, 24 * 60):
        service.clock.move_to(ENDED + timedelta(minutes=minutes))
        answers[minutes] = (await service.need_hold())[1]["need_hold_tips"]
    assert answers == {29: False, 30: True, 24 * 60 - 1: True, 24 * 60: False}

    service.clock.move_to(ENDED + timedelta(hours=1))
    await service.orders.execute("UPDATE orders SET tips_held_amount = tips_amount, tips_held_at = now()")
    assert await service.need_hold() == (200, {"need_hold_tips": False})
    await service.feedback(after=1, tips={"type": "flat", "value": "50"})
    await service.set_sum()
    assert await service.need_hold() == (200, {"need_hold_tips": True})
    await service.feedback(after=2, tips={"type": "flat", "value": "50"}, done=True)
    assert await service.need_hold() == (200, {"need_hold_tips": False})


async def test_unknown_unfinished_and_misspelt_orders_get_the_documented_answers(start: Start) -> None:
    service = await start()
    await service.order("PAID", status="paid", finished_at=None)

    async def both(number: str) -> list[tuple[int, str]]:
        return [
            (status, body["code"]) for status, body in (await service.set_sum(number), await service.need_hold(number))
        ]

    assert await both("NOBODY") == [(404, "unknown_order")] * 2
    assert await both("PAID") == [(409, "order_not_finished")] * 2
    assert await both("") == [(400, "invalid_input")] * 2
    for misspelt in ("no such thing; --", "NO\0BODY", "№1", "N" * 300):
        assert await both(misspelt) == [(400, "invalid_input")] * 2, misspelt
    assert [
        (await service.call("POST", "/tips/v1/set-tips-sum", json={}))[0],
        (await service.call("POST", "/tips/v1/set-tips-sum", data=b"{"))[0],
        (await service.call("GET", "/tips/v1/need-hold-tips"))[0],
        (await service.call("GET", "/tips/v1/set-tips-sum"))[0],
        (await service.call("POST", "/tips/v1/set-tips-sum", role=None, json={"order_id": "X"}))[0],
        (await service.call("POST", "/tips/v1/set-tips-sum", role="operator", json={"order_id": "X"}))[0],
    ] == [400, 415, 400, 405, 401, 403]


@pytest.mark.parametrize("mode", ["timeout", "error", "reset", "rate_limit"])
async def test_without_feedback_the_answer_is_503_and_nothing_is_written(start: Start, mode: str) -> None:
    service = await start(feedback_deadline=2.0 if mode == "timeout" else 10.0)
    await service.order(tips_amount=1_000)
    await service.feedback()
    await service.sandbox.fault("feedback", mode=mode)
    code = "too_late" if mode == "timeout" else "unavailable"
    for status, body in (await service.set_sum(), await service.need_hold()):
        assert (status, body["code"], body["retryable"]) == (503, code, True)
    assert (await service.stored())["tips_amount"] == 1_000

    await service.sandbox.heal("feedback")
    assert await service.set_sum() == (200, {})
