"""Confirmed, mandatory, persistent publishing under a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiormq.abc import AbstractChannel
from aiormq.channel import Channel
from aiormq.exceptions import AMQPChannelError, AMQPError, DeliveryError, PublishError
from pamqp import commands as spec

from common.contracts.envelope import Envelope, exchange_of
from common.errors import Unavailable
from common.messaging.confirms import ConfirmedWriter


class PublishFailed(Unavailable):
    """The message may or may not be at the broker; it is safe to publish it again."""

    code = "publish_failed"


class BrokerAway(PublishFailed):
    """There is no connection to the broker, or it was lost before the confirmation came."""

    code = "broker_away"


class ChannelClosed(BrokerAway):
    """The broker closed the channel because of something that was published through it: this message, or one beside it."""


class PublishTimeout(PublishFailed):
    """The broker did not confirm within the deadline."""

    code = "publish_timeout"


class Unroutable(PublishFailed):
    """The broker has no queue for the message. It was not kept."""

    code = "unroutable"


class Refused(PublishFailed):
    """The broker answered with a negative confirmation (a queue is full or cannot take it)."""

    code = "publish_refused"


class Unsendable(PublishFailed):
    """The message cannot be said in AMQP (a name longer than 255 bytes): it will fail again."""

    code = "unsendable"
    retryable = False


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message ready to be published: an encoded CloudEvent, or a batch of so many ``events``, and where it goes."""

    exchange: str
    routing_key: str
    body: bytes
    events: int = 1


class Publisher:
    """Publishes through the channel that ``Broker`` lends it.

    When a call returns, a quorum of the broker's nodes has the message on disk, in at least one queue. When it raises, the message
    may still have arrived: whoever publishes again makes a duplicate, which consumers recognise by the event's id. Messages
    published one after another by one caller arrive in that order. Safe for concurrent use within one event loop. What is written
    and not yet taken by the socket is bounded, also while the broker blocks us.
    """

    def __init__(self) -> None:
        self._writer: ConfirmedWriter | None = None
        self._ready = asyncio.Event()
        self.unroutable = False
        self.on_unroutable: Callable[[], None] | None = None
        """Called, with ``unroutable`` set, when the broker had no queue for a message: the topology may want mending."""

    @property
    def ready(self) -> bool:
        """Whether there is a channel to publish through."""
        return self._writer is not None

    async def wait_ready(self) -> None:
        """Return when there is a channel to publish through."""
        await self._ready.wait()

    @asynccontextmanager
    async def using(self, channel: AbstractChannel) -> AsyncIterator[None]:
        """Publish through this channel, which nobody else may publish through, until the block ends. What is pending fails then."""
        if not isinstance(channel, Channel):
            raise TypeError("a channel of aiormq is needed")
        writer = ConfirmedWriter(channel)
        self._writer = writer
        self._ready.set()
        try:
            yield
        finally:
            self._writer = None
            self._ready.clear()
            writer.close()

    async def publish(self, envelope: Envelope, *, deadline: float = 15.0) -> None:
        """Publish an event to the exchange of its context, with its type as the routing key. See ``publish_raw``."""
        await self.publish_raw(exchange_of(envelope.type), envelope.type, envelope.encode(), deadline=deadline)

    async def publish_raw(
        self, exchange: str, routing_key: str, body: bytes, *, deadline: float = 15.0, events: int = 1
    ) -> None:
        """Publish an encoded CloudEvent, or a batch of so many ``events``, and return when the broker has confirmed it.

        ``deadline`` is in seconds and covers everything, waiting for the socket included: aio-pika's own publish can hang while
        the broker is away. Raises ``BrokerAway``, ``PublishTimeout``, ``Unroutable``, ``Refused`` or ``Unsendable``.
        """
        confirmed = self._submit(Outgoing(exchange, routing_key, body, events))
        expired: list[bool] = []
        timer = confirmed.get_loop().call_later(deadline, _expire, confirmed, expired)
        try:
            await confirmed
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not expired or (task is not None and task.cancelling()):
                raise
            raise _too_late(deadline) from None
        except Exception as error:
            raise self._failure(error) from error
        finally:
            timer.cancel()

    async def publish_many(self, messages: Sequence[Outgoing], *, deadline: float = 10.0) -> list[PublishFailed | None]:
        """Publish many at a time and await the confirmations together.

        They are sent in the given order. The answer has one entry a message: None where it was confirmed, else what was wrong.
        """
        outcomes: list[asyncio.Future[object] | PublishFailed] = []
        for message in messages:
            try:
                outcomes.append(self._submit(message))
            except PublishFailed as failure:
                outcomes.append(failure)
        pending = [outcome for outcome in outcomes if isinstance(outcome, asyncio.Future)]
        try:
            if pending:
                await asyncio.wait(pending, timeout=deadline)
        finally:
            for confirmed in pending:
                confirmed.cancel()  # does nothing to one that is done
        return [self._outcome(outcome, deadline) for outcome in outcomes]

    def _submit(self, message: Outgoing) -> asyncio.Future[object]:
        writer = self._writer
        if writer is None:
            raise BrokerAway("there is no connection to RabbitMQ")
        try:
            return writer.submit(message.exchange, message.routing_key, message.body, message.events)
        except ValueError as error:
            raise Unsendable(f"the message cannot be said in AMQP ({type(error).__name__})") from error

    def _outcome(self, outcome: asyncio.Future[object] | PublishFailed, deadline: float) -> PublishFailed | None:
        if isinstance(outcome, PublishFailed):
            return outcome
        if outcome.cancelled():
            return _too_late(deadline)
        error = outcome.exception()
        return None if error is None else self._failure(error)

    def _failure(self, error: BaseException) -> PublishFailed:
        """Say what went wrong in our own words. What is none of the broker's doings is raised as it is."""
        if isinstance(error, PublishError):
            self.unroutable = True
            if self.on_unroutable is not None:
                self.on_unroutable()
            returned = error.frame
            if isinstance(returned, spec.Basic.Return):
                return Unroutable(
                    f"no queue takes {returned.routing_key} from {returned.exchange or 'the default exchange'}"
                )
            return Unroutable("no queue takes the message")
        if isinstance(error, DeliveryError):
            return Refused("RabbitMQ refused the message")
        if isinstance(error, AMQPChannelError):
            return ChannelClosed(f"RabbitMQ closed the channel ({type(error).__name__})")
        if isinstance(error, (AMQPError, OSError, RuntimeError)):
            return BrokerAway(f"the connection to RabbitMQ was lost ({type(error).__name__})")
        raise error


def _too_late(deadline: float) -> PublishTimeout:
    return PublishTimeout(f"RabbitMQ did not confirm within {deadline:g} s")


def _expire(confirmed: asyncio.Future[object], expired: list[bool]) -> None:
    expired.append(True)
    confirmed.cancel()
