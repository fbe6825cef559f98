"""The relay under everything that may go wrong: rows that cannot be published, leaders that die or hang, brokers that hang."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Literal, cast

import aio_pika
import pytest
from prometheus_client import CollectorRegistry

from common.contracts import Envelope
from common.contracts.batch import EVENTS_HEADER, MOST_EVENTS, unpack
from common.contracts.journal import JournalEntryV1
from common.messaging import Broker, MessagingMetrics, OutboxRelay, Outgoing, Publisher, PublishFailed, outbox
from common.messaging.topology import ORCHESTRATOR_JOURNAL
from common.postgres import Connection, Database
from tests.support.servers import CuttingProxy, eventually, proxied


def an_event(event_id: str) -> Envelope:
    """A journal entry with this id."""
    entry = JournalEntryV1(
        order_number="N1", service="test", kind="test.done", actor="test", summary="done", occurred_at=datetime.now(UTC)
    )
    return Envelope.of(entry, event_id=event_id, source="/test", subject="N1", time=entry.occurred_at)


@asynccontextmanager
async def relaying(*relays: OutboxRelay) -> AsyncIterator[None]:
    """Run relays, and end them the way a service does."""
    tasks = [asyncio.create_task(relay.run()) for relay in relays]
    try:
        yield
    finally:
        for relay in relays:
            await relay.stop()
        await asyncio.wait_for(asyncio.gather(*tasks), 60)


async def add_to_outbox(database: Database, *names: str) -> None:
    """Add events in one transaction."""
    async with database.transaction() as connection:
        await outbox.add(connection, *(an_event(name) for name in names))


async def pending(database: Database) -> list[str]:
    """Return the routing keys of what is still in the outbox, in order."""
    async with database.acquire() as connection:
        return [row["routing_key"] for row in await connection.fetch("SELECT routing_key FROM outbox ORDER BY id")]


async def arrived(amqp_url: str) -> list[str]:
    """Take everything out of the journal queue and return the events' ids, in order."""
    names: list[str] = []
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(ORCHESTRATOR_JOURNAL.name)
        while (message := await queue.get(fail=False, timeout=5)) is not None:
            await message.ack()
            names += [Envelope.decode(body).id for body in unpack(message.body)]
    return names


@pytest.mark.parametrize("together", [False, True])
async def test_a_row_that_closes_the_channel_does_not_hold_up_the_rows_behind_it(
    broker: Broker, database: Database, metrics: MessagingMetrics, amqp_url: str, together: bool
) -> None:
    """An exchange that does not exist: the broker answers by closing the channel under the whole batch."""
    async with database.transaction() as connection:
        await outbox.add_raw(connection, exchange="nowhere", routing_key="bad", body=b"{}")
    await add_to_outbox(database, *(f"{number:03d}" for number in range(300)))
    async with relaying(OutboxRelay(database, broker.publisher, metrics=metrics, lines_together=together)):
        await eventually(lambda: _only(database, ["bad"]), what="everything but the bad row")
    assert sorted(set(await arrived(amqp_url))) == [f"{number:03d}" for number in range(300)]


async def test_a_row_that_cannot_be_sent_at_all_does_not_end_the_relay(
    broker: Broker, database: Database, metrics: MessagingMetrics, amqp_url: str
) -> None:
    """A routing key longer than AMQP can say."""
    long = "k" * 300
    async with database.transaction() as connection:
        await outbox.add_raw(connection, exchange="journal", routing_key=long, body=b"{}")
    await add_to_outbox(database, "sound")
    async with relaying(OutboxRelay(database, broker.publisher, metrics=metrics)):
        await eventually(lambda: _only(database, [long]), what="everything but the bad row")
    assert await arrived(amqp_url) == ["sound"]


async def test_unroutable_rows_are_not_sent_again_with_every_wake(
    broker: Broker, database: Database, metrics: MessagingMetrics
) -> None:
    """A row whose queue does not exist yet is tried now and then, not a hundred times a second."""
    async with database.transaction() as connection:
        for _ in range(3):
            await outbox.add_raw(connection, exchange="journal", routing_key="nobody.listens", body=b"{}")
    relay = OutboxRelay(database, broker.publisher, metrics=metrics)
    async with relaying(relay):
        for number in range(20):
            await add_to_outbox(database, str(number))
            relay.wake()
            await eventually(lambda: _only(database, ["nobody.listens"] * 3), what="the sound rows")
        failed = metrics.outbox_failed.labels("unroutable")._value.get()
    assert failed <= 21  # it was 63: one attempt each with every wake


async def test_a_held_row_goes_out_once_its_queue_is_there(
    broker: Broker, database: Database, metrics: MessagingMetrics, amqp_url: str
) -> None:
    """A row is held back for a while, never for good."""
    async with database.transaction() as connection:
        await outbox.add_raw(connection, exchange="", routing_key="later", body=b"{}")
    async with relaying(OutboxRelay(database, broker.publisher, metrics=metrics, hold=0.5)):
        await eventually(lambda: _failed(metrics, "unroutable"), what="the first attempt")
        async with await aio_pika.connect(amqp_url) as connection:
            await (await connection.channel()).declare_queue("later", durable=True)
            await eventually(lambda: _only(database, []), what="the row's publication")


