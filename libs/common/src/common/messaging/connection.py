"""Connections to RabbitMQ: opened under a time limit, given up at once on a stop, and never mistaken for a cancelled task when they die."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq.exceptions import (
    AMQPChannelError,
    AMQPConnectionError,
    AMQPError,
    ConnectionClosed,
    ProbableAuthenticationError,
)
from yarl import URL

from common.addresses import each_host
from common.tls import tls_complaint

_log = structlog.get_logger(__name__)
_HEARTBEAT_S = 10
_CONNECT_TIMEOUT_S = 5.0
_OPEN_TIMEOUT_S = 30.0
_CLOSE_TIMEOUT_S = 2.0

T = TypeVar("T")
Prepare = Callable[[AbstractConnection], Awaitable[object]]


class ConnectionLostError(ConnectionError):
    """The link died under what was being done."""


class StoppedError(Exception):
    """The work was given up because its owner is to stop."""


CONNECTION_ERRORS = (AMQPError, OSError, TimeoutError)
"""What using a connection that has gone raises, inside ``translate_connection_errors``."""


class BrokerConnection:
    """An open connection with one channel. ``lost`` turns true when either dies; ``wakeup`` is set at that moment."""

    def __init__(self, connection: AbstractConnection, channel: AbstractChannel, wakeup: asyncio.Event) -> None:
        self.connection = connection
        self.channel = channel
        self.lost = False
        self._wakeup = wakeup
        connection.close_callbacks.add(self.lose)
        channel.close_callbacks.add(self.lose)

    def lose(self, *_: object) -> None:
        """Give the link up. May be called by whoever notices first, any number of times."""
        self.lost = True
        self._wakeup.set()


@asynccontextmanager
async def open_connection(
    url: str, *, name: str, confirms: bool, prepare: Prepare, stopping: asyncio.Event, wakeup: asyncio.Event
) -> AsyncIterator[BrokerConnection]:
    """Open a link to the broker, or to any node of a cluster (``amqp://…@one,two/…``), ``prepare``d; close it at the end.

    A plain connection, not aio-pika's robust one: whoever loses it starts again from the topology, so that there is one
    way of recovering, and it is the way of starting. Raises one of ``CONNECTION_ERRORS``, or ``StoppedError`` when ``stopping`` is
    set meanwhile.
    """
    opened: list[AbstractConnection] = []  # known here from the first moment, whatever ends the opening
    try:
        yield await _unless(stopping, _open(opened, url, name=name, confirms=confirms, prepare=prepare, wakeup=wakeup))
    finally:
        for connection in opened:
            await _close(connection)


@contextmanager
def translate_connection_errors() -> Iterator[None]:
    """Raise ``ConnectionLostError`` for everything by which aiormq says that the link has gone.

    What waits on a connection that is closed, or found silent, is rejected with ``CancelledError``: the task that waits was never
    cancelled, but would end as if it had been, and nobody would notice. ``RuntimeError`` is what it says of a wrong state.
    """
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise ConnectionLostError("the link to RabbitMQ was closed") from None
    except RuntimeError as error:
        raise ConnectionLostError(f"the link to RabbitMQ is in a wrong state ({type(error).__name__})") from error


def reason_of(error: BaseException) -> str:
    """Say in one line why a link was lost. What the broker itself says is quoted: it names queues and properties, never secrets."""
    complaint = tls_complaint(error)
    if complaint is not None:
        return complaint
    if (
        isinstance(error, (AMQPChannelError, ConnectionClosed, ProbableAuthenticationError))
        or type(error) is AMQPConnectionError
    ):
        said = " ".join(str(part) for part in error.args if part is not None)
        return f"{type(error).__name__}: {said}" if said else type(error).__name__
    return type(error).__name__


async def pause(stopping: asyncio.Event, seconds: float) -> None:
    """Sleep, but no longer than until ``stopping`` is set."""
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return


async def _open(
    opened: list[AbstractConnection], url: str, *, name: str, confirms: bool, prepare: Prepare, wakeup: asyncio.Event
) -> BrokerConnection:
    addresses = [URL(each).update_query(heartbeat=str(_HEARTBEAT_S), name=name) for each in each_host(url)]
    with translate_connection_errors():
        connection = await _connect(opened, addresses)
        # A broker that answers heartbeats and nothing else would be waited for without end.
        async with asyncio.timeout(_OPEN_TIMEOUT_S):
            channel = await connection.channel(publisher_confirms=confirms, on_return_raises=confirms)
            link = BrokerConnection(connection, channel, wakeup)
            await prepare(connection)
    return link


async def _connect(opened: list[AbstractConnection], addresses: list[URL]) -> AbstractConnection:
    """Connect to any of a cluster's nodes: each is as good, so they share the connections; a silent one has its share of the time only."""
    random.shuffle(addresses)
    for left in range(len(addresses) - 1, -1, -1):
        # aio_pika.connect forgets an object that did not connect: it schedules its own closing when it is collected, on whatever
        # loop runs then, or on none. Kept here, it is closed like the others.
        connection = aio_pika.Connection(addresses[left])
        opened.append(connection)
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S / len(addresses)):
                await connection.connect()
        except CONNECTION_ERRORS as error:
            if not left:
                raise
            _log.debug("broker_node_passed_over", reason=reason_of(error))
        else:
            break
    return connection


async def _close(connection: AbstractConnection) -> None:
    try:
        with translate_connection_errors():
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await connection.close()
    except CONNECTION_ERRORS as error:
        _log.debug("broker_close_failed", reason=type(error).__name__)


async def _unless(stopping: asyncio.Event, work: Coroutine[Any, Any, T]) -> T:
    """Await the work, or raise ``StoppedError`` when ``stopping`` is set first. Either way, and if cancelled, the work has ended then."""
    task = asyncio.ensure_future(work)
    waiter = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise StoppedError
        if task.cancelled():
            raise ConnectionLostError("the link to RabbitMQ was closed")
        return task.result()
    finally:
        waiter.cancel()
        task.cancel()  # does nothing to one that is done
        await asyncio.gather(task, return_exceptions=True)
