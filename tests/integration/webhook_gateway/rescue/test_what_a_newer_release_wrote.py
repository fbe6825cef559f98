"""In a roll-out a newer release writes states that this one does not know: shown as they are written, and changed by nobody."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import asyncpg
from pydantic import SecretStr

from tests.integration.webhook_gateway.conftest import Start

PATH = "/admin/v1/endangered-orders"
LOST = """
INSERT INTO endangered_orders
    (id, received_at, status, category, customer, basket, body, external_id, replica, source, state, origin)
VALUES ('019b0000-0000-7000-8000-000000000001', now(), 503, 'back_end', '{}', '[]', '{}', 'W-1', 'gw', 'website', 'handed_over', 'kiosk')
"""


async def test_an_endangered_order_in_a_state_of_a_newer_release_is_shown_and_kept(
    start: Start, database_for: Callable[[str], Awaitable[str]]
) -> None:
    dsn = await database_for("webhook_gateway")
    async with start(postgres_dsn=SecretStr(dsn)) as gateway:
        owner = await asyncpg.connect(dsn)
        await owner.execute(
            "ALTER TABLE endangered_orders DROP CONSTRAINT endangered_orders_state_check, DROP CONSTRAINT endangered_orders_origin_check"
        )
        await owner.execute(LOST)
        await owner.close()
        [one] = (await gateway.get(PATH, role="operator"))["items"]
        assert (one["state"], one["origin"]) == ("handed_over", "kiosk")
        assert (await gateway.get(f"{PATH}/{one['id']}", role="operator"))["state"] == "handed_over"
        body = {"reason": "what is it", "dry_run": False}
        status, said = await gateway.change(f"{PATH}/{one['id']}/resubmit", body)
        assert status == 409, said