class ObservedRelay(OutboxRelay):
    """Says when its first round is over: every statement of a round has been prepared then."""

    def __init__(self, database: Database, publisher: Publisher, *, metrics: MessagingMetrics, lease: float) -> None:
        super().__init__(database, publisher, metrics=metrics, lease=lease)
        self.first_round = asyncio.Event()

    async def _measure(self, connection: Connection) -> None:
        await super()._measure(connection)
        self.first_round.set()


@pytest.mark.parametrize("moment", ["between rounds", "in the middle of a statement"])
async def test_a_leader_that_hangs_is_replaced(
    amqp_url: str, broker: Broker, database: Database, moment: Literal["between rounds", "in the middle of a statement"]
) -> None:
    """Its session is alive for PostgreSQL and holds the lock; the lease ends it, wherever it hangs."""
    async with database.acquire() as connection:
        if moment != "between rounds" and connection.get_server_version().major < 17:
            pytest.skip("before PostgreSQL 17 there is no transaction_timeout")
    first, second = (MessagingMetrics(CollectorRegistry()) for _ in range(2))
    async with proxied(database.dsn) as (proxy, address):
        hanging = Database(address, application_name="hanging", command_timeout=20.0)
        await hanging.open()
        leader = ObservedRelay(hanging, broker.publisher, metrics=first, lease=2.0)
        standby = OutboxRelay(database, broker.publisher, metrics=second, lease=2.0)
        if moment == "in the middle of a statement":
            proxy.stall_after(b"FROM outbox WHERE id > ")  # the sweep is parsed, and never bound
        tasks = [asyncio.create_task(leader.run())]
        if moment == "between rounds":
            await asyncio.wait_for(leader.first_round.wait(), 60)
            proxy.stall()
        await eventually(lambda: _stalled(proxy), what="the hanging")
        assert await _leads(first)
        tasks.append(asyncio.create_task(standby.run()))
        await add_to_outbox(database, "urgent")
        await eventually(lambda: _only(database, []), what="the other's taking over")
        assert await _leads(second)
        proxy.refuse()
        await leader.stop()
        await standby.stop()
        await asyncio.wait_for(asyncio.gather(*tasks), 60)
        await hanging.close()
    assert await arrived(amqp_url) == ["urgent"]


async def test_lines_of_timelines_travel_together_in_the_order_of_their_ids(
    amqp_url: str, broker: Broker, database: Database, metrics: MessagingMetrics
) -> None:
    names = [f"{number:02d}" for number in range(MOST_EVENTS + 8)]
    await add_to_outbox(database, *names)
    async with database.transaction() as connection:
        body = an_event("of another type").encode()
        await outbox.add_raw(connection, exchange="journal", routing_key="journal.another.v1", body=body)
    await add_to_outbox(database, "last", "of all")
    async with relaying(OutboxRelay(database, broker.publisher, metrics=metrics, lines_together=True)):
        await eventually(lambda: _only(database, []), what="an empty outbox")
    async with await aio_pika.connect(amqp_url) as connection:
        queue = await (await connection.channel()).get_queue(ORCHESTRATOR_JOURNAL.name)
        messages = []
        while (message := await queue.get(fail=False, timeout=5)) is not None:
            await message.ack()
            said = int(str(message.headers.get(EVENTS_HEADER, 1)))
            messages.append((said, [Envelope.decode(each).id for each in unpack(message.body)]))
    assert [said for said, _ in messages] == [len(ids) for _, ids in messages] == [MOST_EVENTS, 8, 1, 2]
    assert [name for _, ids in messages for name in ids] == [*names, "of another type", "last", "of all"]


@pytest.mark.parametrize("together", [False, True])
async def test_a_leader_that_loses_its_database_publishes_everything_all_the_same(
    amqp_url: str, broker: Broker, database: Database, metrics: MessagingMetrics, together: bool
) -> None:
    """Cut again and again between publishing and forgetting: at least once, nothing left."""
    names = [f"{number:04d}" for number in range(2000)]
    await add_to_outbox(database, *names)
    async with proxied(database.dsn) as (proxy, address):
        cut = Database(address, application_name="cut")
        await cut.open()
        relay = OutboxRelay(cut, broker.publisher, metrics=metrics, batch_size=100, lines_together=together)
        async with relaying(relay):
            for part in range(1, 4):
                await eventually(lambda part=part: _published(metrics, part * 300), what="some rows")  # type: ignore[misc]  # mypy does not infer a lambda's default
                proxy.cut()
            await eventually(lambda: _only(database, []), what="an empty outbox")
        await cut.close()
    assert sorted(set(await arrived(amqp_url))) == names


