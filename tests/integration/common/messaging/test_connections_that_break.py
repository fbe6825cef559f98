"""Links to the broker that break in every way: hanging, stopped, cancelled by the broker, declared differently."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import aio_pika
import pytest

from common.contracts import Envelope
from common.contracts.journal import JournalEntryV1
from common.errors import Unavailable
from common.messaging import Broker, BrokerAway, Consumer, MessagingMetrics
from common.messaging import connection as broker_connection
from common.messaging.topology import ORCHESTRATOR_JOURNAL
from common.postgres import Connection, Database
from tests.support.servers import eventually, proxied


def an_event(event_id: str) -> Envelope:
    """A journal entry with this id."""
    entry = JournalEntryV1(
        order_number="N1", service="test", kind="test.done", actor="test", summary="done", occurred_at=datetime.now(UTC)
    )
    return Envelope.of(entry, event_id=event_id, source="/test", subject="N1", time=entry.occurred_at)


class Sink:
    """A handler that remembers what reached it."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def __call__(self, connection: Connection, events: Sequence[Envelope]) -> None:
        """Remember the ids."""
        self.seen += [event.id for event in events]

    async def has(self, name: str) -> bool:
        """Tell whether the event has come."""
        return name in self.seen


def a_consumer(url: str, database: Database, metrics: MessagingMetrics, sink: Sink) -> Consumer:
    """A consumer of the journal queue."""
    return Consumer(
        url, ORCHESTRATOR_JOURNAL, database=database, name="test", service="test", handler=sink, metrics=metrics
    )


@pytest.fixture
def short_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent connection is given up after six seconds instead of thirty-three."""
    monkeypatch.setattr(broker_connection, "_HEARTBEAT_S", 1)


async def test_a_publish_that_a_dead_connection_swallowed_does_not_look_cancelled(
    amqp_url: str, short_heartbeat: None
) -> None:
    """aiormq rejects what is pending on a silent connection with CancelledError: a task that publishes would end unnoticed."""
    async with proxied(amqp_url) as (proxy, address):
        link = Broker(address, name="silent")
        task = asyncio.create_task(link.run())
        await asyncio.wait_for(link.wait_ready(), 60)
        proxy.stall()
        with pytest.raises(BrokerAway):
            await link.publisher.publish(an_event("e"), deadline=30)
        proxy.heal()
        await eventually(lambda: _published(link, "e"), what="publishing again")
        await link.stop()
        await task


async def test_a_publish_pending_when_the_connection_stops_fails_and_is_not_cancelled(amqp_url: str) -> None:
    """A service that drains closes its link under whoever still publishes."""
    async with proxied(amqp_url) as (proxy, address):
        link = Broker(address, name="stopped")
        task = asyncio.create_task(link.run())
        await asyncio.wait_for(link.wait_ready(), 60)
        proxy.lose_answers()
        pending = asyncio.gather(
            *(link.publisher.publish(an_event(str(number)), deadline=3600) for number in range(20)),
            return_exceptions=True,
        )
        await asyncio.sleep(0.1)
        await link.stop()
        outcomes = await asyncio.wait_for(pending, 60)
        await task
    assert [type(outcome) for outcome in outcomes] == [BrokerAway] * 20


async def test_a_publisher_that_is_cancelled_is_cancelled(amqp_url: str) -> None:
    """The other side of it: a real cancellation is not taken for a lost link."""
    async with proxied(amqp_url) as (proxy, address):
        link = Broker(address, name="cancelled")
        task = asyncio.create_task(link.run())
        await asyncio.wait_for(link.wait_ready(), 60)
        proxy.lose_answers()
        pending = asyncio.create_task(link.publisher.publish(an_event("e"), deadline=30))
        await asyncio.sleep(0.1)
        pending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pending
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await link.publisher.publish(an_event("e"), deadline=30)
        proxy.heal()
        await link.stop()
        await task


async def test_a_consumer_whose_link_went_silent_reads_again(
    amqp_url: str, broker: Broker, database: Database, metrics: MessagingMetrics, short_heartbeat: None
) -> None:
    """Nothing closes the connection; the heartbeat notices."""
    sink = Sink()
    async with proxied(amqp_url) as (proxy, address):
        consumer = a_consumer(address, database, metrics, sink)
        task = asyncio.create_task(consumer.run())
        await eventually(lambda: _connected(consumer), what="reading")
        proxy.stall()
        await broker.publisher.publish(an_event("late"))
        await eventually(lambda: _disconnected(consumer), what="noticing the silence")
        proxy.heal()
        await eventually(lambda: sink.has("late"), what="the event")
        await consumer.stop()
        await asyncio.wait_for(task, 60)


async def test_a_consumer_whose_queue_was_deleted_makes_it_again(
    amqp_url: str, broker: Broker, database: Database, metrics: MessagingMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker cancels the consumer and closes nothing; or, where somebody declares the queue at that moment, tells nobody."""
    monkeypatch.setattr("common.messaging.reader._QUIET_S", 2.0)
    sink = Sink()
    consumer = a_consumer(amqp_url, database, metrics, sink)
    task = asyncio.create_task(consumer.run())
    await eventually(lambda: _connected(consumer), what="reading")
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await channel.queue_delete(ORCHESTRATOR_JOURNAL.name, if_unused=False, if_empty=False)

    async def arrives() -> bool:
        # Sent again and again: the broker confirms what it routes to a queue that is just being deleted.
        return await _published(broker, "again") and await sink.has("again")

    await eventually(arrives, what="the event")
    await consumer.stop()
    await asyncio.wait_for(task, 60)


