"""Events that fail in every way: kept once, harming no neighbour, never taken for done."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from common.contracts import Envelope
from common.contracts.journal import JournalEntryV1
from common.errors import Unavailable
from common.messaging import Broker, Consumer, Handler, MessagingMetrics
from common.messaging.topology import ORCHESTRATOR_JOURNAL
from common.postgres import Connection, Database
from tests.support.servers import eventually, proxied

MakeConsumer = Callable[..., Consumer]


def an_event(event_id: str) -> Envelope:
    """A journal entry with this id."""
    entry = JournalEntryV1(
        order_number="N1", service="test", kind="test.done", actor="test", summary="done", occurred_at=datetime.now(UTC)
    )
    return Envelope.of(entry, event_id=event_id, source="/test", subject="N1", time=entry.occurred_at)


@pytest.fixture
async def make_consumer(database: Database, metrics: MessagingMetrics, amqp_url: str) -> MakeConsumer:
    """Consumers of the journal queue, and a table in which every effect leaves a row."""
    async with database.acquire() as connection:
        await connection.execute("CREATE TABLE effects (event_id text PRIMARY KEY)")

    def make(handler: Handler, **options: Any) -> Consumer:
        chosen = {"database": database, "url": amqp_url, "max_attempts": 3, **options}
        return Consumer(
            chosen.pop("url"),
            ORCHESTRATOR_JOURNAL,
            name="test.journal",
            service="test",
            handler=handler,
            metrics=metrics,
            **chosen,
        )

    return make


@asynccontextmanager
async def consuming(consumer: Consumer) -> AsyncIterator[None]:
    """Run a consumer, and end it the way a service does."""
    task = asyncio.create_task(consumer.run())
    try:
        yield
    finally:
        await consumer.stop()
        await asyncio.wait_for(task, 60)


async def record(connection: Connection, events: Sequence[Envelope]) -> None:
    """The effect: a row for each event."""
    await connection.executemany("INSERT INTO effects VALUES ($1)", [(event.id,) for event in events])


def rows(database: Database, query: str) -> Callable[[], Awaitable[list[Any]]]:
    """Return a probe: the first column of the query's rows."""

    async def probe() -> list[Any]:
        async with database.acquire() as connection:
            return [row[0] for row in await connection.fetch(query)]

    return probe


async def has(probe: Callable[[], Awaitable[list[Any]]], *expected: Any, what: str) -> None:
    """Wait until the probe gives exactly these."""

    async def compare() -> bool:
        return await probe() == list(expected)

    await eventually(compare, what=what)


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000], ids=["a NUL in its id", "an id longer than an index takes"])
async def test_an_event_that_the_database_cannot_even_count_is_kept_as_a_dead_letter(
    name: str, broker: Broker, database: Database, make_consumer: MakeConsumer
) -> None:
    """Such an id makes every statement fail; the service must not die of it again and again."""
    async with consuming(make_consumer(record)):
        odd = json.dumps({**json.loads(an_event("x").encode()), "id": name}).encode()
        await broker.publisher.publish_raw("journal", JournalEntryV1.TYPE, odd)
        await broker.publisher.publish(an_event("sound"))
        await has(rows(database, "SELECT event_id FROM effects"), "sound", what="the neighbour's effect")
        await eventually(rows(database, "SELECT id FROM dead_letters"), what="the dead letter")
    assert await rows(database, "SELECT reason FROM dead_letters")() == ["undecodable"]


async def test_a_key_function_that_fails_makes_a_dead_letter(
    broker: Broker, database: Database, make_consumer: MakeConsumer
) -> None:
    """A service's own way of recognising repeats may stumble over an event."""

    def key(envelope: Envelope) -> str:
        return {"sound": "sound"}[envelope.id]

    async with consuming(make_consumer(record, key=key)):
        await broker.publisher.publish(an_event("odd"))
        await broker.publisher.publish(an_event("sound"))
        await has(rows(database, "SELECT event_id FROM effects"), "sound", what="the neighbour's effect")
        await has(rows(database, "SELECT event_id FROM dead_letters"), "odd", what="the dead letter")


async def test_a_handler_that_swallows_a_failed_statement_does_not_lose_the_event(
    broker: Broker, database: Database, make_consumer: MakeConsumer
) -> None:
    """PostgreSQL answers COMMIT of a failed transaction with a quiet ROLLBACK: taken for done, the event would be gone."""

    async def handler(connection: Connection, events: Sequence[Envelope]) -> None:
        await record(connection, events)
        try:
            await connection.execute("SELECT 1/0")
        except asyncpg.DivisionByZeroError:
            return

    async with consuming(make_consumer(handler)):
        await broker.publisher.publish(an_event("swallowed"))
        await has(rows(database, "SELECT event_id FROM dead_letters"), "swallowed", what="the dead letter")


