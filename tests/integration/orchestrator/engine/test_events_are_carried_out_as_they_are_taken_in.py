"""Hooks are carried out in the transaction that takes them in, where nobody else has to do with their order; else workers do it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import orjson
import pytest

from common.clock import SystemClock
from common.contracts.envelope import Envelope
from common.contracts.intake import IntakeMessage
from common.ids import new_id, order_number
from common.messaging import inbox
from common.postgres import Connection, Database, Lent
from common.telemetry.metrics import new_registry
from orchestrator.engine.model import ORDER_LIFE, UPDATE_TRANSACTIONS, Encoded, Outcome
from orchestrator.engine.operate import RESUME, STOP
from orchestrator.engine.store import WorkflowStore
from orchestrator.engine.worker import Worker, WorkerLimits
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.orders.hooks import event_id_of, ingest_hooks
from orchestrator.orders.life import OrderLife, Placement
from orchestrator.orders.store import OrderStore
from tests.integration.orchestrator.factories import append, event_for, ingest_of, operate_on, worker_of
from tests.support.crash_points import AnyConnectionWithCrashPoints, CrashPoint, KilledError
from tests.support.order_hooks import SOURCE, append_hooks, hook, life

PLACEMENT = Placement(zones_by_store={}, tariffs_by_shipment={})


def life_on(connection: Connection) -> OrderLife:
    return OrderLife(OrderStore(Lent(connection)), SystemClock(), PLACEMENT)


class Unwritable(OrderLife):
    """A handler with a bug: one of its statements fails."""

    async def write(self, connection: Connection, outcomes: Sequence[Outcome]) -> list[Encoded]:
        """Write half of it."""
        await super().write(connection, outcomes)
        await connection.execute("SELECT 1 / 0")
        return []


class Replica:
    """What one process takes hooks in with, and its worker; ``woken`` says whom its commits have woken.

    ``careful``: as what was delivered before, or what failed.
    """

    def __init__(self, database: Database, name: str = "one", handler: Any = life_on) -> None:
        self.database = database
        self.metrics = OrchestratorMetrics(new_registry())
        self.woken: list[str] = []
        self.ingest = ingest_of(handler, metrics=self.metrics, woken=self.woken)
        self.store = WorkflowStore(database)
        self.worker: Worker = worker_of(
            self.store,
            {ORDER_LIFE: OrderLife(OrderStore(database), SystemClock(), PLACEMENT)},
            owner=name,
            limits=WorkerLimits(max_attempts=1),
        )

    async def take_in(self, hooks: Sequence[IntakeMessage], *, careful: bool = False) -> None:
        """Do what the consumer does with a batch."""
        async with self.database.transaction() as connection:
            committed = await self.within(connection, hooks, careful=careful)
        committed()

    async def within(self, connection: Connection, hooks: Sequence[IntakeMessage], *, careful: bool = False) -> Any:
        """The same, in a transaction that is the caller's to commit."""
        envelopes = [each.to_envelope() for each in hooks]
        fresh = await inbox.claim(connection, "intake", [event_id_of(each) for each in envelopes])
        chosen = [each for each in envelopes if event_id_of(each) in fresh]
        if not chosen:
            return lambda: None
        ingest = self.ingest.append if careful else self.ingest
        return await ingest_hooks(connection, chosen, ingest=ingest)

    async def work(self) -> int:
        """Have the worker do all there is; return how many workflows that were."""
        total = 0
        while found := await self.worker.work_once():
            total += found
        return total

    async def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read."""
        async with self.database.acquire() as connection:
            return [tuple(row) for row in await connection.fetch(query, *values)]

    async def order(self, name: str) -> tuple[Any, ...]:
        """Status, cursor, last sequence and state of an order's life, and how often each of its messages is in the outbox."""
        query = (
            "SELECT o.status, w.done_seq, w.last_seq, w.state FROM workflow AS w LEFT JOIN orders AS o ON o.number = w.order_number"
            " WHERE w.order_number = $1 AND w.kind = 'order_life'"
        )
        number = order_number(SOURCE, name)
        (row,) = await self.rows(query, number)
        sent = [Envelope.decode(body) for (body,) in await self.rows("SELECT body FROM outbox")]
        return (*row, Counter(event.type.split(".")[2] for event in sent if event.subject == number))


@pytest.fixture
async def replica(dsn: str) -> AsyncIterator[Replica]:
    """One replica on a fresh database."""
    pool = Database(dsn, application_name="test", max_size=10)
    await pool.open()
    yield Replica(pool)
    await pool.close()


