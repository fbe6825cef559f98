"""Retention, drift and sizes: what the fold of an open order needs stays, what nobody needs goes, what is wrong is seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from common.postgres import Database
from common.service import TableSizes
from common.telemetry.metrics import new_registry
from orchestrator.engine.retention import Pruned, Retention
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.orders.aggregate import Drift, derive_aggregates
from orchestrator.orders.measure import Measure
from orchestrator.orders.parked import raise_overdue
from orchestrator.rights import TABLES
from tests.integration.orchestrator.factories import all_taken, write_orders
from tests.support.alert_thresholds import alert_after
from tests.support.clocks import ManualClock
from tests.support.servers import eventually

NOW = datetime.now(UTC)

# name, state, days since it was touched, events not carried out
_WORKFLOWS = [
    ("finished-old", 3, 100, 0),
    ("finished-young", 3, 10, 0),
    ("running-old", 1, 100, 0),
    ("stopped-old", 2, 100, 1),
    ("crashed-old", 4, 100, 1),
]
_FILL = """
WITH w AS (
    INSERT INTO workflow (order_number, kind, state, last_seq, done_seq, created_at, updated_at)
    VALUES ($1, 'order_life', $2, 3, 3 - $4, $3, $3) RETURNING id
)
INSERT INTO workflow_event (workflow_id, seq, type, event_id, attributes, payload, received_at)
SELECT id, n, 'order.paid', $1 || n, '{}', '{}', $3 FROM w, generate_series(1, 3) AS n
"""
_LINE = """
INSERT INTO timeline (order_number, occurred_at, service, kind, actor, summary) VALUES ($1, $2, 'notifier', 'k', 'a', 's')
"""


@pytest.fixture
def registry() -> CollectorRegistry:
    """Metrics of the test's own."""
    return new_registry()


def retention_of(pool: Database, keep_events: timedelta, now: datetime) -> Retention:
    """Retention at a moment."""
    return Retention(
        database=pool,
        keep_events=keep_events,
        keep_timeline=timedelta(days=400),
        clock=ManualClock(now),
        metrics=OrchestratorMetrics(new_registry()),
    )


async def forgotten(pool: Database) -> None:
    """Have the two events of an order forgotten. Retention passes over what somebody holds at that moment, and comes again."""

    async def both() -> bool:
        # Not NOW: the suite may have been running for longer than these five minutes when this test's turn comes.
        await retention_of(pool, timedelta(0), datetime.now(UTC) + timedelta(minutes=5))()
        async with pool.acquire() as connection:
            return bool(await connection.fetchval("SELECT pruned_seq = 2 FROM workflow WHERE kind = 'order_life'"))

    await eventually(both, what="two events forgotten")


async def test_only_events_of_workflows_that_finished_long_ago_go(pool: Database, database: Any) -> None:
    for name, state, days, pending in _WORKFLOWS:
        await database.execute(_FILL, name, state, NOW - timedelta(days=days), pending)
    retention = retention_of(pool, timedelta(days=90), NOW)
    assert await retention() == Pruned(events=3, timeline=0, comparisons=0)
    assert await retention() == Pruned(events=0, timeline=0, comparisons=0)
    rows = await database.fetch(
        "SELECT order_number, pruned_seq, (SELECT count(*) FROM workflow_event WHERE workflow_id = w.id) FROM workflow AS w"
    )
    assert {tuple(row) for row in rows} == {
        ("finished-old", 3, 0),
        ("finished-young", 0, 3),
        ("running-old", 0, 3),
        ("stopped-old", 0, 3),
        ("crashed-old", 0, 3),
    }


async def test_the_story_of_an_order_goes_long_after_the_last_that_happened_to_it(
    pool: Database, database: Any
) -> None:
    for name, state, days, pending in _WORKFLOWS:
        await database.execute(_FILL, name, state, NOW - timedelta(days=days * 10), pending)
        for line in (days * 10 + 1, days * 10):
            await database.execute(_LINE, name, NOW - timedelta(days=line))
    await database.execute(_LINE, "touched again", NOW - timedelta(days=999))
    await database.execute(_FILL, "touched again", 3, NOW - timedelta(days=1), 0)
    await database.execute(_LINE, "never an order", NOW - timedelta(days=401))
    retention = retention_of(pool, timedelta(days=36500), NOW)
    assert (await retention()).timeline == 3
    assert (await retention()).timeline == 0
    left = await database.fetch("SELECT order_number, count(*) FROM timeline GROUP BY order_number")
    assert {tuple(row) for row in left} == {
        ("finished-young", 2),
        ("running-old", 2),
        ("stopped-old", 2),
        ("crashed-old", 2),
        ("touched again", 1),
    }


