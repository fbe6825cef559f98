"""Hooks that arrive while others are unconfirmed are published together, as one message."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from common.contracts.batch import LARGE, MOST_BYTES, MOST_EVENTS, cut, pack
from common.contracts.intake import HOOK_RECEIVED
from common.messaging.publisher import BrokerAway, ChannelClosed, Publisher, PublishFailed, PublishTimeout
from webhook_gateway.durable.metrics import DurabilityMetrics
from webhook_gateway.durable.model import EXCHANGE

_IN_FLIGHT = 2
_APART_S = 60.0
# These say nothing of the hooks; whatever else fails may be the doing of one of them.
_OF_THE_LINK = (BrokerAway, PublishTimeout)


class _GoesAloneError(Exception):
    """A batch could not be published for a reason that may be one of its hooks; each is to be tried alone."""


@dataclass(slots=True)
class _Waiting:
    body: bytes
    until: float
    confirmed: asyncio.Future[None]


class HookBatches:
    """Publishes hooks of type ``HOOK_RECEIVED``, at most two messages at a time; what arrives meanwhile goes with the next.

    A hook that finds none in flight goes at once and alone, and so does a large one. Each call returns when the broker has confirmed the
    message that its own hook is in. A batch that the broker returns or refuses, or that a fault stops, is tried again hook by hook. When
    the broker closes the channel because of one, as it does when it is too large for it, hooks travel alone for a minute. Hooks keep no
    order among each other. Safe for concurrent use within one event loop. A caller that gives up takes its own hook back while it waits,
    and never another's.
    """

    def __init__(self, publisher: Publisher, *, metrics: DurabilityMetrics) -> None:
        self._publisher = publisher
        self._metrics = metrics
        self._in_flight = 0
        self._waiting: deque[_Waiting] = deque()
        self._sending: set[asyncio.Task[None]] = set()
        self._flush_planned = False
        self._apart_until = 0.0

    async def publish(self, body: bytes, *, deadline: float) -> None:
        """Publish an encoded hook and return when it is confirmed.

        ``deadline`` is in seconds and covers waiting for others, too. Raises as ``Publisher.publish_raw`` does; the hook may have arrived
        all the same.
        """
        loop = asyncio.get_running_loop()
        if len(body) > LARGE or loop.time() < self._apart_until:
            await self._publish_alone(body, deadline)
            return
        if not self._in_flight:
            self._in_flight += 1
            try:
                await self._publish_alone(body, deadline)
            finally:
                self._landed()
            return
        hook = _Waiting(body, loop.time() + deadline, loop.create_future())
        self._waiting.append(hook)
        if not self._flush_planned and self._in_flight < _IN_FLIGHT:
            self._flush_planned = True
            loop.call_soon(self._flush)  # what arrives in the same turn of the loop goes along
        timer = loop.call_at(hook.until, _expire, hook, deadline)
        try:
            await hook.confirmed
        except _GoesAloneError:
            await self._publish_alone(body, max(0.0, hook.until - loop.time()))
        finally:
            timer.cancel()

    async def publish_all(self, bodies: Sequence[bytes], *, deadline: float) -> list[Exception | None]:
        """Publish many encoded hooks, in this order, and await the confirmations together.

        The answer has one entry a hook: None where it was confirmed, else what was wrong.
        """
        apart = asyncio.get_running_loop().time() < self._apart_until
        batches = [[body] for body in bodies] if apart else list(cut(bodies))
        outcomes = await asyncio.gather(*(self._publish_or_part(batch, deadline) for batch in batches))
        return [outcome for batch in outcomes for outcome in batch]

    async def _publish_or_part(self, bodies: Sequence[bytes], deadline: float) -> list[Exception | None]:
        failure = await self._outcome(bodies, deadline)
        if len(bodies) == 1 or failure is None or isinstance(failure, _OF_THE_LINK):
            return [failure] * len(bodies)
        return await asyncio.gather(*(self._outcome([body], deadline) for body in bodies))

    async def _outcome(self, bodies: Sequence[bytes], deadline: float) -> Exception | None:
        try:
            if len(bodies) == 1:
                await self._publish_alone(bodies[0], deadline)
            else:
                await self._publish_together(bodies, deadline)
        except Exception as failure:  # noqa: BLE001 - handed to whoever waits for it
            return failure
        return None

    async def _publish_alone(self, body: bytes, deadline: float) -> None:
        self._metrics.published(1)
        await self._publisher.publish_raw(EXCHANGE, HOOK_RECEIVED, body, deadline=deadline)

    async def _publish_together(self, bodies: Sequence[bytes], deadline: float) -> None:
        self._metrics.published(len(bodies))
        try:
            await self._publisher.publish_raw(
                EXCHANGE, HOOK_RECEIVED, pack(bodies), deadline=deadline, events=len(bodies)
            )
        except ChannelClosed:
            self._apart_until = asyncio.get_running_loop().time() + _APART_S
            raise

    def _flush(self) -> None:
        """Send what waits, as far as there may be more in flight."""
        self._flush_planned = False
        while self._in_flight < _IN_FLIGHT:
            batch = self._next_batch()
            if not batch:
                return
            self._in_flight += 1
            task = asyncio.create_task(self._send(batch), name="hook-batch")
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._waiting and len(batch) < MOST_EVENTS:
            hook = self._waiting[0]
            if not hook.confirmed.done():  # else its caller has given up: it was never sent
                size += len(hook.body)
                if batch and size > MOST_BYTES:
                    break
                batch.append(hook)
            self._waiting.popleft()
        return batch

    async def _send(self, batch: Sequence[_Waiting]) -> None:
        """Publish a batch for whoever waits for it. It outlives any of them, and ends with the last one's deadline."""
        left = batch[-1].until - asyncio.get_running_loop().time()
        try:
            failure = await self._outcome([hook.body for hook in batch], max(0.0, left))
        finally:
            self._landed()
        for hook in batch:
            if hook.confirmed.done():
                continue
            if failure is None:
                hook.confirmed.set_result(None)
            elif len(batch) > 1 and not isinstance(failure, _OF_THE_LINK):
                hook.confirmed.set_exception(_GoesAloneError())
            else:
                hook.confirmed.set_exception(_again(failure))

    def _landed(self) -> None:
        self._in_flight -= 1
        self._flush()


def _again(failure: Exception) -> Exception:
    """Return an error of its own for each of many: one that is raised by all of them would gather their traces."""
    return type(failure)(failure.detail) if isinstance(failure, PublishFailed) else failure


def _expire(hook: _Waiting, deadline: float) -> None:
    if not hook.confirmed.done():
        hook.confirmed.set_exception(PublishTimeout(f"RabbitMQ did not confirm within {deadline:g} s"))
