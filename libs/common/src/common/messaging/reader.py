"""Reads a queue in batches and acknowledges what has been dealt with."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import structlog
from aiormq.abc import AbstractChannel, DeliveredMessage

from common.clock import full_jitter
from common.contracts.batch import EVENTS_HEADER
from common.messaging import topology
from common.messaging.connection import (
    CONNECTION_ERRORS,
    BrokerConnection,
    StoppedError,
    open_connection,
    pause,
    reason_of,
    translate_connection_errors,
)

_log = structlog.get_logger(__name__)
_OPEN_TIMEOUT_S = 30.0
_CANCEL_TIMEOUT_S = 2.0
_QUIET_S = 20.0
_BATCH_BYTES = 8 * 1024 * 1024

Process = Callable[[Sequence[DeliveredMessage]], Awaitable[None]]
"""Deals with a batch for good: when it returns, every message of the batch may be forgotten by the broker."""


class StopReadingError(Exception):
    """Raised inside ``process`` to leave the batch unacknowledged because the reader is to end."""


class BatchReader:
    """Feeds the messages of one queue to ``process``, one batch at a time, in the order of the queue.

    A message is acknowledged only after ``process`` has returned for it; when ``process`` raises, or the connection is lost, or the
    process dies, the broker delivers it again. ``run`` is to be supervised and survives the broker's absence, and a queue that is
    deleted under it: it makes it again, and asks anew for messages when none has come for a while. A batch holds messages of at most
    ``batch_size`` events and about 8 MiB, or one that is larger; at most twice ``batch_size`` messages are held in memory. ``source`` is
    the queue to read: ``spec``'s own, or its dead-letter queue.
    """

    def __init__(
        self, url: str, *, spec: topology.QueueSpec, source: str, process: Process, batch_size: int, linger: float
    ) -> None:
        self._url = url
        self._spec = spec
        self._queue = source
        self._process = process
        self._batch_size = batch_size
        self._linger = linger
        self._stopping = asyncio.Event()
        self._wakeup = asyncio.Event()
        self._link: BrokerConnection | None = None
        self._reason: str | None = ""

    @property
    def connected(self) -> bool:
        """Whether the queue is being read."""
        return self._reason is None and self._link is not None and not self._link.lost

    @property
    def stopping(self) -> asyncio.Event:
        """Set when the reader is to end: whoever waits inside ``process`` gives up then."""
        return self._stopping

    async def stop(self) -> None:
        """Take no new batch. The one in hand is finished and acknowledged before ``run`` returns."""
        self._stopping.set()
        self._wakeup.set()

    async def run(self) -> None:
        """Read until ``stop``, connecting again whenever the connection is lost. Raises only what ``process`` raises."""
        attempt = 0
        while not self._stopping.is_set():
            try:
                async with open_connection(
                    self._url,
                    name=f"consume.{self._queue}",
                    confirms=False,
                    prepare=partial(topology.ensure_queue, spec=self._spec),
                    stopping=self._stopping,
                    wakeup=self._wakeup,
                ) as link:
                    if await self._read(link):
                        attempt = 0
            except StoppedError:
                return
            except StopReadingError:
                _log.info("consumer_gave_up_batch", queue=self._queue)
                return
            except _ProcessFailedError as failed:
                raise failed.cause from None
            except CONNECTION_ERRORS as error:
                reason = reason_of(error)
                if reason != self._reason:  # once for each reason, not once for each attempt
                    _log.warning("consumer_disconnected", queue=self._queue, reason=reason)
                self._reason = reason
            finally:
                self._link = None
            await pause(self._stopping, 0.1 + full_jitter(attempt, base=0.1, cap=2.0))
            attempt += 1

    async def _read(self, link: BrokerConnection) -> bool:
        """Read until the link is lost or the reader is to end; return whether anything was acknowledged."""
        self._link = link
        acknowledged = False
        while not link.lost and not self._stopping.is_set():
            acknowledged = await self._read_until_quiet(link) or acknowledged
        if link.lost and not self._stopping.is_set():
            _log.warning("consumer_disconnected", queue=self._queue, reason="connection lost")
        return acknowledged

    async def _read_until_quiet(self, link: BrokerConnection) -> bool:
        """Read through a channel of its own until nothing has come for a while; return whether anything was acknowledged.

        A queue that is deleted and declared again at the same moment leaves its consumers registered and unserved, with messages in
        their hands that they never see, and nobody is notified. A new channel is served, and gets those messages.
        """
        arrived: deque[DeliveredMessage] = deque()

        async def take(message: DeliveredMessage) -> None:
            """Keep what the broker sends; never waits, so the order of delivery is kept."""
            arrived.append(message)
            self._wakeup.set()

        with translate_connection_errors():
            async with asyncio.timeout(_OPEN_TIMEOUT_S):
                owner = await link.connection.channel(publisher_confirms=False)
                owner.close_callbacks.add(link.lose)
                # aiormq's channel itself: aio-pika's message objects cost more than the rest of receiving, and nothing here needs them.
                channel = await owner.get_underlay_channel()
                # The broker cancels a consumer whose queue was deleted and closes nothing.
                channel.on_consumer_cancel_callbacks.add(link.lose)
                # Twice the batch: the next one arrives while this one is dealt with.
                await channel.basic_qos(prefetch_count=self._batch_size * 2)
                tag = (await channel.basic_consume(self._queue, take)).consumer_tag or ""
        if self._reason is not None:
            self._reason = None
            _log.info("consumer_started", queue=self._queue)
        acknowledged = False
        while not link.lost and not self._stopping.is_set():
            if not arrived:
                self._wakeup.clear()
                await pause(self._wakeup, _QUIET_S)
                if arrived or self._wakeup.is_set():
                    continue
                break
            if len(arrived) < self._batch_size and sum(map(_events_in, arrived)) < self._batch_size:
                # Give a burst a moment to arrive: one transaction for many costs far less than many for one.
                await asyncio.sleep(self._linger)
            batch = _next_batch(arrived, self._batch_size)
            try:
                await self._process(batch)
            except StopReadingError:
                raise
            except Exception as error:  # noqa: BLE001 - kept apart from what the link itself raises, then raised by `run`
                raise _ProcessFailedError(error) from None
            await _acknowledge(channel, batch[-1])
            acknowledged = True
        if not link.lost:
            with translate_connection_errors():
                async with asyncio.timeout(_CANCEL_TIMEOUT_S):
                    # The answer to this says that the broker has dealt with the last acknowledgement, too.
                    await channel.basic_cancel(tag)
                    # What came in the meantime is not acknowledged: the broker hands it to the next channel.
                    owner.close_callbacks.discard(link.lose)
                    await owner.close()
        return acknowledged


class _ProcessFailedError(Exception):
    def __init__(self, cause: Exception) -> None:
        super().__init__(cause)
        self.cause = cause


def _next_batch(arrived: deque[DeliveredMessage], limit: int) -> list[DeliveredMessage]:
    batch = [arrived.popleft()]
    size, events = len(batch[0].body), _events_in(batch[0])
    while arrived:
        size += len(arrived[0].body)
        events += _events_in(arrived[0])
        if size > _BATCH_BYTES or events > limit:
            break
        batch.append(arrived.popleft())
    return batch


def _events_in(message: DeliveredMessage) -> int:
    """Return how many events a message says that it holds; one where it says nothing of use."""
    headers = message.header.properties.headers
    if not headers:
        return 1
    said = headers.get(EVENTS_HEADER)
    return max(1, int(said)) if isinstance(said, str) and said.isascii() and said.isdecimal() and len(said) < 7 else 1


async def _acknowledge(channel: AbstractChannel, last: DeliveredMessage) -> None:
    # One acknowledgement for all: batches are dealt with in the order of delivery, so nothing before is open. Lost on a dead link, it
    # costs a redelivery, which the inbox recognises.
    with translate_connection_errors():
        tag = last.delivery.delivery_tag  # type: ignore[union-attr]  # a delivery has one, an answer to Get might not
        await channel.basic_ack(tag, multiple=True, wait=False)  # type: ignore[arg-type]  # as above