@pytest.mark.parametrize("way_out", ["as of now", "skip"])
async def test_a_late_event_of_a_pruned_order_fails_alone_and_has_a_way_out(
    start: Any, gateway: Any, database: Any, pool: Database, way_out: str
) -> None:
    api = await start()
    number = gateway.number("OLD")
    await gateway.send(
        gateway.hook("OLD", "order.created", minute=1, positions=[gateway.position("a")]),
        gateway.hook("OLD", "order.delivered", minute=5),
    )

    async def cursor(done: int, state: int) -> int:
        rows = await api.all(f"/admin/v1/workflows?order_number={number}&kind=order_life")
        assert [(row["done_seq"], row["state"]) for row in rows] == [(done, state)]
        return int(rows[0]["id"])

    await eventually(lambda: cursor(2, 3), what="delivered")
    await forgotten(pool)
    cheaper = [gateway.position("a", 2, "80.00")]
    await gateway.send(gateway.hook("OLD", "order.paid", minute=2, positions=cheaper))
    workflow = await eventually(lambda: cursor(3, 4), what="an older event")
    (crashed,) = await api.all("/admin/v1/workflows?state=crashed")
    assert crashed["error"].startswith("HistoryPruned")
    await gateway.send(gateway.hook("OLD", "order.received", minute=9))
    await eventually(lambda: cursor(4, 4), what="a newer event")
    order = await api.order(number)
    assert (order["status"], order["payment"]["paid"]) == ("delivered", False)
    said = {"reason": "the marketplace was late"}
    if way_out == "skip":
        assert (await api.call("POST", f"/admin/v1/workflow-events/{workflow}-3/skip", said))[0] == 200
        await eventually(lambda: cursor(4, 3), what="skipped")
        assert (await api.order(number))["payment"]["paid"] is False
        return
    path = f"/admin/v1/workflow-events/{workflow}-3/mend"
    assert (await api.call("POST", path, said))[0] == 422
    rehearsed = {**said, "payload": {"originalOrderId": "OLD"}, "dry_run": True}
    assert (await api.call("POST", path, rehearsed))[1]["effect"] is None, "nobody can tell what it would do"
    assert (await api.call("POST", path, {**said, "as_of_now": True}))[0] == 200
    await eventually(lambda: cursor(5, 3), what="applied as of now")
    order = await api.order(number)
    assert (order["status"], order["payment"]["paid"], order["positions"][0]["price"]) == ("delivered", True, 8000)


async def test_a_created_again_of_a_pruned_order_can_only_be_skipped(
    start: Any, gateway: Any, database: Any, pool: Database
) -> None:
    api = await start()
    created = gateway.hook("OLD", "order.created", minute=1, positions=[gateway.position("a")])
    await gateway.send(created, gateway.hook("OLD", "order.delivered", minute=5))
    await all_taken(database, 2)
    await forgotten(pool)
    await gateway.send(gateway.hook("OLD", "order.created", minute=1, positions=[gateway.position("b")]))
    await all_taken(database, 1)
    (failed,) = await api.all("/admin/v1/workflow-events?state=failed")
    path = f"/admin/v1/workflow-events/{failed['id']}"
    assert failed["failure"]["code"] == "history_pruned"
    assert (await api.call("POST", f"{path}/mend", {"reason": "as of now", "as_of_now": True}))[0] == 409
    assert (await api.call("POST", f"{path}/skip", {"reason": "it is a mistake"}))[0] == 200


async def test_a_repeat_of_the_known_created_of_a_pruned_order_changes_nothing(
    start: Any, gateway: Any, database: Any, pool: Database
) -> None:
    api = await start()
    created = gateway.hook("OLD", "order.created", minute=1, positions=[gateway.position("a")])
    await gateway.send(created, gateway.hook("OLD", "order.delivered", minute=5))
    await all_taken(database, 2)
    await forgotten(pool)
    await gateway.send(replace(created, event_id="the same, past the inbox"))
    await all_taken(database, 1)
    assert await api.all("/admin/v1/workflow-events?state=failed") == []
    assert (await api.order(gateway.number("OLD")))["status"] == "delivered"


async def test_two_late_hooks_of_one_second_and_other_content_both_stay_with_a_person(
    start: Any, gateway: Any, database: Any, pool: Database
) -> None:
    api = await start()
    goods = [gateway.position("a")]
    await gateway.send(gateway.hook("OLD", "order.created", minute=1, positions=goods))
    await gateway.send(gateway.hook("OLD", "order.delivered", minute=5))
    await all_taken(database, 2)
    await forgotten(pool)
    for comment in ("ring twice", "ring once"):
        await gateway.send(gateway.hook("OLD", "order.changed", minute=2, positions=goods, comment=comment))
    await all_taken(database, 2)
    failed = await eventually(lambda: _failed(api, 2), what="both have failed")
    assert {item["failure"]["code"] for item in failed} == {"history_pruned"}


async def _failed(api: Any, count: int) -> Any:
    found = await api.all("/admin/v1/workflow-events?state=failed")
    assert len(found) == count
    return found


async def test_an_order_that_drifted_is_counted_and_derived_again_one_on_its_way_is_not(
    pool: Database, database: Any, registry: CollectorRegistry
) -> None:
    for number, state in (("A", "finished"), ("B", "crashed"), ("C", "stopped")):
        await write_orders(database, number, state=state)
    await database.execute("INSERT INTO order_aggregate_change (order_number) VALUES ('C')")
    drift = Drift(pool, OrchestratorMetrics(registry), window=2)
    assert [await drift() for _ in range(3)] == [1, 0, 0]
    [verdict] = await database.fetch("SELECT name, found, looked FROM check_verdicts")
    assert tuple(verdict) == ("orders", 1, 3)
    assert registry.get_sample_value("order_aggregate_drifted_total") == 1
    assert await derive_aggregates(pool) == 2
    rows = await database.fetch("SELECT number, aggregate_state FROM orders ORDER BY number")
    assert [tuple(row) for row in rows] == [("A", "finished"), ("B", "finished"), ("C", "finished")]


