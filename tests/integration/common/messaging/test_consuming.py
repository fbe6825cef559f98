"""The consumer against a real broker and a real database: every event takes effect once, none is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import asyncpg
import pytest

from common.contracts import Envelope
from common.contracts.journal import JournalEntryV1
from common.errors import Unavailable
from common.messaging import Broker, Consumer, Handler, MessagingMetrics, OutboxRelay, outbox
from common.messaging.dead_letter_decisions import replay
from common.messaging.topology import ORCHESTRATOR_JOURNAL
from common.postgres import Connection, Database
from tests.support.servers import TestRabbit, eventually, proxied, vhost_of

MakeConsumer = Callable[..., Consumer]


def an_event(event_id: str) -> Envelope:
    """A journal entry with this id."""
    entry = JournalEntryV1(
        order_number="N1", service="test", kind="test.done", actor="test", summary="done", occurred_at=datetime.now(UTC)
    )
    return Envelope.of(entry, event_id=event_id, source="/test", subject="N1", time=entry.occurred_at)


@pytest.fixture
async def effects(database: Database) -> None:
    """A table in which every effect leaves a row."""
    async with database.acquire() as connection:
        await connection.execute("CREATE TABLE effects (event_id text NOT NULL)")


@pytest.fixture
def make_consumer(database: Database, metrics: MessagingMetrics, amqp_url: str, effects: None) -> MakeConsumer:
    """Consumers of the journal queue that share a name, as replicas do."""

    def make(handler: Handler, careful: Handler | None = None) -> Consumer:
        return Consumer(
            amqp_url,
            ORCHESTRATOR_JOURNAL,
            database=database,
            name="test.journal",
            service="test",
            handler=handler,
            careful=careful,
            metrics=metrics,
            max_attempts=3,
        )

    return make


@asynccontextmanager
async def consuming(*consumers: Consumer) -> AsyncIterator[None]:
    """Run consumers, and end them the way a service does."""
    tasks = [asyncio.create_task(consumer.run()) for consumer in consumers]
    try:
        yield
    finally:
        for consumer in consumers:
            await consumer.stop()
        await asyncio.wait_for(asyncio.gather(*tasks), 60)


async def record(connection: Connection, events: Sequence[Envelope]) -> None:
    """The effect: a row for each event."""
    await connection.executemany("INSERT INTO effects VALUES ($1)", [(event.id,) for event in events])


async def effects_of(database: Database) -> list[str]:
    """Return the ids of all effects, sorted, repeats included."""
    async with database.acquire() as connection:
        return [row["event_id"] for row in await connection.fetch("SELECT event_id FROM effects ORDER BY 1")]


async def test_repeats_take_effect_once_with_two_replicas(
    broker: Broker, database: Database, make_consumer: MakeConsumer
) -> None:
    """Three hundred events, each sent twice, two replicas: three hundred effects."""
    ids = [f"{number:04d}" for number in range(300)]
    async with consuming(make_consumer(record), make_consumer(record)):
        await asyncio.gather(*(broker.publisher.publish(an_event(name), deadline=10) for name in ids + ids))
        await eventually(lambda: _at_least(database, 300), what="all effects")
    assert await effects_of(database) == ids


async def test_poison_becomes_a_dead_letter_and_its_neighbours_are_not_harmed(
    broker: Broker, database: Database, make_consumer: MakeConsumer, metrics: MessagingMetrics
) -> None:
    """The poisoned event is tried three times, kept with its reason, and raises a problem; the others take effect."""

    async def handler(connection: Connection, events: Sequence[Envelope]) -> None:
        await record(connection, events)
        if any(event.id == "poison" for event in events):
            raise ValueError("a text that may quote a payload")

    async with consuming(make_consumer(handler)):
        for name in ("a", "poison", "b"):
            await broker.publisher.publish(an_event(name))
        await eventually(lambda: _dead(database), what="the dead letter")
        await eventually(lambda: _at_least(database, 2), what="the neighbours' effects")
    async with database.acquire() as connection:
        letter = await connection.fetchrow("SELECT queue, handler, event_id, reason, error FROM dead_letters")
        failures = await connection.fetchval("SELECT count(*) FROM delivery_failures")
        outgoing = [row["routing_key"] for row in await connection.fetch("SELECT routing_key FROM outbox")]
    assert await effects_of(database) == ["a", "b"]
    assert letter is not None
    assert "quote" not in letter["error"]
    assert (letter["queue"], letter["handler"], letter["event_id"], letter["reason"], failures, outgoing) == (
        "orchestrator.journal",
        "test.journal",
        "poison",
        "poison",
        0,
        ["alerts.problem.raised.v1"],
    )


async def test_a_replayed_dead_letter_takes_effect_once(
    broker: Broker, database: Database, make_consumer: MakeConsumer, metrics: MessagingMetrics
) -> None:
    """After the mend an operator replays the letter; a second replay is refused."""
    broken = True

    async def handler(connection: Connection, events: Sequence[Envelope]) -> None:
        if broken:
            raise ValueError("not yet")
        await record(connection, events)

    relay = OutboxRelay(database, broker.publisher, metrics=metrics)
    relaying = asyncio.create_task(relay.run())
    async with consuming(make_consumer(handler)):
        await broker.publisher.publish(an_event("late"))
        await eventually(lambda: _dead(database), what="the dead letter")
        broken = False
        async with database.transaction() as connection:
            letter_id = await connection.fetchval("SELECT id FROM dead_letters")
            await replay(connection, letter_id, actor="olga")
        relay.wake()
        await eventually(lambda: _at_least(database, 1), what="the effect")
    await relay.stop()
    await relaying
    assert await effects_of(database) == ["late"]
    with pytest.raises(Exception, match="was replayed before, by olga"):
        async with database.transaction() as connection:
            await replay(connection, letter_id, actor="pavel")


async def test_what_is_away_is_waited_for_and_costs_no_attempt(
    broker: Broker, database: Database, make_consumer: MakeConsumer
) -> None:
    """Six retryable failures, with a limit of three attempts: the event still takes effect."""
    failures = 6

    async def handler(connection: Connection, events: Sequence[Envelope]) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise Unavailable("the other side is away")
        await record(connection, events)

    async with consuming(make_consumer(handler)):
        await broker.publisher.publish(an_event("patient"))
        await eventually(lambda: _at_least(database, 1), what="the effect")
    assert (await effects_of(database), await _dead(database)) == (["patient"], [])


async def test_what_the_handler_fails_with_goes_to_the_careful_one_whole(
    broker: Broker, database: Database, make_consumer: MakeConsumer
) -> None:
    """Costs no attempt, and leaves nothing of what the first one did."""

    async def fails(connection: Connection, events: Sequence[Envelope]) -> None:
        await record(connection, events)
        raise ValueError("a bug")

    async with consuming(make_consumer(fails, record)):
        await asyncio.gather(*(broker.publisher.publish(an_event(name)) for name in ("a", "b")))
        await eventually(lambda: _at_least(database, 2), what="the effects")
    async with database.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM delivery_failures") == 0
    assert await effects_of(database) == ["a", "b"]


async def test_what_was_delivered_to_one_that_died_goes_to_the_careful_one(
    broker: Broker, database: Database, make_consumer: MakeConsumer
) -> None:
    """It may be what killed that one. What comes for the first time goes the usual way."""
    had: list[tuple[str, list[str]]] = []
    begun = asyncio.Event()

    async def dies(connection: Connection, events: Sequence[Envelope]) -> None:
        begun.set()
        await asyncio.Event().wait()

    def noting(name: str) -> Handler:
        async def handler(connection: Connection, events: Sequence[Envelope]) -> None:
            had.append((name, [event.id for event in events]))
            await record(connection, events)

        return handler

    await broker.publisher.publish(an_event("deadly"))
    dying = asyncio.create_task(make_consumer(dies).run())
    await asyncio.wait_for(begun.wait(), 60)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    async with consuming(make_consumer(noting("usual"), noting("again"))):
        await eventually(lambda: _at_least(database, 1), what="the first effect")
        await broker.publisher.publish(an_event("new"))
        await eventually(lambda: _at_least(database, 2), what="the second effect")
    assert had == [("again", ["deadly"]), ("usual", ["new"])]


async def test_what_a_handler_returns_is_called_once_its_effect_is_committed(
    broker: Broker, database: Database, make_consumer: MakeConsumer
) -> None:
    """Never for what was rolled back; failing harms nobody."""
    called: list[str] = []
    attempts = 0

    async def handler(connection: Connection, events: Sequence[Envelope]) -> Callable[[], None]:
        nonlocal attempts
        attempts += 1
        if attempts > 1:
            await record(connection, events)

        def committed(name: str = f"{events[0].id} {attempts}") -> None:
            called.append(name)
            raise RuntimeError("a wake-up that fails")

        if attempts == 1:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return committed

    async with consuming(make_consumer(handler)):
        await broker.publisher.publish(an_event("a"))
        await eventually(lambda: _at_least(database, 1), what="the effect")
    assert (await effects_of(database), called) == (["a"], ["a 2"])


async def test_a_body_that_is_no_event_is_kept_as_a_dead_letter(
    broker: Broker, database: Database, make_consumer: MakeConsumer
) -> None:
    """Undecodable bytes do not stop the queue and are not lost."""
    async with consuming(make_consumer(record)):
        await broker.publisher.publish_raw("journal", "journal.entry.recorded.v1", b"\xff not json")
        await broker.publisher.publish(an_event("sound"))
        await eventually(lambda: _at_least(database, 1), what="the sound event")
    async with database.acquire() as connection:
        letter = await connection.fetchrow("SELECT reason, body FROM dead_letters")
    assert tuple(letter or ()) == ("undecodable", b"\xff not json")


async def test_connections_lost_in_the_middle_lose_and_double_nothing(
    broker: Broker, database: Database, make_consumer: MakeConsumer, rabbit: TestRabbit, amqp_url: str
) -> None:
    """The broker closes every connection while a thousand events are taken in."""
    ids = [f"{number:04d}" for number in range(1000)]

    async def slowly(connection: Connection, events: Sequence[Envelope]) -> None:
        await record(connection, events)
        await asyncio.sleep(0.01)

    async def send(name: str) -> None:
        await eventually(lambda: _published(broker, name), every=0.1, what=f"publishing {name}")

    async with consuming(make_consumer(slowly)):
        sending = asyncio.gather(*(send(name) for name in ids))
        for _ in range(3):
            await eventually(lambda: rabbit.connections(vhost_of(amqp_url)), what="connections")
            await rabbit.close_connections(vhost_of(amqp_url))
        await sending
        await eventually(lambda: _at_least(database, 1000), what="all effects")
    assert await effects_of(database) == ids


async def test_a_database_that_is_cut_or_swallows_answers_loses_and_doubles_nothing(
    broker: Broker, database: Database, metrics: MessagingMetrics, amqp_url: str, effects: None
) -> None:
    """Cut at any statement, and a commit whose answer is lost: it happened, and is not done again."""
    ids = [f"{number:04d}" for number in range(600)]
    async with proxied(database.dsn) as (proxy, address):
        shaky = Database(address, application_name="shaky", command_timeout=1.0)
        await shaky.open()
        consumer = Consumer(
            amqp_url,
            ORCHESTRATOR_JOURNAL,
            database=shaky,
            name="test.journal",
            service="test",
            handler=record,
            metrics=metrics,
            max_attempts=1,
            batch_size=20,
        )
        async with consuming(consumer):
            sending = asyncio.gather(*(broker.publisher.publish(an_event(name), deadline=30) for name in ids))
            for part in (50, 200, 350):
                await eventually(lambda part=part: _at_least(database, part), what="some effects")  # type: ignore[misc]  # mypy does not infer a lambda's default
                proxy.lose_answers()
                await asyncio.sleep(0.05)
                proxy.cut()
                proxy.heal()
            await sending
            await eventually(lambda: _at_least(database, 600), what="all effects")
        await shaky.close()
    assert (await effects_of(database), await _dead(database)) == (ids, [])


async def test_an_effect_that_was_rolled_back_leaves_no_mark_in_the_inbox(database: Database, effects: None) -> None:
    """The mark and the effect are one transaction."""
    from common.messaging import inbox

    with pytest.raises(asyncpg.PostgresError):
        async with database.transaction() as connection:
            assert await inbox.claim(connection, "c", ["x"]) == {"x"}
            await connection.execute("SELECT 1/0")
    async with database.transaction() as connection:
        assert await inbox.claim(connection, "c", ["x", "x"]) == {"x"}
    async with database.transaction() as connection:
        assert await inbox.claim(connection, "c", ["x", "y"]) == {"y"}


async def test_the_outbox_of_a_committed_transaction_is_published_of_a_rolled_back_one_not(
    broker: Broker, database: Database, make_consumer: MakeConsumer, metrics: MessagingMetrics
) -> None:
    """The outbox relay, with a standby beside it: one leads, both committed events arrive, in order."""
    relays = [OutboxRelay(database, broker.publisher, metrics=metrics) for _ in range(2)]
    tasks = [asyncio.create_task(relay.run()) for relay in relays]
    arrived: list[str] = []

    async def remember(connection: Connection, events: Sequence[Envelope]) -> None:
        await record(connection, events)
        arrived.extend(event.id for event in events)

    async with consuming(make_consumer(remember)):
        with pytest.raises(RuntimeError):
            async with database.transaction() as connection:
                await outbox.add(connection, an_event("broken"))
                raise RuntimeError
        async with database.transaction() as connection:
            await outbox.add(connection, an_event("first"), an_event("second"))
        for relay in relays:
            relay.wake()
        await eventually(lambda: _at_least(database, 2), what="both events")
    for relay in relays:
        await relay.stop()
    await asyncio.gather(*tasks)
    async with database.acquire() as connection:
        left = await connection.fetchval("SELECT count(*) FROM outbox")
    assert (arrived, left) == (["first", "second"], 0)


async def _published(broker: Broker, name: str) -> bool:
    try:
        await broker.publisher.publish(an_event(name), deadline=5)
    except Unavailable:
        return False
    return True


async def _at_least(database: Database, count: int) -> bool:
    return len(await effects_of(database)) >= count


async def _dead(database: Database) -> list[str | None]:
    async with database.acquire() as connection:
        return [row["event_id"] for row in await connection.fetch("SELECT event_id FROM dead_letters")]