async def test_a_consumer_that_asks_anew_loses_neither_its_link_nor_an_event(
    amqp_url: str, broker: Broker, database: Database, metrics: MessagingMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Channels change under a trickle of events; the connection stays."""
    monkeypatch.setattr("common.messaging.reader._QUIET_S", 0.01)
    sink = Sink()
    consumer = a_consumer(amqp_url, database, metrics, sink)
    task = asyncio.create_task(consumer.run())
    await eventually(lambda: _connected(consumer), what="reading")
    link = consumer._reader._link
    for number in range(60):
        await broker.publisher.publish(an_event(str(number)), deadline=10)
        await asyncio.sleep(0.03)
    await eventually(lambda: sink.has("59"), what="the last event")
    same = consumer._reader._link is link
    await consumer.stop()
    await asyncio.wait_for(task, 60)
    assert (sorted(sink.seen, key=int), same) == ([str(number) for number in range(60)], True)


async def test_a_deleted_queue_that_nobody_reads_is_declared_again_by_its_publisher(
    amqp_url: str, broker: Broker
) -> None:
    """An unroutable event has the link look at the topology again."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await channel.queue_delete(ORCHESTRATOR_JOURNAL.name, if_unused=False, if_empty=False)
    await eventually(lambda: _published(broker, "again"), what="publishing to the queue")


async def test_stopping_does_not_wait_for_a_broker_that_hangs(
    amqp_url: str, database: Database, metrics: MessagingMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link and a consumer that are just connecting end at once; the drain has eight seconds for everything."""
    for name in ("_CONNECT_TIMEOUT_S", "_OPEN_TIMEOUT_S"):
        monkeypatch.setattr(f"common.messaging.connection.{name}", 3600.0)
    async with proxied(amqp_url) as (proxy, address):
        proxy.stall()
        link = Broker(address, name="hanging")
        consumer = a_consumer(address, database, metrics, Sink())
        tasks = [asyncio.create_task(link.run()), asyncio.create_task(consumer.run())]
        await asyncio.sleep(0.3)
        await link.stop()
        await consumer.stop()
        await asyncio.wait_for(asyncio.gather(*tasks), 60)


async def test_a_queue_that_exists_with_other_properties_is_named_and_waited_for(
    amqp_url: str, database: Database, metrics: MessagingMetrics
) -> None:
    """The reason names the queue and the property; once an operator has removed it, the link goes on by itself."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await channel.declare_queue(
            ORCHESTRATOR_JOURNAL.name, durable=True, arguments={"x-queue-type": "quorum", "x-delivery-limit": 5}
        )
        link = Broker(amqp_url, name="mismatch")
        consumer = a_consumer(amqp_url, database, metrics, Sink())
        tasks = [asyncio.create_task(link.run()), asyncio.create_task(consumer.run())]
        reason = await eventually(lambda: _reason(link, "PRECONDITION_FAILED"), what="the reason")
        await channel.queue_delete(ORCHESTRATOR_JOURNAL.name, if_unused=False, if_empty=False)
        await asyncio.wait_for(link.wait_ready(), 60)
        await eventually(lambda: _connected(consumer), what="reading")
    await link.stop()
    await consumer.stop()
    await asyncio.wait_for(asyncio.gather(*tasks), 60)
    assert "orchestrator.journal" in reason


async def test_a_wrong_password_is_reported_and_not_shown(amqp_url: str) -> None:
    """The reason is the broker's; the secret is nowhere in it."""
    link = Broker(amqp_url.replace("@", "-pssst@", 1), name="wrong")
    task = asyncio.create_task(link.run())
    reason = await eventually(lambda: _reason(link, "ACCESS_REFUSED"), what="the reason")
    await link.stop()
    await asyncio.wait_for(task, 60)
    assert "pssst" not in reason


async def test_a_connection_that_never_opened_is_closed_like_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Left to the collector, it would schedule its own closing on whatever loop runs then, or on none."""
    made: list[aio_pika.Connection] = []

    class Remembered(aio_pika.Connection):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            made.append(self)

    monkeypatch.setattr(aio_pika, "Connection", Remembered)
    link = Broker("amqp://nobody:nothing@127.0.0.1:1/none", name="refused")
    task = asyncio.create_task(link.run())

    async def tried_twice() -> bool:
        return len(made) > 1

    await eventually(tried_twice, what="a second attempt")
    await link.stop()
    await asyncio.wait_for(task, 60)
    assert all(connection.is_closed for connection in made)


async def _connected(consumer: Consumer) -> bool:
    return consumer.connected


async def _disconnected(consumer: Consumer) -> bool:
    return not consumer.connected


async def _published(link: Broker, name: str) -> bool:
    try:
        await link.publisher.publish(an_event(name), deadline=1.0)
    except Unavailable:
        return False
    return True


async def _reason(link: Broker, part: str) -> str:
    try:
        await link.check()
    except Unavailable as error:
        return error.detail if part in error.detail else ""
    return ""


async def test_any_node_of_several_is_connected_to_when_others_are_silent_or_gone(amqp_url: str) -> None:
    async with proxied(amqp_url) as (silent, one), proxied(amqp_url) as (gone, two), proxied(amqp_url) as (_, three):
        silent.stall()
        gone.refuse()
        hosts = ",".join(address.rpartition("@")[2].partition("/")[0] for address in (one, two, three))
        address = f"{one.rpartition('@')[0]}@{hosts}/{one.rpartition('/')[2]}"
        links = [Broker(address, name=f"node-{number}") for number in range(8)]  # whoever is asked first is chance
        tasks = [asyncio.create_task(link.run()) for link in links]
        await asyncio.wait_for(asyncio.gather(*(link.wait_ready() for link in links)), 60)
        await links[0].publisher.publish(an_event("to any"), deadline=30)
        for link in links:
            await link.stop()
        await asyncio.gather(*tasks)
