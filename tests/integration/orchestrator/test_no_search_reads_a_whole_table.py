"""Claim, complete, every search and every operation on a big database: none reads a big table from end to end.

Here with some ten thousand orders; ``make chaos`` does the same with a million.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from common.clock import SystemClock
from common.postgres import Database
from common.telemetry.metrics import new_registry
from orchestrator.engine.model import ORDER_LIFE
from orchestrator.engine.operate import RESUME, STOP, operate
from orchestrator.engine.reprocess import append_copy
from orchestrator.engine.search import WorkflowSearch
from orchestrator.engine.select import WorkflowConditions, WorkflowFilter, add_conditions, find_workflows
from orchestrator.engine.store import WorkflowStore
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.orders.aggregate import Drift, derive_aggregates
from orchestrator.orders.contacts import by_email, by_phone, by_words
from orchestrator.orders.life import OrderLife, Placement
from orchestrator.orders.recalculate import derive_again
from orchestrator.orders.search import OrderSearch, select_orders, select_stock_movements
from orchestrator.orders.store import OrderStore
from orchestrator.timeline.store import select_timeline
from tests.integration.orchestrator.factories import worker_of
from tests.support.big_database import filled
from tests.support.order_hooks import append_hooks, hook
from tests.support.plans import WatchedDatabase

BIG = frozenset(
    {"orders", "order_contact", "workflow", "workflow_event", "timeline", "stock_movements", "inbox", "audit_log"}
)
REPEATS = 7
"""Past five executions PostgreSQL may take one plan for all values of the parameters: that one has to be good, too."""


async def lives(database: WatchedDatabase) -> None:
    """Take hooks in, carry them out, with a late one: claim, fold, complete and all effects."""
    life = OrderLife(OrderStore(database), SystemClock(), Placement(zones_by_store={}, tariffs_by_shipment={}))
    worker = worker_of(WorkflowStore(database), {ORDER_LIFE: life})
    for round_ in range(REPEATS):
        for event, minute in (("order.created", 1), ("order.paid", 4), ("order.changed", 2), ("order.delivered", 6)):
            hooks = [hook(f"L{round_}-{index}", event, minute=minute) for index in range(20)]
            async with database.transaction() as connection:
                await append_hooks(connection, hooks)
            assert await worker.work_once() == 20


def searches(database: WatchedDatabase, orders: int) -> list[Callable[[], Awaitable[Any]]]:
    """Every search with every filter that people use."""
    orders_, workflows = OrderSearch(database), WorkflowSearch(database)

    async def page(select: tuple[str, list[Any]]) -> list[Any]:
        async with database.acquire() as connection:
            return await connection.fetch(select[0], *select[1])

    nothing: dict[str, Any] = dict.fromkeys(
        ("status", "aggregate_state", "source", "store_id", "external_id", "payment_id", "since", "until", "after")
    )
    middle = datetime.now(UTC) - timedelta(seconds=orders / 2)
    of_orders: list[dict[str, Any]] = [
        {},
        {"status": "delivered"},
        {"status": "created"},
        {"aggregate_state": "crashed"},
        {"aggregate_state": "stopped", "source": "sbermarket"},
        {"aggregate_state": "finished", "store_id": "17"},
        {"source": "sbermarket", "external_id": "E77"},
        {"payment_id": "pay-77"},
        {"store_id": "17", "since": middle},
        {"until": middle, "status": "delivered"},
        {"after": (middle, "N1")},
        {"contact": [by_phone("+79160000077")]},
        {"contact": [by_phone("0077"), by_email("c77@")], "status": "delivered"},
        *(
            {"said": said, "meaning": by_words(said)}
            for said in ("E77", "N77", "0077", "c77@", "анна", "нна 77", "Щербатых", "ан")
        ),
        {"said": "анна", "meaning": by_words("анна"), "after": (middle, "N1"), "status": "created"},
    ]
    of_workflows: list[dict[str, Any]] = [
        {},
        *({"state": f"{state}"} for state in (1, 2, 3, 4)),
        {"order_number": "N5"},
        {"kind": "document"},
        {"kind": "order_life", "state": "crashed"},
        {"source": "sbermarket", "state": "stopped"},
        {"store_id": "17", "created_after": middle},
        {"event_type": "order.created", "code": "unreadable_hook"},
        {"kind": "order_life", "state": "crashed", "error": "ValueError at life.py:7"},
    ]
    of_events: list[tuple[int | None, int | None]] = [
        (5, None),
        (5, 1),
        (5, 2),
        (None, 1),
        (None, 2),
        (None, 3),
        (None, 4),
        (5, 5),
        (None, None),
    ]
    return [
        *(
            lambda change=change: orders_.orders(**{**nothing, **change}, limit=50)
            for change in of_orders
            if "said" in change or "contact" in change
        ),
        *(
            lambda change=change: page(select_orders(**{**nothing, **change}, limit=51))
            for change in of_orders
            if "said" not in change and "contact" not in change
        ),
        *(
            lambda change=change: page(
                workflows.workflows(partial(add_conditions, wanted=WorkflowConditions(**change)), before=None, limit=51)
            )
            for change in of_workflows
        ),
        lambda: page(workflows.workflows(lambda _filters: None, before=orders // 2, limit=51)),
        lambda: workflows.workflow(5, events=50),
        lambda: workflows.groups(limit=200),
        *(lambda pair=pair: page(workflows.events(pair[0], state=pair[1], after=None, limit=51)) for pair in of_events),
        lambda: page(workflows.events(None, state=None, trace=f"{5:032x}", after=None, limit=51)),
        lambda: page(workflows.events(None, state=3, trace="f" * 32, after=(5, 1), limit=51)),
        lambda: page(workflows.events(None, state=1, after=(orders // 2, 1), limit=51)),
        lambda: page(workflows.events(None, state=None, after=(orders // 2, 1), limit=51)),
        lambda: orders_.order("N9"),
        lambda: page(select_timeline("N9", None, 51)),
        lambda: page(select_stock_movements(store_id=None, number=None, after=None, limit=51)),
        lambda: page(select_stock_movements(store_id="17", number=None, after=None, limit=51)),
        lambda: page(select_stock_movements(store_id=None, number="N9", after=None, limit=51)),
        lambda: page(select_stock_movements(store_id="17", number=None, after=(orders // 2,), limit=51)),
    ]


async def operations(database: WatchedDatabase) -> None:
    """What operators and jobs do."""
    filters: list[dict[str, Any]] = [
        {"kind": "order_life"},
        {"store_id": "1"},
        {"order_numbers": ["N1", "N2"]},
        {"source": "sbermarket", "created_before": datetime.now(UTC)},
    ]
    for change in filters:
        async with database.transaction() as connection:
            wanted = WorkflowFilter(**change)
            found = await find_workflows(connection, wanted, None, 20, allowed=STOP.allowed)
            assert await find_workflows(connection, wanted, found, 20, allowed=STOP.allowed) == found
    async with database.transaction() as connection:
        await operate(connection, found[0], STOP)
        await operate(connection, found[0], RESUME)
        await append_copy(connection, 5, 1, actor="a", reason="r", traceparent=None)
        await derive_again(connection, ["N1", "N2"])
    await derive_aggregates(database)
    await Drift(database, OrchestratorMetrics(new_registry()))()


async def check(dsn: str, orders: int) -> None:
    """Fill, do everything often enough, and look at every plan."""
    seconds = await filled(dsn, orders)
    database = WatchedDatabase(dsn)
    await database.open()
    try:
        await lives(database)
        assert database.sequential_scans(BIG) == set(), "claim and complete"
        for search in searches(database, orders):
            for _ in range(REPEATS):
                await search()
        assert database.sequential_scans(BIG) == set(), "searches"
        await operations(database)
        assert database.sequential_scans(BIG) == set(), "operations"
    finally:
        await database.close()
    print(f"{orders} orders, filled in {seconds:.0f} s: no big table was read from end to end")  # noqa: T201 - what was done


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[Database]:
    """A pool, closed at the end."""
    database = Database(dsn, application_name="searches")
    await database.open()
    yield database
    await database.close()


async def test_no_search_and_no_statement_of_the_engine_reads_a_whole_table(dsn: str) -> None:
    await check(dsn, 40_000)


@pytest.mark.chaos
@pytest.mark.timeout(900)
async def test_the_same_with_a_million_orders(dsn: str) -> None:
    await check(dsn, 1_000_000)


@pytest.mark.parametrize(
    ("asked", "fits"),
    [
        ({"contact": [by_email("c1")]}, lambda n: f"{n}".startswith("1")),
        ({"contact": [by_email("c1")], "status": "created"}, lambda n: f"{n}".startswith("1") and n % 2000 < 4),
        ({"said": "c1@", "meaning": by_words("c1@")}, lambda n: n == 1),
        ({"said": "анна", "meaning": by_words("анна"), "status": "created"}, lambda n: n % 2000 < 4),
        ({"said": "нна 4", "meaning": by_words("нна")}, lambda n: True),
    ],
    ids=["rare", "rare, in a status", "one", "common, in a status", "common"],
)
async def test_pages_of_a_search_hold_every_order_once_and_the_newest_first(
    dsn: str, asked: dict[str, Any], fits: Callable[[int], bool]
) -> None:
    orders = 6000
    await filled(dsn, orders)
    async with opened(dsn) as database:
        search, found, after = OrderSearch(database), [], None
        nothing: dict[str, Any] = dict.fromkeys(("aggregate_state", "since", "until"))
        while rows := await search.orders(**nothing, **asked, after=after, limit=700):
            page = rows[:700]
            found += [row["number"] for row in page]
            after = (page[-1]["created_at"], page[-1]["number"])
    assert found == [f"N{n}" for n in range(orders, 0, -1) if fits(n)]


async def test_the_watch_sees_a_sequential_scan_where_there_is_one(dsn: str) -> None:
    database = WatchedDatabase(dsn)
    await database.open()
    async with database.acquire() as connection:
        await connection.fetch("SELECT count(*) FROM orders WHERE zone = $1", "z")
    assert database.sequential_scans(BIG) == {("orders", "SELECT count(*) FROM orders WHERE zone = $1")}
    await database.close()