async def test_a_batch_takes_effect_in_the_transaction_that_takes_it_in(replica: Replica) -> None:
    async with replica.database.transaction() as connection:
        committed = await replica.within(connection, [*life("A"), hook("B", "order.paid", minute=3)])
        assert await replica.rows("SELECT FROM workflow") == []  # nobody sees half of it
    assert replica.woken == []
    committed()
    assert await replica.order("A") == ("delivered", 4, 4, 3, Counter(created=1, paid=1, changed=1, delivered=1))
    assert await replica.order("B") == (None, 1, 1, 1, Counter())
    assert await replica.rows("SELECT hook FROM parked_order") == [("order.paid",)]
    kinds = "SELECT DISTINCT kind FROM workflow JOIN workflow_ready ON workflow_id = id ORDER BY 1"
    assert await replica.rows(kinds) == [("order_document",), ("update_transactions",)]
    assert replica.woken == ["calls"]  # of what follows from the end of A
    completed = replica.metrics.completed.labels(ORDER_LIFE)._value.get()
    assert (completed, replica.metrics.claimed._value.get(), await replica.work()) == (5, 2, 0)
    await replica.take_in([hook("C", "order.created", minute=1), hook("A", "order.created", minute=1)])
    assert ((await replica.order("C"))[:4], (await replica.order("A"))[1:3]) == (("created", 1, 1, 1), (4, 4))
    assert replica.woken == ["calls", "relay"]
    await replica.take_in([hook("B", "order.created", minute=1)])
    assert (await replica.order("B"))[:4] == ("paid", 2, 2, 1)


async def test_what_was_delivered_before_is_left_to_the_workers(replica: Replica) -> None:
    await replica.take_in(life("A"), careful=True)
    assert (await replica.order("A"))[:3] == (None, 0, 4)
    assert replica.woken == ["workers"]
    # As long as something waits there, what comes behind it waits too.
    await replica.take_in([hook("A", "order.received", minute=4), hook("B", "order.created", minute=1)])
    assert ((await replica.order("A"))[1:3], (await replica.order("B"))[1:3]) == ((0, 5), (1, 1))
    assert (await replica.work(), (await replica.order("A"))[:4]) == (1, ("delivered", 5, 5, 3))


async def test_a_workflow_that_a_worker_has_is_left_to_it_and_a_late_result_is_refused(replica: Replica) -> None:
    created, paid, changed, delivered = life("A")
    await replica.take_in([created], careful=True)
    (claim,) = await replica.store.claim(owner="sleeper", limit=9, lease_seconds=-1)
    await replica.take_in([paid])
    assert (await replica.order("A"))[:3] == (None, 0, 2)
    await replica.store.release_expired()
    await replica.work()
    await replica.take_in([changed, delivered])
    assert await replica.work() == 0
    late = Outcome(claim=claim, upto=1)
    handler = OrderLife(OrderStore(replica.database), SystemClock(), PLACEMENT)
    for _ in range(2):
        assert not await replica.store.complete(owner="sleeper", outcomes=[late], failures=[], write=handler.write)
    assert await replica.order("A") == ("delivered", 4, 4, 3, Counter(created=1, paid=1, changed=1, delivered=1))


async def test_what_was_left_waits_behind_the_cursor_that_was_and_is_done_once(replica: Replica) -> None:
    """The cursor moves as events are appended, before anybody has carried them out: it goes back where nobody does."""
    created, paid, changed, delivered = life("A")
    unreadable = replace(hook("A", "order.changed", minute=4), body=b"{}", event_id="unreadable")
    await replica.take_in([created, paid])
    async with replica.database.transaction() as connection:
        committed = await replica.within(connection, [unreadable, delivered])
        cursor = "SELECT done_seq, last_seq, state FROM workflow WHERE kind = 'order_life'"
        assert [tuple(row) for row in await connection.fetch(cursor)] == [(2, 4, 1)]
    committed()
    assert (await replica.order("A"))[1:3] == (2, 4)
    await replica.take_in([changed])
    assert (await replica.order("A"))[1:3] == (2, 5)
    assert await replica.work() > 0
    sent = Counter(created=1, paid=1, changed=1, delivered=1, crashed=1)
    assert await replica.order("A") == ("delivered", 5, 5, 1, sent)
    assert await replica.rows("SELECT seq FROM set_aside_event") == [(3,)]