@pytest.mark.parametrize("body", ["undecodable", "poison"])
async def test_a_dead_letter_whose_acknowledgement_was_lost_is_kept_once(
    body: str, amqp_url: str, broker: Broker, database: Database, make_consumer: MakeConsumer
) -> None:
    """The link is cut between the commit of the dead letter and the acknowledgement."""

    async def handler(connection: Connection, events: Sequence[Envelope]) -> None:
        if any(event.id == "poison" for event in events):
            raise ValueError
        await record(connection, events)

    async with proxied(amqp_url) as (proxy, address):
        cuts = 2

        def cut() -> None:
            nonlocal cuts
            if cuts:
                cuts -= 1
                proxy.cut()

        async def no_cuts_left() -> bool:
            return cuts == 0

        async with consuming(make_consumer(handler, url=address, after_commit=cut)):
            if body == "poison":
                await broker.publisher.publish(an_event("poison"))
            else:
                await broker.publisher.publish_raw("journal", JournalEntryV1.TYPE, b"\xff")
            await eventually(no_cuts_left, what="both cuts")
            await broker.publisher.publish(an_event("sound"))
            await has(rows(database, "SELECT event_id FROM effects"), "sound", what="the neighbour's effect")
    assert await rows(database, "SELECT reason FROM dead_letters")() == [body]


async def test_an_event_that_must_wait_does_not_hold_up_its_batch(
    broker: Broker, database: Database, make_consumer: MakeConsumer
) -> None:
    """One event's other side is away; its neighbours take effect meanwhile, and it takes effect in the end."""
    away = True

    async def handler(connection: Connection, events: Sequence[Envelope]) -> None:
        if away and any(event.id == "b" for event in events):
            raise Unavailable("the other side is away")
        await record(connection, events)

    consumer = make_consumer(handler, linger=0.2)
    async with consuming(consumer):
        for name in ("a", "b", "c"):
            await broker.publisher.publish(an_event(name))
        effects = rows(database, "SELECT event_id FROM effects ORDER BY 1")
        await has(effects, "a", "c", what="the neighbours' effects")
        away = False
        await has(effects, "a", "b", "c", what="all effects")
    assert await rows(database, "SELECT event_id FROM dead_letters")() == []


async def test_a_failure_that_was_overcome_is_forgotten(
    broker: Broker, database: Database, make_consumer: MakeConsumer
) -> None:
    """Else the event would start with fewer attempts when an operator sends it again."""
    failures = 3

    async def handler(connection: Connection, events: Sequence[Envelope]) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise ValueError
        await record(connection, events)

    async with consuming(make_consumer(handler)):
        await broker.publisher.publish(an_event("shaky"))
        await has(rows(database, "SELECT event_id FROM effects"), "shaky", what="the effect")
    assert await rows(database, "SELECT event_id FROM delivery_failures")() == []


@pytest.mark.parametrize(
    "trouble",
    [
        asyncpg.DiskFullError("no space left"),
        asyncpg.ReadOnlySQLTransactionError("this is a standby"),
        asyncpg.QueryCanceledError("cancelled by somebody"),
        asyncpg.IdleInTransactionSessionTimeoutError("too slow"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_trouble_of_the_server_costs_no_attempt(
    trouble: asyncpg.PostgresError, broker: Broker, database: Database, make_consumer: MakeConsumer
) -> None:
    """A full disk or a fail-over is no fault of the event."""
    failures = 4

    async def handler(connection: Connection, events: Sequence[Envelope]) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise trouble
        await record(connection, events)

    async with consuming(make_consumer(handler, max_attempts=1)):
        await broker.publisher.publish(an_event("patient"))
        await has(rows(database, "SELECT event_id FROM effects"), "patient", what="the effect")
    assert await rows(database, "SELECT event_id FROM dead_letters")() == []


async def test_a_migration_under_a_running_consumer_costs_no_attempt(
    broker: Broker, database: Database, make_consumer: MakeConsumer
) -> None:
    """Prepared statements of the old schema fail once inside a transaction; the event is innocent."""

    async def handler(connection: Connection, events: Sequence[Envelope]) -> None:
        await record(connection, events)
        await connection.fetch("SELECT * FROM effects")

    effects = rows(database, "SELECT event_id FROM effects ORDER BY 1")
    async with consuming(make_consumer(handler, max_attempts=1)):
        for number in range(3):
            await broker.publisher.publish(an_event(str(number)))
            await has(effects, *map(str, range(number + 1)), what="the effect")
            async with database.acquire() as connection:
                await connection.execute(f"ALTER TABLE effects ADD COLUMN extra{number} integer")
    assert await rows(database, "SELECT event_id FROM dead_letters")() == []
