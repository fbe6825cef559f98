"""What still waits in the queues of a broker that was lost, brought into another one.

Its data cannot just be copied: RabbitMQ writes into a quorum queue's own files where they lie. So the node is started once more where it
was, beside the new one, and each message goes over: confirmed there before it is gone here. Whoever is interrupted begins anew; what
came over twice is known to its consumer by its id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from common.messaging.topology import QUEUES, declare
from suite_local.infrastructure.rabbitmq import LocalRabbitmq

_OF_THE_OLD_QUEUE = "x-delivery-count"


@contextmanager
def running_node(node: LocalRabbitmq) -> Iterator[LocalRabbitmq]:
    """Run a node until the block ends."""
    node.prepare()
    node.start()
    try:
        node.wait_ready()
        yield node
    finally:
        node.stop()


def bring_over(old: str, new: str) -> int:
    """Bring every message of the suite's queues from one broker to another; return how many. Both run, and nobody consumes."""
    return asyncio.run(_bring_over(old, new))


async def _bring_over(old: str, new: str) -> int:
    brought = 0
    async with await aio_pika.connect(old) as source, await aio_pika.connect(new) as target:
        taking, giving = await source.channel(), await target.channel(on_return_raises=True)
        await declare(taking)
        await declare(giving)
        for spec in QUEUES:
            for name in (spec.name, spec.dead):
                queue = await taking.get_queue(name)
                while message := await queue.get(fail=False):
                    await giving.default_exchange.publish(_again(message), routing_key=name)
                    await message.ack()
                    brought += 1
    return brought


def _again(message: AbstractIncomingMessage) -> aio_pika.Message:
    return aio_pika.Message(
        message.body,
        headers={name: value for name, value in message.headers.items() if name != _OF_THE_OLD_QUEUE},
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=message.message_id,
        timestamp=message.timestamp,
        type=message.type,
        app_id=message.app_id,
    )
