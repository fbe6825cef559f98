"""Deliveries in the database: partitions, retention, searches that an index carries, the ledger over what is gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from common.ids import new_id
from common.postgres import Connection, Database
from tests.support.servers import as_served
from webhook_gateway.deliveries.digests import PeopleDigests
from webhook_gateway.deliveries.ledger import ledger_lines
from webhook_gateway.deliveries.retention import Retention, Upkept
from webhook_gateway.deliveries.search import DeliverySearch, search
from webhook_gateway.deliveries.views import DeliveriesQuery

_INSERT = """
INSERT INTO deliveries (delivery_id, received_at, recorded_at, type, event_id, source, event, number, external_id, outcome, lane, replica,
                        body_form, body, headers, replay_of)
VALUES ($1, $2, $3, 'intake.hook.received.v1', 'e', 'sbermarket', $4, $5, $6, $7, 'broker', 'gw-1', 'envelope', '{}', '{}', $8)
"""
NOW = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
DIGESTS = PeopleDigests([b"key"])
KEEP = timedelta(days=10)
OLD = NOW - timedelta(days=12)
OUTCOMES = {"confirmed": 6, "spooled": 1, "quarantined": 2, "refused": 4}


@pytest.fixture
async def database(database_for: Callable[[str], Awaitable[str]]) -> AsyncIterator[Database]:
    """The gateway's database, with the partitions of the last two weeks and of NOW, which is yesterday once midnight has passed."""
    dsn = await database_for("webhook_gateway")
    owner, opened = await asyncpg.connect(dsn), Database(as_served(dsn), application_name="test")
    await opened.open()
    async with opened.acquire() as connection:
        for days in range(15):
            day = (NOW - timedelta(days=days)).replace(hour=0)
            await owner.execute(
                f"CREATE TABLE deliveries_{day:%Y%m%d} PARTITION OF deliveries"
                f" FOR VALUES FROM ('{day.isoformat()}') TO ('{(day + timedelta(days=1)).isoformat()}')"
            )
        await owner.close()
        await connection.execute("SELECT ensure_delivery_partitions(7)")
    yield opened
    await opened.close()


async def insert(
    connection: Connection,
    at: datetime,
    *,
    outcome: str = "confirmed",
    event: str = "order.paid",
    number: str | None = None,
    recorded_at: datetime | None = None,
    replay_of: str | None = None,
) -> str:
    """Insert a delivery; return its id."""
    name = new_id()
    await connection.execute(_INSERT, name, at, recorded_at or at, event, number, number, outcome, replay_of)
    return name


async def ids(connection: Connection) -> set[str]:
    return {row["id"] for row in await connection.fetch("SELECT delivery_id::text AS id FROM deliveries")}


async def test_old_days_go_and_what_is_undecided_stays_until_it_is_decided(database: Database) -> None:
    retention = Retention(database, keep=KEEP, keep_ledger=timedelta(days=400))
    async with database.acquire() as connection:
        for _ in range(3):
            await insert(connection, OLD)
        await insert(connection, OLD, outcome="spooled")
        replayed = await insert(connection, OLD, outcome="quarantined")
        young = {
            await insert(connection, NOW),
            await insert(connection, NOW - timedelta(days=9), outcome="replayed", replay_of=replayed),
        }
        quarantined = await insert(connection, OLD, outcome="quarantined")
        spooled_until = NOW - timedelta(days=3)
        late = await insert(connection, OLD, recorded_at=spooled_until)
        awaited = await insert(connection, OLD, event="order.created", number="AWAITED")
        endangered = await insert(connection, OLD, outcome="refused")
        await connection.execute("INSERT INTO created_orders (number, acknowledged_at) VALUES ('AWAITED', $1)", OLD)
        await connection.execute(
            "INSERT INTO endangered_orders (id, received_at, status, category, customer, basket, body, replica)"
            " VALUES ($1, $2, 422, 'front_end', '{}', '[]', '{}', 'gw-1')",
            endangered,
            OLD,
        )
        await connection.execute(
            "INSERT INTO refusals VALUES ($1, 'gw-1', $2, 'sbermarket', 'forbidden', 4)", OLD, new_id()
        )
    before = await ledger(database)
    kept = await retention(NOW)
    assert kept in [Upkept(ahead=ahead, misplaced=0, dropped=4) for ahead in (7, 8)]  # 8 where midnight came in between
    async with database.acquire() as connection:
        assert await ids(connection) == young | {quarantined, late, awaited, endangered}
        assert await connection.fetchval("SELECT to_regclass($1)", f"deliveries_{OLD:%Y%m%d}") is None
        # Counted once, wherever it lies now.
        assert await ledger(database) == before == OUTCOMES | {"received": 13}

        await connection.execute("INSERT INTO delivery_dismissals VALUES ($1, now(), 'someone')", quarantined)
        await connection.execute("UPDATE created_orders SET arrived_at = now()")
        await connection.execute("UPDATE endangered_orders SET state = 'closed'")
        assert (await retention(NOW)).dropped == 0
        assert await ids(connection) == young | {late}
        assert await ledger(database) == before
        await retention(NOW + timedelta(days=8))
        assert late not in await ids(connection)
        assert await ledger(database) == before


