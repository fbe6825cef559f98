"""Tips while something hangs, is overtaken, is away or is refunded: on the real orders database, with two replicas where it matters."""

from __future__ import annotations

import asyncio
from time import monotonic

from common.http import TIMEOUT_HEADER
from tests.support.servers import eventually, proxied

from .conftest import Start, gated_feedback

PLACE = {"zone": "moscow", "tariff": "express"}


async def test_a_write_that_hangs_until_it_is_overtaken_is_refused_by_version(start: Start, tips_dsn: str) -> None:
    """Two replicas, and no further iteration.

    One has read the order and the feedback and hangs before its write; the customer changes the tips; the other replica overtakes it.
    """
    async with gated_feedback() as gated, proxied(tips_dsn) as (proxy, address):
        overtaken = await start(postgres_dsn=address, feedback_url=gated.url)
        overtaking = await start(feedback_url=gated.url)
        await overtaken.order()
        gated.says(after=1, value="50")
        gated.hang_next()
        hanging = asyncio.create_task(overtaken.set_sum())
        await gated.asked.wait()  # the order has been read, at version 5, and the answer that it will get is fixed
        proxy.stall()
        gated.gate.set()

        async def wants_to_write() -> bool:
            return await overtaken.metric("tips_feedback_duration_seconds_count", outcome="found") == 1

        await eventually(wants_to_write)
        gated.says(after=2, value="77")
        assert await overtaking.set_sum() == (200, {})
        assert (await overtaking.stored())["tips_amount"] == 7_700

        proxy.heal()
        assert await hanging == (200, {})
        stored = await overtaking.stored()
        assert (stored["tips_amount"], stored["tips_revision"]) == (7_700, 1)
        assert [
            await overtaken.metric("tips_writes_total", outcome=outcome) for outcome in ("stale_version", "changed")
        ] == [1, 0]
        assert await overtaking.metric("tips_writes_total", outcome="changed") == 1


async def test_callers_are_answered_in_their_time_and_a_late_write_is_counted(start: Start, tips_dsn: str) -> None:
    async with gated_feedback() as gated, proxied(tips_dsn) as (proxy, address):
        service = await start(postgres_dsn=address, feedback_url=gated.url)
        await service.order()
        gated.says(after=1, value="50")
        hurry = {"Authorization": "Bearer token-internal", TIMEOUT_HEADER: "300"}

        gated.hang_next()
        began = monotonic()
        async with service.http.post("/tips/v1/set-tips-sum", json={"order_id": "ORDER1"}, headers=hurry) as answer:
            assert (answer.status, (await answer.json())["code"]) == (503, "too_late")
        assert monotonic() - began < 8  # feedback's own deadline is ten seconds here
        gated.gate.set()

        gated.gate.clear()
        gated.asked.clear()
        gated.hang_next()
        late = asyncio.create_task(
            service.http.post(
                "/tips/v1/set-tips-sum", json={"order_id": "ORDER1"}, headers=hurry | {TIMEOUT_HEADER: "3000"}
            )
        )
        await gated.asked.wait()
        proxy.stall()
        gated.gate.set()  # the write goes into a line that stands still
        async with await late as answer:
            assert (answer.status, (await answer.json())["code"]) == (503, "too_late")
        proxy.heal()

        async def written() -> bool:
            return await service.metric("tips_orders_total", has_tip="true", **PLACE) == 1

        await eventually(written)
        assert (await service.stored())["tips_amount"] == 5_000
        assert await service.metric("tips_orders_seen_total", **PLACE) == 1


async def test_while_the_orders_database_hangs_callers_are_refused_at_once(start: Start, tips_dsn: str) -> None:
    async with proxied(tips_dsn) as (proxy, address):
        service = await start(postgres_dsn=address, database_deadline=0.5, database_wait=0.3, requests_at_once=8)
        await service.order()
        await service.feedback()

        async def works() -> bool:
            return await service.set_sum() == (200, {})

        await eventually(works)
        proxy.stall()
        codes: set[str] = set()
        for _ in range(4):
            for status, body in await asyncio.gather(*(service.set_sum() for _ in range(8))):
                assert (status, body["retryable"]) == (503, True)
                codes.add(body["code"])
        assert "overloaded" in codes  # sent away without waiting for the database
        assert await service.metric("tips_shed_total", reason="database_away") > 0
        assert (await service.set_sum())[0] == (await service.need_hold())[0] == 503
        proxy.heal()
        await eventually(works)


async def test_an_order_that_needs_no_feedback_is_answered_while_feedback_is_away(start: Start) -> None:
    service = await start(places=[{"zone": "spb", "hold_after": 7_200}])
    await service.order("TIPPED", tips_amount=100)
    await service.order("NONE", tips_amount=0)
    await service.order("LATER", tips_amount=100, zone="spb")
    await service.sandbox.fault("feedback", mode="error")
    answers = [await service.need_hold(number) for number in ("NONE", "LATER", "TIPPED")]
    assert answers[:2] == [(200, {"need_hold_tips": False})] * 2
    assert answers[2][0] == 503


async def test_refunded_tips_are_counted_once_from_the_order_row_whoever_looks(start: Start) -> None:
    one, other = await start(), await start()
    for number, zone in (("TIPPED", "moscow"), ("FAR", "mars"), ("NEVER", "moscow"), ("KEPT", "moscow")):
        await one.order(number, zone=zone)
        if number != "NEVER":
            await one.feedback(number)
        assert await one.set_sum(number) == (200, {})
    # What the intake of refund events does, and then the caller.
    await one.orders.execute(
        "UPDATE orders SET refunded = true, tips_amount = 0, tips_revision = tips_revision + 1 WHERE number <> 'KEPT'"
    )

    async def looked_at() -> bool:
        count: int = await one.orders.fetchval("SELECT count(*) FROM orders WHERE tips_refund_counted")
        return count == 3

    async def counted(**place: str) -> float:
        return sum([await service.metric("tips_refunded_total", **place) for service in (one, other)])

    async def both() -> bool:
        return (await counted(**PLACE), await counted(zone="other", tariff="express")) == (1, 1)

    await eventually(looked_at)
    await eventually(both)
    await one.set_sum("TIPPED")
    await one.orders.execute("UPDATE orders SET refunded = false WHERE number = 'TIPPED'")  # the refund was reversed …
    await one.orders.execute("UPDATE orders SET refunded = true WHERE number = 'TIPPED'")  # … and made again
    assert await one.orders.fetch("SELECT * FROM tips_take_refunded(100) WHERE zone IS NOT NULL") == []
    assert await both()
