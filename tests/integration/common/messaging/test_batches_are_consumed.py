"""Messages that hold several events, against a real broker and a real database: each event is as if it had come alone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aio_pika
import pytest

from common.contracts import Envelope
from common.contracts.batch import pack
from common.contracts.journal import JournalEntryV1
from common.messaging import Broker, Consumer, Handler, MessagingMetrics, OutboxRelay, topology
from common.messaging.dead_letter_decisions import replay
from common.messaging.dead_letters import store_dead_letter
from common.messaging.topology import ORCHESTRATOR_JOURNAL
from common.postgres import Connection, Database, DatabaseAway
from tests.support.servers import eventually, proxied

MakeConsumer = Callable[..., Consumer]


def an_event(event_id: str) -> Envelope:
    """A journal entry with this id."""
    entry = JournalEntryV1(
        order_number="N1", service="test", kind="test.done", actor="test", summary="done", occurred_at=datetime.now(UTC)
    )
    return Envelope.of(entry, event_id=event_id, source="/test", subject="N1", time=entry.occurred_at)


async def send_together(broker: Broker, *bodies: bytes) -> None:
    """Publish encoded events as one message, confirmed."""
    await broker.publisher.publish_raw(
        "journal",
        JournalEntryV1.TYPE,
        pack(bodies),
        events=len(bodies),
    )


def encoded(*names: str) -> list[bytes]:
    """Events with these ids as they go over the wire."""
    return [an_event(name).encode() for name in names]


@pytest.fixture
async def make_consumer(database: Database, metrics: MessagingMetrics, amqp_url: str) -> MakeConsumer:
    """Consumers of the journal queue that share a name, and a table in which every effect leaves a row."""
    async with database.acquire() as connection:
        await connection.execute("CREATE TABLE effects (event_id text NOT NULL)")

    def make(handler: Handler, **options: Any) -> Consumer:
        chosen = {"url": amqp_url, "database": database, "max_attempts": 2, **options}
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
async def running(*parts: Any) -> AsyncIterator[None]:
    """Run consumers, collectors and relays, and end them the way a service does."""
    tasks = [asyncio.create_task(part.run()) for part in parts]
    try:
        yield
    finally:
        for part in parts:
            await part.stop()
        await asyncio.wait_for(asyncio.gather(*tasks), 60)


async def record(connection: Connection, events: Sequence[Envelope]) -> None:
    """The effect: a row for each event."""
    await connection.executemany("INSERT INTO effects VALUES ($1)", [(event.id,) for event in events])


async def rows(database: Database, query: str) -> list[Any]:
    """Return the first column of the query's rows."""
    async with database.acquire() as connection:
        return [row[0] for row in await connection.fetch(query)]


async def effects_are(database: Database, *expected: str) -> None:
    """Wait until exactly these effects are there."""

    async def compare() -> bool:
        return await rows(database, "SELECT event_id FROM effects ORDER BY 1") == sorted(expected)

    await eventually(compare, what=f"{len(expected)} effects")


async def test_batches_and_single_events_with_repeats_everywhere_take_effect_once(
    broker: Broker, database: Database, make_consumer: MakeConsumer, metrics: MessagingMetrics
) -> None:
    chance = random.Random(3)  # noqa: S311 - mixes events
    names = [f"{number:03d}" for number in range(300)]
    sent = [name for name in names for _ in range(chance.choice((1, 1, 2, 3)))]
    chance.shuffle(sent)
    async with running(make_consumer(record, batch_size=40), make_consumer(record, batch_size=40)):
        sending: list[Awaitable[None]] = []
        at = 0
        while at < len(sent):
            count = chance.choice((1, 1, 2, 7, 25, 60))
            part = sent[at : at + count]
            at += count
            single = len(part) == 1
            sending.append(
                broker.publisher.publish(an_event(part[0])) if single else send_together(broker, *encoded(*part))
            )
        await asyncio.gather(*sending)
        await effects_are(database, *names)

        async def counted() -> bool:
            handled, repeats = (
                metrics.consumed.labels(ORCHESTRATOR_JOURNAL.name, outcome) for outcome in ("handled", "repeat")
            )
            return (handled._value.get(), repeats._value.get()) == (300, len(sent) - 300)

        await eventually(counted, what="every repeat counted")


