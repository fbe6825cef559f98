"""The publisher against a real broker: confirmed, mandatory, never hanging."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import aio_pika
import pytest
from yarl import URL

from common.contracts import Envelope
from common.contracts.journal import JournalEntryV1
from common.messaging import Broker, BrokerAway, PublishFailed, PublishTimeout, Unroutable
from tests.support.servers import TestRabbit, cutting_proxy, eventually, vhost_of


def an_event(event_id: str = "e1") -> Envelope:
    """A journal entry of an order."""
    entry = JournalEntryV1(
        order_number="N1", service="test", kind="test.done", actor="test", summary="done", occurred_at=datetime.now(UTC)
    )
    return Envelope.of(entry, event_id=event_id, source="/test", subject="N1", time=entry.occurred_at)


async def test_a_published_event_is_in_the_queue_as_it_was_sent(broker: Broker, amqp_url: str) -> None:
    """Content type, persistence and body arrive unchanged."""
    event = an_event()
    await broker.publisher.publish(event)

    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        message = await (await channel.get_queue("orchestrator.journal")).get(timeout=5)
        await message.ack()
    assert (Envelope.decode(message.body), message.content_type, message.delivery_mode) == (
        event,
        "application/cloudevents+json",
        aio_pika.DeliveryMode.PERSISTENT,
    )


async def test_an_event_that_no_queue_takes_is_an_error_also_among_many_at_once(broker: Broker) -> None:
    """Twenty unroutable publishes at the same moment: every one is noticed."""
    outcomes = await asyncio.gather(
        *(broker.publisher.publish_raw("journal", "nobody.listens", b"{}") for _ in range(20)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [Unroutable] * 20


async def test_publishing_while_the_broker_hangs_ends_at_the_deadline(amqp_url: str) -> None:
    """A broker that takes bytes and says nothing costs the deadline, not for ever."""
    address = URL(amqp_url)
    async with cutting_proxy(address.host or "", address.port or 5672) as proxy:
        link = Broker(str(address.with_host("127.0.0.1").with_port(proxy.port)), name="stalled")
        task = asyncio.create_task(link.run())
        await asyncio.wait_for(link.wait_ready(), 60)
        proxy.stall()
        with pytest.raises(PublishTimeout):
            await link.publisher.publish(an_event(), deadline=0.3)
        proxy.heal()
        await eventually(lambda: _published(link), what="publishing after the stall")
        await link.stop()
        await task


async def test_a_cut_connection_is_made_again_and_meanwhile_publishing_fails_at_once(amqp_url: str) -> None:
    """After a reset the link reconnects by itself; a publish in between raises and does not wait."""
    address = URL(amqp_url)
    async with cutting_proxy(address.host or "", address.port or 5672) as proxy:
        link = Broker(str(address.with_host("127.0.0.1").with_port(proxy.port)), name="cut")
        task = asyncio.create_task(link.run())
        await asyncio.wait_for(link.wait_ready(), 60)
        proxy.refuse()
        await eventually(lambda: _away(link), what="noticing the cut")
        with pytest.raises(BrokerAway):
            await link.publisher.publish(an_event())
        proxy.heal()
        await asyncio.wait_for(link.wait_ready(), 60)
        await link.publisher.publish(an_event())
        await link.stop()
        await task


async def test_connections_closed_by_the_broker_are_made_again(
    broker: Broker, rabbit: TestRabbit, amqp_url: str
) -> None:
    """An operator closing every connection costs a moment."""
    await eventually(lambda: rabbit.connections(vhost_of(amqp_url)), what="the connection in the broker's list")
    assert await rabbit.close_connections(vhost_of(amqp_url)) == 1
    await eventually(lambda: _published(broker), what="publishing again")


async def _published(link: Broker) -> bool:
    try:
        await link.publisher.publish(an_event(), deadline=1.0)
    except PublishFailed:
        return False
    return True


async def _away(link: Broker) -> bool:
    return not link.publisher.ready
