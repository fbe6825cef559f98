"""Every way to find an endangered order, among thirty thousand of them: none reads the table from end to end, and each finds its order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.support.plans import WatchedDatabase
from webhook_gateway.rescue.search import select_endangered
from webhook_gateway.rescue.views import EndangeredFilter

_ORDERS = 30_000
_FILL = """
INSERT INTO endangered_orders (id, received_at, status, category, customer, address, basket, body, external_id, replica, source, phone,
                               email, number, network)
SELECT md5(n::text)::uuid, now() - interval '1 minute' * n, 429, 'banned',
       jsonb_build_object('name', CASE n WHEN 777 THEN 'Щербатых Ёлка 100%_' ELSE 'Анна Иванова' END), NULL, '[]', '{}', 'E' || n,
       'gw', 'website', '+7916' || lpad(n::text, 7, '0'), 'c' || n || '@example.org', 'N' || n, '10.0.' || n % 250
FROM generate_series(1, $1) AS n
"""
REPEATS = 7
"""Past five executions PostgreSQL may take one plan for all values of the parameters: that one has to be good, too."""


@pytest.fixture
async def database(database_for: Callable[[str], Awaitable[str]]) -> AsyncIterator[WatchedDatabase]:
    """A database of endangered orders that tells the plans of what is asked."""
    watched = WatchedDatabase(await database_for("webhook_gateway"))
    await watched.open()
    async with watched.acquire() as connection:
        await connection.execute(_FILL, _ORDERS)
        await connection.execute("ANALYZE endangered_orders")
    watched.plans.clear()
    yield watched
    await watched.close()


async def found_by(database: WatchedDatabase, wanted: EndangeredFilter) -> list[Any]:
    """The first page of the list."""
    statement, values = select_endangered(wanted, limit=51)
    async with database.acquire() as connection:
        return list(await connection.fetch(statement, *values))


async def test_each_way_to_find_an_endangered_order_has_an_index(database: WatchedDatabase) -> None:
    asked: list[dict[str, Any]] = [
        *(
            {"q": said}
            for said in (
                "щербат",
                "рбат",
                "ёлка",
                "0%_",
                "E777",
                "n777",
                "C777@example.org",
                "8 916 000-07-77",
                "0000777",
            )
        ),
        *({"name": said} for said in ("атых", "ЩЕРБАТЫХ ЁЛКА", "ых")),
        {"phone": "+7 916 0000777"},
        {"email": "c777@example.org"},
        {"number": "N777"},
        {"external_id": "E777"},
        {"q": "щербатых", "network": "10.0.27", "state": "open"},
    ]
    for said in asked:
        for _ in range(REPEATS):
            rows = await found_by(database, EndangeredFilter(**said))
        assert [row["external_id"] for row in rows] == ["E777"], said
        assert database.sequential_scans(frozenset({"endangered_orders"})) == set(), said


async def test_what_nobody_has_and_what_everybody_has_is_found_without_reading_all(database: WatchedDatabase) -> None:
    for said, found in (({"q": "никто"}, 0), ({"q": "%%"}, 0), ({}, 51), ({"state": "open"}, 51)):
        for _ in range(REPEATS):
            rows = await found_by(database, EndangeredFilter(**said))
        assert len(rows) == found, said
        assert database.sequential_scans(frozenset({"endangered_orders"})) == set(), said