async def test_the_handler_gets_no_more_events_at_once_than_a_batch_has_however_they_came(
    broker: Broker, database: Database, make_consumer: MakeConsumer, amqp_url: str
) -> None:
    sizes: list[int] = []

    async def handler(connection: Connection, events: Sequence[Envelope]) -> None:
        sizes.append(len(events))
        await record(connection, events)

    names = [f"{number:03d}" for number in range(200)]
    consumer = make_consumer(handler, batch_size=50, linger=0.2)
    for start in range(0, 160, 20):
        await send_together(broker, *encoded(*names[start : start + 20]))
    await asyncio.gather(*(broker.publisher.publish(an_event(name)) for name in names[160:]))
    async with running(consumer):
        await effects_are(database, *names)
    assert max(sizes) <= 50
    assert sum(sizes) == 200


async def test_what_fails_inside_a_batch_becomes_single_letters_that_are_replayed_alone(
    broker: Broker, database: Database, make_consumer: MakeConsumer, metrics: MessagingMetrics
) -> None:
    mended = False

    async def handler(connection: Connection, events: Sequence[Envelope]) -> None:
        await record(connection, events)
        if not mended and any(event.id.startswith("poison") for event in events):
            raise ValueError("a text that may quote a payload")

    def key(envelope: Envelope) -> str:
        return {"odd": ""}.get(envelope.id, envelope.id)

    members = encoded("a", "poison-1", "b", "odd", "c", "poison-2")
    members.insert(3, b'{"specversion":"1.0","id":"no event"}')
    members.insert(5, b"7")
    relay = OutboxRelay(database, broker.publisher, metrics=metrics)
    async with running(make_consumer(handler, key=key), relay):
        await send_together(broker, *members)
        await broker.publisher.publish(an_event("d"))
        await effects_are(database, "a", "b", "c", "d")

        async def kept() -> bool:
            return len(await rows(database, "SELECT id FROM dead_letters")) == 5

        await eventually(kept, what="five letters")
        async with database.acquire() as connection:
            letters = await connection.fetch("SELECT id, event_id, reason, body FROM dead_letters")
        assert sorted((letter["event_id"] or "", letter["reason"], letter["body"]) for letter in letters) == sorted(
            [
                ("", "undecodable", members[3]),
                ("", "undecodable", members[5]),
                ("odd", "poison", members[4]),
                ("poison-1", "poison", members[1]),
                ("poison-2", "poison", members[7]),
            ]
        )
        mended = True
        async with database.transaction() as connection:
            for letter in letters:
                if (letter["event_id"] or "").startswith("poison"):
                    await replay(connection, letter["id"], actor="olga")
        relay.wake()
        await effects_are(database, "a", "b", "c", "d", "poison-1", "poison-2")
    assert await rows(database, "SELECT attempts FROM delivery_failures") == []


async def test_a_batch_whose_acknowledgements_are_lost_has_each_effect_and_letter_once(
    broker: Broker, database: Database, make_consumer: MakeConsumer, amqp_url: str
) -> None:
    """The link to the broker is cut after each commit, also of a dead letter: the whole batch comes again."""

    async def handler(connection: Connection, events: Sequence[Envelope]) -> None:
        await record(connection, events)
        if any(event.id == "poison" for event in events):
            raise ValueError

    async with proxied(amqp_url) as (proxy, address):
        cuts = 6

        def cut() -> None:
            nonlocal cuts
            if cuts:
                cuts -= 1
                proxy.cut()

        async with running(make_consumer(handler, url=address, after_commit=cut)):
            await send_together(broker, *encoded("a", "poison", "b"), b"null")

            async def no_cuts_left() -> bool:
                return cuts == 0

            await eventually(no_cuts_left, what="every cut")
            await broker.publisher.publish(an_event("last"))
            await effects_are(database, "a", "b", "last")

            async def kept() -> bool:
                return sorted(await rows(database, "SELECT reason FROM dead_letters")) == ["poison", "undecodable"]

            await eventually(kept, what="both letters")


