"""Deliveries of an order that come while its customer is erased: none stays that her phone does not lead to any more."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

from common.ids import new_id, order_number
from common.postgres import Database
from common.service import Subject
from tests.integration.webhook_gateway.conftest import hook_body
from tests.support.interrupted import InterruptedConnection
from webhook_gateway.deliveries.digests import PeopleDigests
from webhook_gateway.deliveries.erase import erase_deliveries

_DIGESTS = PeopleDigests([b"key"])
_HERS: dict[str, Any] = {
    "customer": {"name": "Анна", "phone": "+79161234567"},
    "address": {"full_address": "Тверская 1"},
}
_RECORD = """
INSERT INTO deliveries (delivery_id, received_at, type, event_id, source, event, number, external_id, outcome, lane, replica, body_form,
                        body, headers, people)
VALUES ($1, now(), 'intake.hook.received.v1', 'e', 'sbermarket', $2, $3, $4, 'confirmed', 'broker', 'gw-0', 'envelope', $5, '{}', $6)
"""


async def _record(database: Database, order: str, event: str, **payload: Any) -> None:
    """Record a delivery as the gateway does."""
    body = hook_body(event, order=order, **payload)
    people = _DIGESTS.of_payload(body["payload"])
    async with database.acquire() as connection:
        number = order_number("sbermarket", order)
        await connection.execute(_RECORD, new_id(), event, number, order, json.dumps(body).encode(), people)


async def test_no_delivery_of_an_order_is_left_that_nobody_finds_any_more(
    database_for: Callable[[str], Awaitable[str]],
) -> None:
    database = Database(await database_for("webhook_gateway"), application_name="test")
    await database.open()
    hers = Subject(phone="89161234567")
    came: list[int] = []
    for at in count():
        await _record(database, f"A{at}", "order.created", **_HERS)  # so that there is something to erase
        await _record(database, f"B{at}", "order.changed", address=_HERS["address"])  # of whom, is not said yet

        async def comes(at: int = at) -> None:
            await _record(database, f"B{at}", "order.created", **_HERS)
            came.append(at)

        async with database.transaction() as connection:
            await erase_deliveries(InterruptedConnection(connection, at=at, by=comes).itself, hers, digests=_DIGESTS)
        if len(came) == at:
            break
        async with database.transaction() as connection:
            await erase_deliveries(connection, hers, digests=_DIGESTS)
            left = await connection.fetchval("SELECT count(*) FROM deliveries WHERE erased_at IS NULL")
        assert left == 0, f"came before statement {at}"
    await database.close()
    assert len(came) > 3
