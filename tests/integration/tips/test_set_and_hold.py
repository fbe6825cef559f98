"""The two endpoints of tips on the real orders database."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from tips.settings import TipsSettings

from .conftest import ENDED, Start, gated_feedback

_SYSTEM = "('pg_catalog', 'information_schema', 'pg_toast')"
_MAY = f"""
SELECT privilege, c.relname::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace,
       unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS privilege
WHERE n.nspname NOT IN {_SYSTEM} AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND (has_table_privilege(c.oid, privilege)
       OR (privilege IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') AND has_any_column_privilege(c.oid, privilege)))
"""  # noqa: S608 - nothing from outside
"""What the role may do with any table, view or column."""
_MAY_CALL = f"""
SELECT p.oid::regprocedure::text FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE n.nspname NOT IN {_SYSTEM} AND p.prosecdef AND has_function_privilege(p.oid, 'EXECUTE') ORDER BY 1
"""  # noqa: S608 - as above
"""The functions that act with their owner's rights and may be called."""


async def test_the_tips_that_the_customer_chose_are_set_once(start: Start) -> None:
    desk = await start()
    await desk.order()
    await desk.feedback()

    answers = [await desk.set_sum() for _ in range(3)]

    assert answers == [(200, {})] * 3
    assert await desk.stored() == {
        "tips_amount": 1_600,
        "tips_type": "percent",
        "tips_choice": "suggested",
        "tips_feedback_at": ENDED,
        "tips_revision": 1,
    }
    place = {"zone": "moscow", "tariff": "express"}
    assert await desk.metric("tips_orders_total", has_tip="true", **place) == 1
    assert await desk.metric("tips_set_total", source="suggested", **place) == 1
    assert await desk.metric("tips_amount_minor_units_sum", currency="RUB", **place) == 1_600
    assert await desk.metric("tips_changes_total", direction="unchanged", **place) == 2


async def test_the_newest_feedback_wins_and_older_feedback_is_refused(start: Start) -> None:
    desk = await start()
    await desk.order()
    await desk.feedback(after=10, tips={"type": "flat", "value": "50"}, choice="custom")
    await desk.set_sum()
    await desk.feedback(after=5, tips={"type": "flat", "value": "20"})

    assert await desk.set_sum() == (200, {})
    assert (await desk.stored())["tips_amount"] == 5_000

    await desk.feedback(after=20, tips={"type": "flat", "value": "20"})
    assert await desk.set_sum() == (200, {})
    assert (await desk.stored())["tips_amount"] == 2_000
    assert await desk.metric("tips_changes_total", direction="decrease", zone="moscow", tariff="express") == 1


async def test_a_call_that_hangs_after_its_read_cannot_put_an_older_sum_over_a_newer_one(start: Start) -> None:
    """The seed's story: one call reads order and old feedback and hangs; the customer changes the tips; another call overtakes it."""
    async with gated_feedback() as gated:
        desk = await start(feedback_url=gated.url, feedback_deadline=30.0)
        await desk.order()
        gated.says(after=1, value="50")
        gated.hang_next()
        hanging = asyncio.create_task(desk.set_sum())
        await gated.asked.wait()  # it has read the order, and what it will be told is fixed

        gated.says(after=2, value="77")
        assert await desk.set_sum() == (200, {})
        assert (await desk.stored())["tips_amount"] == 7_700

        gated.gate.set()
        assert await hanging == (200, {})
        assert (await desk.stored())["tips_amount"] == 7_700
        assert await desk.metric("tips_writes_total", outcome="stale_version") == 1


async def test_equal_sums_from_newer_feedback_still_beat_the_older_call(start: Start) -> None:
    """The overtaking call stores the sum that stands already; were the version not bumped, the hanging call could write over it."""
    async with gated_feedback() as gated:
        desk = await start(feedback_url=gated.url, feedback_deadline=30.0)
        await desk.order()
        gated.says(after=1, value="50")
        await desk.set_sum()
        gated.says(after=2, value="10")
        gated.hang_next()
        hanging = asyncio.create_task(desk.set_sum())
        await gated.asked.wait()

        gated.says(after=3, value="50")
        await desk.set_sum()
        assert (await desk.stored())["tips_revision"] == 2

        gated.gate.set()
        assert await hanging == (200, {})
        assert (await desk.stored())["tips_amount"] == 5_000


async def test_request_id_and_trace_reach_the_feedback_service(start: Start) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with gated_feedback() as gated:
        desk = await start(feedback_url=gated.url)
        await desk.order()
        gated.says(after=1, value="50")
        headers = {
            "Authorization": "Bearer token-internal",
            "X-Request-Id": "order-77",
            "traceparent": f"00-{trace}-b7ad6b7169203331-01",
        }
        async with desk.http.post("/tips/v1/set-tips-sum", json={"order_id": "ORDER1"}, headers=headers) as answer:
            assert answer.status == 200
        assert gated.headers["x-request-id"] == "order-77"
        assert gated.headers["traceparent"].split("-")[1] == trace
        assert gated.headers["traceparent"].split("-")[2] != "b7ad6b7169203331"


async def test_many_calls_at_once_write_once(start: Start) -> None:
    desk = await start()
    await desk.order()
    await desk.feedback()

    answers = await asyncio.gather(*(desk.set_sum() for _ in range(30)))

    assert set(map(str, answers)) == {str((200, {}))}
    assert (await desk.stored())["tips_revision"] == 1
    assert await desk.metric("tips_orders_seen_total", zone="moscow", tariff="express") == 1


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
    desk = await start()
    await desk.order(**order)
    await desk.feedback()
    assert await desk.set_sum() == (200, {})
    assert (await desk.stored())["tips_amount"] == amount


async def test_tips_are_to_be_held_inside_the_window_until_they_are(start: Start) -> None:
    desk = await start()
    await desk.order()
    assert await desk.need_hold() == (200, {"need_hold_tips": False})
    await desk.feedback()
    await desk.set_sum()
    answers = {}
    for minutes in (29, 30, 24 * 60 - 1, 24 * 60):
        desk.clock.move_to(ENDED + timedelta(minutes=minutes))
        answers[minutes] = (await desk.need_hold())[1]["need_hold_tips"]
    assert answers == {29: False, 30: True, 24 * 60 - 1: True, 24 * 60: False}

    desk.clock.move_to(ENDED + timedelta(hours=1))
    await desk.orders.execute("UPDATE orders SET tips_held_amount = tips_amount, tips_held_at = now()")
    assert await desk.need_hold() == (200, {"need_hold_tips": False})
    await desk.feedback(after=1, tips={"type": "flat", "value": "50"})
    await desk.set_sum()
    assert await desk.need_hold() == (200, {"need_hold_tips": True})
    await desk.feedback(after=2, tips={"type": "flat", "value": "50"}, done=True)
    assert await desk.need_hold() == (200, {"need_hold_tips": False})


async def test_orders_that_are_unknown_unfinished_or_misspelt_get_the_documented_answers(start: Start) -> None:
    desk = await start()
    await desk.order("PAID", status="paid", finished_at=None)

    async def both(number: str) -> list[tuple[int, str]]:
        return [(status, body["code"]) for status, body in (await desk.set_sum(number), await desk.need_hold(number))]

    assert await both("NOBODY") == [(404, "unknown_order")] * 2
    assert await both("PAID") == [(409, "order_not_finished")] * 2
    assert await both("") == [(400, "invalid_input")] * 2
    for misspelt in ("no such thing; --", "NO\0BODY", "№1", "N" * 300):
        assert await both(misspelt) == [(400, "invalid_input")] * 2, misspelt
    assert [
        (await desk.call("POST", "/tips/v1/set-tips-sum", json={}))[0],
        (await desk.call("POST", "/tips/v1/set-tips-sum", data=b"{"))[0],
        (await desk.call("GET", "/tips/v1/need-hold-tips"))[0],
        (await desk.call("GET", "/tips/v1/set-tips-sum"))[0],
        (await desk.call("POST", "/tips/v1/set-tips-sum", role=None, json={"order_id": "X"}))[0],
        (await desk.call("POST", "/tips/v1/set-tips-sum", role="operator", json={"order_id": "X"}))[0],
    ] == [400, 415, 400, 405, 401, 403]


@pytest.mark.parametrize("mode", ["timeout", "error", "reset", "rate_limit"])
async def test_without_feedback_the_answer_is_503_and_nothing_is_written(start: Start, mode: str) -> None:
    desk = await start(feedback_deadline=0.2)
    await desk.order(tips_amount=1_000)
    await desk.feedback()
    await desk.sandbox.fault("feedback", mode=mode)
    code = "too_late" if mode == "timeout" else "unavailable"
    for status, body in (await desk.set_sum(), await desk.need_hold()):
        assert (status, body["code"], body["retryable"]) == (503, code, True)
    assert (await desk.stored())["tips_amount"] == 1_000

    await desk.sandbox.heal("feedback")
    assert await desk.set_sum() == (200, {})


async def test_the_role_of_tips_can_read_and_write_nothing_else(start: Start) -> None:
    desk = await start()
    await desk.order()
    tables = await desk.orders.fetch(
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    assert len(tables) > 5
    tips = await asyncpg.connect(desk.tips_dsn)
    try:
        for table in tables:
            for statement in (f"SELECT * FROM {table['name']}", f"DELETE FROM {table['name']}"):  # noqa: S608 - names from the catalogue
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await tips.execute(statement)
        for statement in (
            "UPDATE tips_order SET tips_amount = 1",
            "DELETE FROM tips_order",
            "CREATE TABLE mine (id int)",
            "SELECT nextval(pg_get_serial_sequence('stock_movements', 'id'))",
            "SELECT pg_read_file('/etc/passwd')",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await tips.execute(statement)
        assert await tips.fetchval("SELECT count(*) FROM tips_order") == 1
        assert [tuple(row) for row in await tips.fetch(_MAY)] == [("SELECT", "tips_order")]
        assert [tuple(row) for row in await tips.fetch(_MAY_CALL)] == [
            ("tips_set_sum(text,bigint,bigint,text,text,timestamp with time zone,boolean)",),
            ("tips_take_refunded(integer)",),
        ]
    finally:
        await tips.close()


async def test_the_explanation_goes_rule_by_rule(start: Start) -> None:
    desk = await start()
    await desk.order()
    await desk.feedback()
    status, body = await desk.call("GET", "/admin/v1/explain?order_id=ORDER1", role="viewer")
    assert status == 200
    assert (body["tips"]["amount"], body["tips"]["write"], body["hold"]["need_hold_tips"]) == (1_600, "set", False)
    assert [(step["rule"], step["outcome"]) for step in body["tips"]["steps"]] == [
        ("cashless", "pass"),
        ("not refunded", "pass"),
        ("not zeroed", "pass"),
        ("feedback", "pass"),
        ("rating", "pass"),
        ("sum", "1600"),
        ("cap", "pass"),
    ]
    assert body["hold"]["steps"][-1] == {
        "rule": "tips",
        "outcome": "no hold",
        "detail": "no tips are set",
        "source": "research/refunds-tips: only tips above zero are held",
    }
    assert body["constants"] == {
        "cashless_methods": sorted(TipsSettings.model_fields["cashless_methods"].default),
        "maximum": 500_000,
        "maximum_share": "100",
        "negative_rating": 3,
        "hold_after": 1_800.0,
        "hold_until": 86_400.0,
    }
    assert (await desk.call("GET", "/admin/v1/explain?order_id=NOBODY", role="viewer"))[0] == 404
