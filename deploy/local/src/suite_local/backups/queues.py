"""What still waits in the queues of a broker that was lost, brought into another one.

Its data cannot just be copied: RabbitMQ writes into a quorum queue's own files where they lie. So the node is started once more where it
was, beside the new one, and each message goes over: confirmed there before it is gone here. Whoever is interrupted begins anew; what
came over twice is known to its consumer by its id.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from common.messaging.topology import QUEUES, declare
from suite_local.infrastructure.rabbitmq import VHOST, LocalRabbitmq, call_api

_OF_THE_OLD_QUEUE = "x-delivery-count"
_NAMES = [name for spec in QUEUES for name in (spec.name, spec.dead)]
_QUIET_S = 7.0
"""A quorum queue counts its messages anew every five seconds, the management plugin reads that every two."""


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


def bring_over(old: LocalRabbitmq, new: LocalRabbitmq) -> int:
    """Bring every message of the suite's queues from one broker to another; return how many. Both run, and nobody consumes.

    What a consumer of the dead suite had in hand comes back to its queue a moment after the node has started, when it notices that
    nobody is there: a queue that has nothing to give is not empty yet. It is, once it has given nothing for longer than its figures need,
    and they say so.
    """
    return asyncio.run(_bring_over(old, new))


async def _bring_over(old: LocalRabbitmq, new: LocalRabbitmq) -> int:
    brought = 0
    async with await aio_pika.connect(old.url) as source, await aio_pika.connect(new.url) as target:
        taking, giving = await source.channel(), await target.channel(on_return_raises=True)
        await declare(taking)
        await declare(giving)
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < _QUIET_S or await asyncio.to_thread(_left, old) > 0:
            moved = 0
            for name in _NAMES:
                moved += await _drain(await taking.get_queue(name), giving)
            if moved:
                brought, quiet_since = brought + moved, time.monotonic()
            await asyncio.sleep(0.5)
    return brought


async def _drain(queue: AbstractQueue, giving: AbstractChannel) -> int:
    moved = 0
    while message := await queue.get(fail=False):
        await giving.default_exchange.publish(_again(message), routing_key=queue.name)
        await message.ack()
        moved += 1
    return moved


def _left(node: LocalRabbitmq) -> int:
    """How many messages the node counts in the suite's queues, in hand or not."""
    queues = json.loads(call_api(node.api_url, "GET", f"/api/queues/{VHOST}"))
    return sum(queue.get("messages", 1) for queue in queues if queue["name"] in _NAMES)


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
