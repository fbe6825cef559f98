"""The writer under the publisher, against a real broker: order, size, giving up, and what is pending when the channel ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import aio_pika
import pytest
from aiormq.channel import Channel
from aiormq.exceptions import AMQPChannelError, PublishError

from common.messaging.confirms import ConfirmedWriter
from tests.support.servers import proxied


@asynccontextmanager
async def a_writer(url: str, queue: str = "q") -> AsyncIterator[ConfirmedWriter]:
    """A writer on a channel of its own, and a quorum queue to write to."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        await channel.declare_queue(queue, durable=True, arguments={"x-queue-type": "quorum"})
        writer = ConfirmedWriter(cast("Channel", await channel.get_underlay_channel()))
        try:
            yield writer
        finally:
            writer.close()


async def everything_in(url: str, count: int, queue: str = "q") -> list[aio_pika.abc.AbstractIncomingMessage]:
    """Take so many messages out of the queue, and one more if there is one."""
    found: list[aio_pika.abc.AbstractIncomingMessage] = []
    async with await aio_pika.connect(url) as connection:
        there = await (await connection.channel()).get_queue(queue)
        async with asyncio.timeout(60):
            while len(found) < count:
                message = await there.get(fail=False)
                if message is None:
                    await asyncio.sleep(0.05)
                    continue
                await message.ack()
                found.append(message)
        extra = await there.get(fail=False)
        return found if extra is None else [*found, extra]


async def test_a_thousand_at_once_arrive_in_the_order_of_the_calls(amqp_url: str) -> None:
    """They share writes; each has a confirmation and an id of its own."""
    async with a_writer(amqp_url) as writer:
        await asyncio.gather(*(writer.submit("", "q", str(number).encode()) for number in range(1000)))
        found = await everything_in(amqp_url, 1000)
    assert [message.body for message in found] == [str(number).encode() for number in range(1000)]
    assert len({message.message_id for message in found}) == 1000


async def test_batches_of_any_size_arrive_as_they_were(amqp_url: str) -> None:
    """Empty, at the edge of a frame, and over a megabyte; persistent."""
    bodies = [b"", b"x" * 131_064, b"x" * 131_065, b"y" * 1_500_000]
    async with a_writer(amqp_url) as writer:
        await asyncio.gather(*(writer.submit("", "q", body, 5) for body in bodies))
        found = await everything_in(amqp_url, len(bodies))
    assert [(m.body, m.headers["events"], m.content_type, m.content_encoding, m.delivery_mode) for m in found] == [
        (body, "5", "application/cloudevents-batch+json", "zstd", aio_pika.DeliveryMode.PERSISTENT) for body in bodies
    ]


async def test_what_no_queue_takes_fails_alone_among_others(amqp_url: str) -> None:
    """Every second message is returned; the others are confirmed."""
    async with a_writer(amqp_url) as writer:
        outcomes = await asyncio.gather(
            *(writer.submit("", "nobody" if number % 2 else "q", b"m") for number in range(100)), return_exceptions=True
        )
    assert [isinstance(outcome, PublishError) for outcome in outcomes] == [False, True] * 50


async def test_a_message_given_up_before_it_was_written_is_never_sent(amqp_url: str) -> None:
    """Nobody waits for it, so nobody may find it later."""
    async with a_writer(amqp_url) as writer:
        first, given_up, last = (writer.submit("", "q", body) for body in (b"first", b"given up", b"last"))
        given_up.cancel()
        await asyncio.gather(first, last)
        assert [message.body for message in await everything_in(amqp_url, 2)] == [b"first", b"last"]


async def test_while_the_broker_does_not_read_writes_are_bounded_and_given_up_ones_dropped(
    amqp_url: str,
) -> None:
    """The socket fills up once; everything behind it waits here, and is gone when its callers have gone."""
    async with proxied(amqp_url) as (proxy, address), a_writer(address) as writer:
        proxy.stall()
        pending = [writer.submit("", "q", b"z" * 100_000) for _ in range(400)]
        _, late = await asyncio.wait(pending, timeout=1)
        for confirmed in late:
            confirmed.cancel()
        await asyncio.wait(pending, timeout=1)
        assert (len(late), writer.waiting) == (400, 0)
        proxy.heal()
        await asyncio.wait_for(writer.submit("", "q", b"after"), 60)


async def test_when_the_channel_ends_whoever_waits_hears_why(amqp_url: str) -> None:
    """A message to an exchange that does not exist closes the channel under everybody."""
    async with a_writer(amqp_url) as writer:
        outcomes = await asyncio.gather(
            *(writer.submit("" if number else "nowhere", "q", b"m") for number in range(20)), return_exceptions=True
        )
        with pytest.raises(AMQPChannelError):
            await writer.submit("", "q", b"too late")
    assert [isinstance(outcome, AMQPChannelError) for outcome in outcomes] == [True] * 20


async def test_when_the_connection_ends_whoever_waits_does_not_look_cancelled(amqp_url: str) -> None:
    """A cut socket; written and unwritten messages alike."""
    async with proxied(amqp_url) as (proxy, address), a_writer(address) as writer:
        proxy.lose_answers()
        pending = [writer.submit("", "q", b"m") for _ in range(20)]
        await asyncio.sleep(0.1)
        proxy.refuse()
        outcomes = await asyncio.wait_for(asyncio.gather(*pending, return_exceptions=True), 60)
    assert [
        isinstance(outcome, (OSError, RuntimeError)) or type(outcome).__module__.startswith("aiormq")
        for outcome in outcomes
    ] == [True] * 20
