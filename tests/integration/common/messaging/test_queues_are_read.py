"""What waits in a service is read from its database and from the broker; what cannot be told is never said to be nothing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from common.contracts import Envelope
from common.contracts.journal import JournalEntryV1
from common.errors import Unavailable
from common.messaging import Broker, outbox
from common.messaging.topology import ORCHESTRATOR_JOURNAL, QueueSpec
from common.postgres import Database
from common.service import WaitingQueue, platform_queues, queue
from common.service.queues import read_queues
from tests.support.servers import eventually, proxied

ENTRY = JournalEntryV1(
    order_number="N1", service="test", kind="test.done", actor="test", summary="done", occurred_at=datetime.now(UTC)
)


def an_event(event_id: str) -> Envelope:
    """A journal entry."""
    return Envelope.of(ENTRY, event_id=event_id, source="/test", subject="N1", time=ENTRY.occurred_at)


async def answered(database: Database, broker: Broker) -> tuple[dict[str, WaitingQueue], bool]:
    """Read what every service reads; return the queues by name, and whether they are all."""
    said = await read_queues(platform_queues(database, broker, [ORCHESTRATOR_JOURNAL], outbox_late_after=60.0))
    return {each.name: each for each in said.items}, said.complete


@pytest.mark.parametrize(
    ("waiting", "oldest", "late_after", "state"),
    [
        (None, None, 60.0, "unknown"),
        (0, None, 60.0, "empty"),
        (3, 60.0, 60.0, "waiting"),
        (3, 60.1, 60.0, "late"),
        (3, 900.0, None, "waiting"),
        (3, None, 60.0, "waiting"),
    ],
)
def test_a_queue_is_late_when_its_oldest_waits_for_too_long(
    waiting: int | None, oldest: float | None, late_after: float | None, state: str
) -> None:
    read = WaitingQueue(name="q", waiting=waiting, oldest_seconds=oldest, late_after_seconds=late_after)
    assert read.state == state


def test_an_empty_queue_has_no_age() -> None:
    assert queue("q", 0, 5.0).oldest_seconds is None
    assert queue("q", 1, -0.1).oldest_seconds == 0.0


async def test_messages_events_and_dead_letters_are_counted_with_their_age(database: Database, broker: Broker) -> None:
    empty, complete = await answered(database, broker)
    assert ({each.state for each in empty.values()}, complete) == ({"empty"}, True)
    await broker.publisher.publish(an_event("one"))
    async with database.transaction() as connection:
        await outbox.add(connection, an_event("two"), an_event("three"))
        await connection.execute("UPDATE outbox SET created_at = now() - interval '2 minutes'")
        await connection.execute(
            "INSERT INTO dead_letters (queue, handler, reason, error, body, dead_at)"
            " VALUES ('q', 'h', 'poison', 'for a test', '', now() - interval '1 minute')"
        )

    async def told() -> dict[str, WaitingQueue]:
        found, complete = await answered(database, broker)
        assert complete
        assert found["messages.orchestrator.journal"].waiting == 1
        return found

    found = await eventually(told)
    assert {name: (each.waiting, each.state) for name, each in found.items()} == {
        "messages.orchestrator.journal": (1, "waiting"),
        "outbox": (2, "late"),
        "dead_letters": (1, "late"),
    }
    assert found["messages.orchestrator.journal"].oldest_seconds is None
    assert 120 <= (found["outbox"].oldest_seconds or 0) < 180
    assert 60 <= (found["dead_letters"].oldest_seconds or 0) < 120


async def test_a_broker_or_a_database_that_does_not_answer_is_not_an_empty_queue(
    database: Database, amqp_url: str
) -> None:
    async with proxied(amqp_url) as (proxy, url):
        broker = Broker(url, name="test")
        task = asyncio.create_task(broker.run())
        await broker.wait_ready()
        assert await broker.depth(ORCHESTRATOR_JOURNAL) == 0
        with pytest.raises(Unavailable):  # and nothing that is published suffers from the question
            await broker.depth(QueueSpec("nobody.made.it", "journal", ()))
        await broker.publisher.publish(an_event("still"))
        proxy.stall()
        found, complete = await answered(database, broker)
        assert (found["messages.orchestrator.journal"].state, complete) == ("unknown", True)
        proxy.refuse()
        await database.close()
        found, complete = await answered(database, broker)
        assert (set(found), complete) == ({"messages.orchestrator.journal"}, False)
        proxy.heal()
        await broker.stop()
        await task
