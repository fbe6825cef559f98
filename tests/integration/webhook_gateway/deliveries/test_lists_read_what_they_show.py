"""Lists of hooks and of endangered orders among very many, by whatever is rare: each reads about as many rows as it shows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from tests.support.big_services import fill_gateway
from tests.support.plans import rows_read
from webhook_gateway.deliveries.digests import PeopleDigests
from webhook_gateway.deliveries.search import search
from webhook_gateway.deliveries.views import DeliveryFilter
from webhook_gateway.rescue.search import select_endangered
from webhook_gateway.rescue.views import EndangeredFilter

DELIVERIES, SHOWN = 30_000, 51
DIGESTS = PeopleDigests([b"key"])
HOOKS: tuple[dict[str, Any], ...] = (
    {},
    {"source": "sbermarket"},
    {"source": "rare"},
    {"source": "nobody"},
    {"event": "order.created"},
    {"event": "courier.assigned"},
    {"reason": "unreadable"},
    {"reason": "never heard"},
    {"outcome": "refused"},
    {"outcome": "quarantined", "undecided": True},
    {"order": "N77"},
    {"q": "N77"},
)


async def test_lists_of_hooks_and_endangered_orders_read_few_rows(
    database_for: Callable[[str], Awaitable[str]],
) -> None:
    dsn = await database_for("webhook_gateway")
    await fill_gateway(dsn, DELIVERIES)
    asked = {f"hooks, {each}": search(DeliveryFilter.model_validate(each), DIGESTS, limit=SHOWN) for each in HOOKS}
    for wanted in ({}, {"state": "open"}, {"state": "closed"}, {"q": "анна"}, {"phone": "+79160000030"}):
        asked[f"endangered, {wanted}"] = select_endangered(EndangeredFilter.model_validate(wanted), limit=SHOWN)
    connection = await asyncpg.connect(dsn)
    try:
        read = {name: await rows_read(connection, *statement) for name, statement in asked.items()}
    finally:
        await connection.close()
    assert {name: rows for name, rows in read.items() if rows > 5 * SHOWN} == {}