async def test_no_clock_of_ours_drops_a_day_that_has_hardly_ended(database: Database) -> None:
    """The database knows better: a gateway whose clock is a year ahead loses nothing of yesterday."""
    async with database.acquire() as connection:
        fresh = await insert(connection, datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="too young to be dropped"):
        await Retention(database, keep=KEEP, keep_ledger=timedelta(days=400))(NOW + timedelta(days=365))
    async with database.acquire() as connection:
        assert fresh in await ids(connection)
        for name in ("deliveries_default", "outbox", "deliveries_20200230", "audit_log"):
            with pytest.raises(asyncpg.InvalidParameterValueError):
                await connection.fetchval("SELECT drop_delivery_day($1, now())", name)


async def test_a_late_delivery_of_a_dropped_day_finds_a_place(database: Database) -> None:
    retention = Retention(database, keep=KEEP, keep_ledger=timedelta(days=400))
    await retention(NOW)
    async with database.acquire() as connection:
        late = await insert(connection, OLD, recorded_at=NOW)
        await retention(NOW)
        assert await ids(connection) == {late}


async def ledger(database: Database) -> dict[str, int]:
    sums: dict[str, int] = {}
    async with database.acquire() as connection:
        lines = await ledger_lines(connection, NOW - timedelta(days=100), NOW + timedelta(days=100))
    for line in lines:
        sums[line.outcome] = sums.get(line.outcome, 0) + line.count
    return sums


async def test_two_replicas_keep_house_at_once(database: Database) -> None:
    async with database.acquire() as connection:
        for days in range(2, 14):
            for _ in range(20):
                await insert(connection, NOW - timedelta(days=days))
    before = await ledger(database)
    await asyncio.gather(*(Retention(database, keep=KEEP, keep_ledger=timedelta(days=400))(NOW) for _ in range(3)))
    await Retention(database, keep=KEEP, keep_ledger=timedelta(days=400))(NOW)
    assert await ledger(database) == before


@pytest.mark.parametrize(
    ("changes", "index"),
    [
        ({"order": "N77"}, "number"),
        ({"order": "X77"}, "external_id"),
        ({"outcome": "quarantined"}, "outcome"),
        ({"from": NOW - timedelta(days=3), "to": NOW - timedelta(days=3) + timedelta(minutes=5)}, "pkey"),
        ({}, "pkey"),
    ],
)
async def test_every_search_is_carried_by_an_index(database: Database, changes: dict[str, Any], index: str) -> None:
    wanted = DeliveriesQuery.model_validate(changes)
    statement, values = search(wanted, DIGESTS, limit=51)
    async with database.acquire() as connection:
        await connection.execute(
            """
            INSERT INTO deliveries (delivery_id, received_at, type, event_id, source, event, number, external_id, outcome,
                                    lane, replica, body_form, body, headers)
            SELECT gen_random_uuid(), $1::timestamptz - g * interval '1 minute', 't', 'e', 'sbermarket', 'order.paid',
                   'N' || g, 'X' || g,
                   CASE WHEN g % 500 = 0 THEN 'quarantined' ELSE 'confirmed' END, 'broker', 'gw-1', 'envelope', '{}', '{}'
            FROM generate_series(1, 20000) AS g
            """,
            NOW,
        )
        await connection.execute("ANALYZE deliveries")
        plan = json.loads(await connection.fetchval("EXPLAIN (FORMAT JSON) " + statement, *values))
        rows = await connection.fetch(statement, *values)
    scans = [node for node in nodes(plan[0]["Plan"]) if "Relation Name" in node or "Index Name" in node]
    filled = [node for node in scans if node.get("Plan Rows", 0) > 0 and node["Node Type"] == "Seq Scan"]
    # Partitions that hold next to nothing are read whole; none that holds a day is.
    assert [node["Relation Name"] for node in filled if not empty(node)] == []
    assert any(index in node.get("Index Name", "") for node in scans)
    assert len(rows) == {"N77": 1, "X77": 1}.get(changes.get("order", ""), len(rows))
    assert rows


def empty(node: dict[str, Any]) -> bool:
    """Whether the scanned partition is one of the coming days or the default."""
    name: str = node["Relation Name"].removeprefix("deliveries_")
    return name == "default" or name > f"{NOW:%Y%m%d}"


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes(child))]


async def test_a_page_of_an_order_known_by_both_names_shows_each_delivery_once(database: Database) -> None:
    async with database.acquire() as connection:
        for minute in range(5):
            await insert(connection, NOW - timedelta(minutes=minute), number="SAME")
    reads = DeliverySearch(database, DIGESTS)
    wanted = DeliveriesQuery(order="SAME", source="sbermarket", event="order.paid", outcome="confirmed")
    async with database.acquire() as connection:
        statement, values = reads.select(wanted, after=None, limit=3)
        first = await connection.fetch(statement, *values)
        statement, values = reads.select(wanted, after=(first[-1]["received_at"], first[-1]["id"]), limit=3)
        rest = await connection.fetch(statement, *values)
    assert [row["received_at"] for row in [*first, *rest]] == [NOW - timedelta(minutes=minute) for minute in range(5)]