async def test_sizes_growth_and_orders_by_source_are_measured(
    pool: Database, database: Any, registry: CollectorRegistry
) -> None:
    measure = Measure(pool, OrchestratorMetrics(registry, sources=("sbermarket",)))
    sizes = TableSizes(registry, TABLES)
    await sizes.measure(pool)
    # Two days ago the table was smaller by a thousand bytes: that makes 3,500 a week.
    await database.execute(
        "INSERT INTO table_size SELECT day - 2, name, bytes - 1000 FROM table_size WHERE name = 'workflow_event'"
    )
    await sizes.measure(pool)
    growth = {
        name: registry.get_sample_value("database_table_growth_bytes", {"table": name})
        for name in ("workflow_event", "orders")
    }
    assert growth == {"workflow_event": 3500.0, "orders": 0.0}
    for number, source, status in (("A", "sbermarket", "paid"), ("B", "sbermarket", "created"), ("C", "odd", "paid")):
        await write_orders(database, number, state="in_progress", source=source, status=status)
        await database.execute(_FILL, number, 2, NOW, 0)
    await measure.sources()

    def gauge(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    assert (
        gauge("order_recent_by_source", source="sbermarket", status="paid"),
        gauge("order_recent_by_source", source="sbermarket", status="delivered"),
        gauge("order_recent_by_source", source="other", status="paid"),
        gauge("order_troubled_by_source", source="sbermarket", state="stopped"),
        gauge("order_troubled_by_source", source="other", state="stopped"),
    ) == (1, 0, 1, 2, 1)


async def test_a_snapshot_that_somebody_else_holds_is_seen(
    pool: Database, database: Any, registry: CollectorRegistry
) -> None:
    measure = Measure(pool, OrchestratorMetrics(registry))
    async with database.transaction(isolation="repeatable_read"):
        await database.fetchval("SELECT count(*) FROM orders")
        await database.fetchval("SELECT pg_sleep(0.05)")
        await measure.work()
        held = registry.get_sample_value("database_oldest_snapshot_seconds")
    assert held is not None
    assert held > 0.04


async def test_what_waits_is_told_as_it_is_measured(start: Any, gateway: Any, database: Any, pool: Database) -> None:
    api = await start()
    await gateway.send(gateway.hook("EARLY", "order.paid", minute=2, positions=[gateway.position("a")]))
    await all_taken(database, 1)

    async def told() -> dict[str, Any]:
        said = await api.call("GET", "/admin/v1/queues", role="viewer")
        found = {each["name"]: each for each in said[1]["items"]}
        assert (said[0], said[1]["complete"], found["parked_orders"]["waiting"]) == (200, True, 1)
        return found

    found = await eventually(told)
    registry = new_registry()
    await Measure(pool, OrchestratorMetrics(registry)).work()
    assert registry.get_sample_value("order_parked") == 1
    oldest = registry.get_sample_value("order_parked_oldest_seconds")
    assert oldest is not None
    assert 0 <= found["parked_orders"]["oldest_seconds"] <= oldest
    assert {name: each["late_after_seconds"] for name, each in found.items()} == {
        "workflows": alert_after("orchestrator", "workflow_oldest_ready_seconds"),
        "calls": alert_after("orchestrator", "workflow_calls_oldest_ready_seconds"),
        "parked_orders": alert_after("orchestrator", "order_parked_oldest_seconds"),
        "messages.orchestrator.intake": None,
        "messages.orchestrator.journal": None,
        "messages.orchestrator.refunds": None,
        "outbox": alert_after("orchestrator", "outbox_oldest_seconds"),
        "dead_letters": 0.0,
    }


async def test_comparisons_of_tips_go_with_the_timeline(pool: Database, database: Any) -> None:
    for number, days in (("OLD", 500), ("YOUNG", 1)):
        at = NOW - timedelta(days=days)
        await database.execute("INSERT INTO tips_shadow VALUES ($1, $2, $2, 1, 0, 0)", number, at)
    assert await retention_of(pool, timedelta(days=90), NOW)() == Pruned(events=0, timeline=0, comparisons=1)
    assert [row["number"] for row in await database.fetch("SELECT number FROM tips_shadow")] == ["YOUNG"]


async def test_what_is_done_every_second_is_one_statement_while_there_is_nothing(pool: Database) -> None:
    seen: list[str] = []
    async with pool.acquire() as connection:
        connection.add_query_logger(lambda record: seen.append(record.query))
    assert await derive_aggregates(pool) == 0
    assert await raise_overdue(pool, ManualClock(NOW), limit=timedelta(hours=1), notify=seen.clear) == 0
    assert len(seen) == 2, seen