@pytest.mark.parametrize("commits", [1, 2, 3])
async def test_a_consumer_that_dies_in_a_batch_leaves_the_rest_to_the_next_one(
    commits: int, broker: Broker, database: Database, make_consumer: MakeConsumer
) -> None:
    """It is taken apart because of one poisoned event, and ends after so many of its transactions; none was acknowledged."""
    names = ["a", "b", "poison", "c", "d"]
    done = 0

    async def handler(connection: Connection, events: Sequence[Envelope]) -> None:
        nonlocal done
        if done >= commits:
            raise DatabaseAway("the process is as good as dead")
        await record(connection, events)
        if any(event.id == "poison" for event in events):
            raise ValueError
        done += 1

    async with running(make_consumer(handler)):
        await send_together(broker, *encoded(*names))

        async def as_good_as_dead() -> bool:
            return done == commits and len(await rows(database, "SELECT event_id FROM effects")) == commits

        await eventually(as_good_as_dead, what="the last transaction")

    async def healthy(connection: Connection, events: Sequence[Envelope]) -> None:
        if any(event.id == "poison" for event in events):
            raise ValueError
        await record(connection, events)

    async with running(make_consumer(healthy)):
        await effects_are(database, "a", "b", "c", "d")

        async def kept() -> bool:
            return await rows(database, "SELECT event_id FROM dead_letters") == ["poison"]

        await eventually(kept, what="the letter")


async def test_a_batch_that_the_broker_gave_up_is_taken_apart_into_single_letters(
    broker: Broker, database: Database, make_consumer: MakeConsumer, metrics: MessagingMetrics, amqp_url: str
) -> None:
    """It is rejected, which leads where its delivery limit leads; one event of it had taken effect before."""
    consumer = make_consumer(record)
    async with running(consumer):
        await broker.publisher.publish(an_event("b"))
        await effects_are(database, "b")
    members = [*encoded("a", "b", "c"), b"null"]
    await send_together(broker, *members)
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await topology.declare_queue(channel, ORCHESTRATOR_JOURNAL)
        queue = await channel.get_queue(ORCHESTRATOR_JOURNAL.name)
        message = await queue.get(timeout=30)
        await message.reject(requeue=False)
    relay = OutboxRelay(database, broker.publisher, metrics=metrics)
    async with running(make_consumer(record), consumer.dead_letter_collector, relay):

        async def kept() -> bool:
            return len(await rows(database, "SELECT id FROM dead_letters")) == 4

        await eventually(kept, what="a letter for each event")
        async with database.transaction() as acquired:
            letters = await acquired.fetch("SELECT id, event_id, reason, body FROM dead_letters ORDER BY id")
            assert [(each["event_id"], each["reason"], each["body"]) for each in letters] == [
                (name, "delivery_limit", body) for name, body in zip(("a", "b", "c", None), members, strict=True)
            ]
            for letter in letters[:3]:
                await replay(acquired, letter["id"], actor="olga")
        relay.wake()
        await effects_are(database, "a", "b", "c")


async def test_a_whole_batch_that_an_older_release_kept_as_a_letter_is_replayed(
    broker: Broker, database: Database, make_consumer: MakeConsumer, metrics: MessagingMetrics
) -> None:
    """Its letter is the batch, undecodable; the outbox sends it as it sends any event, under the name of a single one."""
    async with database.transaction() as connection:
        await store_dead_letter(
            connection,
            queue=ORCHESTRATOR_JOURNAL.name,
            handler="test.journal",
            service="test",
            reason="undecodable",
            error="ValidationError at envelope.py:70",
            body=pack(encoded("a", "b", "c")),
            envelope=None,
        )
        letter = await connection.fetchval("SELECT id FROM dead_letters")
        await replay(connection, letter, actor="olga")
    async with running(make_consumer(record), OutboxRelay(database, broker.publisher, metrics=metrics)):
        await effects_are(database, "a", "b", "c")