async def test_a_stopped_workflow_collects_what_comes(replica: Replica) -> None:
    created, paid, *_ = life("A")
    await replica.take_in([created])
    ((workflow,),) = await replica.rows("SELECT id FROM workflow")
    await operate_on(replica.database, STOP.name, workflow)
    await replica.take_in([paid])
    assert (await replica.order("A"))[:4] == ("created", 1, 2, 2)
    await operate_on(replica.database, RESUME.name, workflow)
    assert (await replica.work(), (await replica.order("A"))[:4]) == (1, ("paid", 2, 2, 1))


async def test_what_cannot_be_read_is_set_aside_and_harms_none_of_its_neighbours(replica: Replica) -> None:
    bad = replace(
        hook("B", "order.changed", minute=2),
        body=orjson.dumps({"payload": {"positions": [{"id": "a", "quantity": "a few"}]}}),
    )
    await replica.take_in([hook("A", "order.created", minute=1), hook("B", "order.created", minute=1), bad, *life("C")])
    assert [(await replica.order(name))[1:3] for name in "ABC"] == [(1, 1), (0, 2), (4, 4)]
    assert replica.woken == ["workers"]
    assert await replica.work() > 0
    assert await replica.rows("SELECT seq, state, code FROM set_aside_event") == [(2, 3, "unreadable_hook")]
    assert (await replica.order("B"))[1:3] == (2, 2)
    # What comes behind it takes effect, by a worker: it may take the place of what failed.
    await replica.take_in([hook("B", "order.changed", minute=3, quantity=5)])
    assert (await replica.order("B"))[1:3] == (2, 3)
    assert (await replica.work(), (await replica.order("B"))[1:3]) == (1, (3, 3))


async def test_what_cannot_be_written_is_rolled_back_and_left_to_the_workers(replica: Replica) -> None:
    broken = Replica(
        replica.database,
        handler=lambda connection: Unwritable(OrderStore(Lent(connection)), SystemClock(), PLACEMENT),
    )
    batch = [*life("A"), hook("B", "order.created", minute=1)]
    with pytest.raises(asyncpg.DivisionByZeroError):
        await broken.take_in(batch)
    assert await replica.rows("SELECT FROM workflow") == []
    await broken.take_in(batch, careful=True)
    assert (await replica.work(), (await replica.order("A"))[:4]) == (2, ("delivered", 4, 4, 3))


async def test_an_order_whose_other_workflow_is_held_is_left_to_the_workers(replica: Replica) -> None:
    *early, delivered = life("A")
    await replica.take_in(early)
    number = order_number(SOURCE, "A")
    # Somebody has tips decided again, and holds what would follow: they are not waited for.
    await append(replica.database, event_for(number, UPDATE_TRANSACTIONS, "again"))
    async with replica.database.transaction() as other:
        await other.execute("SELECT FROM workflow WHERE kind = 'update_transactions' FOR NO KEY UPDATE")
        await replica.take_in([delivered, hook("B", "order.created", minute=1)])
    assert ((await replica.order("A"))[1:3], (await replica.order("B"))[1:3]) == ((3, 4), (1, 1))
    assert (await replica.work(), (await replica.order("A"))[:4]) == (1, ("delivered", 4, 4, 3))


@pytest.mark.parametrize("at_once", [True, False])
async def test_it_may_die_at_every_statement_and_nothing_is_lost_or_done_twice(replica: Replica, at_once: bool) -> None:
    """``at_once`` False: one of its orders is left to the workers as well."""

    @asynccontextmanager
    async def mortal_transaction(point: CrashPoint) -> AsyncIterator[Any]:
        async with replica.database.acquire() as real:
            async with real.transaction():
                yield AnyConnectionWithCrashPoints(real, point)
                await point.point()
            await point.point()

    deaths, killed = 0, True
    while killed:
        deaths += 1
        first, second = f"K{deaths}", f"L{deaths}"
        created, *more = life(first)
        await replica.take_in([created], careful=not at_once)
        batch = [*more, *life(second)]
        try:
            async with mortal_transaction(CrashPoint(dies_at=deaths)) as connection:
                await replica.within(connection, batch)
            killed = False
        except KilledError:
            await replica.take_in(batch, careful=True)
        await replica.work()
        sent = Counter(created=1, paid=1, changed=1, delivered=1)
        for name in (first, second):
            assert await replica.order(name) == ("delivered", 4, 4, 3, sent), deaths
        entries = "SELECT order_number FROM timeline GROUP BY order_number, kind, summary, details HAVING count(*) > 1"
        assert await replica.rows(entries) == [], deaths
    assert deaths > 18


