"""A sender holds a lane's row until its outcome is written. Neither what is taken in nor what people do may wait for that."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

from tests.integration.notifier.factories import ALERT, Kit, MakeKit, created
from tests.support.servers import eventually

REASON = {"reason": "Разбираюсь с проблемой. Звонить не нужно."}


async def test_intake_and_resolution_do_not_wait_for_a_sender_that_has_not_recorded(
    make_kit: MakeKit,
) -> None:
    kit = await make_kit()
    await kit.publish(created("H1"))
    assert (await kit.call("POST", "/alerts/v1/alertmanager", role="internal", body=ALERT))[0] == 200
    await eventually(lambda: _everything_is_sent(kit), what="the notices that make the lanes")
    sender = await asyncpg.connect(kit.dsn)
    try:
        async with sender.transaction():
            # Whoever would insert the same key, if only to do nothing on conflict, waits for the end of this.
            await sender.execute("UPDATE lanes SET last_sent_at = now()")
            await kit.publish(created("H2"))
            async with asyncio.timeout(100):
                await eventually(lambda: _notices_of(kit, 2), what="the second order's notices")
                assert (await kit.call("POST", "/admin/v1/incidents/1/resolve", body=REASON))[0] == 200
    finally:
        await sender.close()


async def test_many_resolve_a_problem_while_its_messages_are_edited_without_a_deadlock(
    make_kit: MakeKit,
) -> None:
    kit = await make_kit()
    statuses: list[int] = []
    for turn in range(8):
        alert = {**ALERT, "alerts": [{**ALERT["alerts"][0], "fingerprint": f"f{turn}"}]}
        _, answer = await kit.call("POST", "/alerts/v1/alertmanager", role="internal", body=alert)
        [incident] = answer["incidents"]
        statuses += [
            (await kit.call("POST", f"/admin/v1/incidents/{incident}/{act}", body=REASON))[0]
            for act in ("ack", "comment", "resolve")
        ]
    assert statuses == [200] * 24
    [row] = await kit.fetch("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    assert row["deadlocks"] == 0


async def _everything_is_sent(kit: Kit) -> bool:
    rows: list[dict[str, Any]] = await kit.fetch("SELECT state FROM deliveries")
    return len(rows) >= 4 and {row["state"] for row in rows} == {"sent"}


async def _notices_of(kit: Kit, orders: int) -> bool:
    rows = await kit.fetch("SELECT count(DISTINCT order_number) AS many FROM notices WHERE kind = 'order.created'")
    return bool(rows[0]["many"] == orders)