async def test_a_relay_stops_while_the_broker_hangs(
    amqp_url: str, database: Database, metrics: MessagingMetrics
) -> None:
    """Twenty batches would each wait for their deadline; the first that fails ends the sweep. Nothing is forgotten."""
    await add_to_outbox(database, *(str(number) for number in range(200)))
    async with proxied(amqp_url) as (proxy, address):
        link = Broker(address, name="hanging")
        running = asyncio.create_task(link.run())
        await asyncio.wait_for(link.wait_ready(), 60)
        proxy.stall()
        relay = OutboxRelay(database, link.publisher, metrics=metrics, batch_size=10, deadline=0.5)
        task = asyncio.create_task(relay.run())
        await eventually(lambda: _failed(metrics, "publish_timeout"), what="the first failure")
        before = _failures(metrics, "publish_timeout")
        await relay.stop()
        await asyncio.wait_for(task, 60)
        await link.stop()
        await running
    assert _failures(metrics, "publish_timeout") <= before + 20  # the batch in hand, and one of the last sweep
    assert len(await pending(database)) == 200


async def test_the_relay_goes_on_when_a_publish_seems_cancelled(
    amqp_url: str, database: Database, metrics: MessagingMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that goes silent under a batch: the relay is still there when it comes back."""
    monkeypatch.setattr("common.messaging.connection._HEARTBEAT_S", 1)
    async with proxied(amqp_url) as (proxy, address):
        link = Broker(address, name="silent")
        running = asyncio.create_task(link.run())
        await asyncio.wait_for(link.wait_ready(), 60)
        relay = OutboxRelay(database, link.publisher, metrics=metrics, deadline=30)
        async with relaying(relay):
            proxy.stall()
            await add_to_outbox(database, "patient")
            relay.wake()
            await eventually(lambda: _away(link), what="noticing the silence")
            proxy.heal()
            await eventually(lambda: _only(database, []), what="the publication")
        await link.stop()
        await running


async def test_the_gauges_show_how_much_waits_and_for_how_long(database: Database, metrics: MessagingMetrics) -> None:
    """Also while nothing can be published."""
    await add_to_outbox(database, "a", "b", "c")
    async with database.acquire() as connection:
        await connection.execute("UPDATE outbox SET created_at = now() - interval '1 hour'")
    away = Broker("amqp://127.0.0.1:1/", name="away")
    async with relaying(OutboxRelay(database, away.publisher, metrics=metrics)):
        await eventually(lambda: _waiting(metrics, 3, 3600), what="the gauges")


async def _only(database: Database, keys: list[str]) -> bool:
    return await pending(database) == keys


def _failures(metrics: MessagingMetrics, code: str) -> float:
    return float(metrics.outbox_failed.labels(code)._value.get())


async def _failed(metrics: MessagingMetrics, code: str) -> bool:
    return bool(_failures(metrics, code))


async def _stalled(proxy: CuttingProxy) -> bool:
    return proxy.stalled


async def _leads(metrics: MessagingMetrics) -> bool:
    return bool(metrics.outbox_leader._value.get())


async def _published(metrics: MessagingMetrics, count: int) -> bool:
    return bool(metrics.outbox_published._value.get() >= count)


async def _waiting(metrics: MessagingMetrics, count: int, seconds: float) -> bool:
    return bool(metrics.outbox_pending._value.get() == count and metrics.outbox_oldest._value.get() >= seconds)


async def _away(link: Broker) -> bool:
    with contextlib.suppress(Exception):
        await link.check()
        return False
    return True


class FailedOver(Database):
    """An address behind which another server stands after the first publication: with rows of its own under the same ids."""

    def __init__(self, first: Database, second: Database, publisher: Publisher) -> None:
        super().__init__(first.dsn, application_name="unused")
        self._now, self._second, self._publisher = first, second, publisher

    @property
    def ready(self) -> bool:
        """What the broker's publisher says."""
        return self._publisher.ready

    async def publish_many(self, messages: Sequence[Outgoing], *, deadline: float) -> Sequence[PublishFailed | None]:
        """Publish, and let the first server go before anybody can note that."""
        outcomes = await self._publisher.publish_many(messages, deadline=deadline)
        if (gone := self._now) is not self._second:
            self._now = self._second
            async with gone.session() as outside:
                await outside.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
        return outcomes

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Connection]:
        """A session at the server of the moment."""
        async with self._now.session() as connection:
            yield connection


async def test_ids_of_another_server_are_not_taken_for_published(
    broker: Broker, metrics: MessagingMetrics, amqp_url: str, database_for: Callable[[str], Awaitable[str]]
) -> None:
    """A standby that lagged behind, or a restored backup, gives ids out again: the relay must not forget rows that it never published."""
    async with AsyncExitStack() as stack:
        servers: list[Database] = []
        for name in ("first", "second"):
            server = Database(await database_for("orchestrator"), application_name=name)
            await server.open()
            stack.push_async_callback(server.close)
            await add_to_outbox(server, name)
            servers.append(server)
        moved = FailedOver(servers[0], servers[1], broker.publisher)
        async with relaying(OutboxRelay(moved, cast("Publisher", moved), metrics=metrics)):
            await eventually(lambda: _only(servers[1], []), what="the second server's row")
    assert await arrived(amqp_url) == ["first", "second"]