async def test_replicas_workers_and_operators_never_lock_each_other_out(replica: Replica) -> None:
    replicas = [replica, Replica(replica.database, "two")]
    names = [f"N{index:02}" for index in range(24)]
    for name in reversed(names):  # so that ids run against numbers
        await replica.take_in([hook(name, "order.created", minute=0)])
    numbers = [order_number(SOURCE, name) for name in names]
    over = asyncio.Event()

    async def work(at: Replica) -> None:
        while not over.is_set():
            await at.work()
            await asyncio.sleep(0)

    async def lock_all() -> None:
        """Lock orders with all their workflows as who erases a customer does."""
        while not over.is_set():
            async with replica.database.transaction() as connection:
                await connection.execute(
                    "SELECT FROM workflow WHERE order_number = ANY($1::text[]) ORDER BY order_number, kind, key FOR NO KEY UPDATE",
                    numbers,
                )
            await asyncio.sleep(0)

    async def feed(at: Replica, part: int) -> None:
        for minute in range(1, 12):
            event = "order.delivered" if minute == 8 else "order.changed" if minute % 2 else "order.paid"
            hooks = [hook(name, event, minute=10 * minute + part, quantity=minute) for name in names]
            await at.take_in(hooks if part else hooks[::-1], careful=minute % 4 == part)

    tasks = [asyncio.create_task(each) for each in (*map(work, replicas), lock_all())]
    await asyncio.gather(*(feed(at, part) for part, at in enumerate(replicas)))
    over.set()
    await asyncio.gather(*tasks)
    await replica.work()
    assert await replica.rows("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [(0,)]
    query = "SELECT order_number FROM workflow WHERE kind = 'order_life' AND (done_seq < last_seq OR last_seq <> 23)"
    assert await replica.rows(query) == []


async def test_beside_a_consumer_of_the_release_before_each_event_is_carried_out_once(replica: Replica) -> None:
    """It appends and makes ready; its workers claim and complete."""
    for index in range(10):
        created, *more, delivered = life(f"O{index}")
        async with replica.database.transaction() as connection:
            await append_hooks(connection, [created])
        await asyncio.gather(replica.take_in(more), replica.work())
        await replica.work()
        await replica.take_in([delivered])
        sent = Counter(created=1, paid=1, changed=1, delivered=1)
        assert await replica.order(f"O{index}") == ("delivered", 4, 4, 3, sent)


async def ways(replica: Replica, name: str) -> list[tuple[datetime, datetime | None, str | None]]:
    """Of an order's events on their way out: when its hook was received first, when it was taken in here, and what it came by."""
    sent = [Envelope.decode(body) for (body,) in await replica.rows("SELECT body FROM outbox ORDER BY id")]
    of_order = [
        event
        for event in sent
        if event.type.startswith("orders.order.") and event.subject == order_number(SOURCE, name)
    ]
    said = [[event.extension(each) for each in ("receivedat", "takenat", "cameby")] for event in of_order]
    return [
        (datetime.fromisoformat(str(first)), datetime.fromisoformat(taken) if taken else None, way)
        for first, taken, way in said
    ]


async def test_an_order_event_says_when_and_by_which_way_its_hook_came(replica: Replica) -> None:
    """Also after a death before the commit, and a repeat that came sooner changes nothing."""
    now = datetime.now(UTC)
    spooled = replace(hook("A", "order.created", minute=1), lane="spool", received_at=now - timedelta(seconds=22))
    with pytest.raises(KilledError):
        async with replica.database.transaction() as connection:
            await replica.within(connection, [spooled])
            raise KilledError
    await replica.take_in([spooled], careful=True)
    await replica.work()
    await replica.take_in([replace(spooled, lane="broker", delivery_id=new_id(), received_at=now)])
    queued = replace(hook("A", "order.paid", minute=3), received_at=now - timedelta(seconds=9))
    again = replace(
        hook("A", "order.delivered", minute=5),
        reason="replay:d",
        occurred_at=now - timedelta(days=2),
        received_at=now,
    )
    await replica.take_in([queued, hook("B", "order.created", minute=1)])
    await replica.take_in([again])
    told = await ways(replica, "A")
    assert [(first, way) for first, _, way in told] == [
        (spooled.received_at, "spool"),
        (queued.received_at, "queue"),
        (again.occurred_at, "person"),
    ]
    assert all(taken is not None and taken >= now for _, taken, _ in told)
    [(_, *at_once)] = await ways(replica, "B")
    assert at_once == [None, None]


async def test_an_event_that_was_parked_says_that_it_had_come_at_once(replica: Replica) -> None:
    early = hook("A", "order.paid", minute=3)
    await replica.take_in([early])
    await replica.take_in([hook("A", "order.created", minute=1)])
    assert (early.received_at, None, None) in await ways(replica, "A")
