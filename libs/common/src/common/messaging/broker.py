"""One supervised connection to RabbitMQ for publishing, made again whenever it is lost."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog
from aiormq.exceptions import ChannelAccessRefused

from common.clock import full_jitter
from common.errors import NotTrusted, Unavailable
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
from common.messaging.publisher import Publisher
from common.tls import tls_complaint

_log = structlog.get_logger(__name__)
_LOOK_AGAIN_S = 5.0
_ASK_S = 2.0


class Broker:
    """The service's link to RabbitMQ.

    ``run`` is to be supervised; it sees to the whole topology on every new connection, and again when an event was unroutable, and
    lends its channel to ``publisher``. Consumers make connections of their own: a broker under a memory or disk alarm blocks the
    connections that publish, and consuming must go on to relieve it.
    """

    def __init__(self, url: str, *, name: str) -> None:
        self.url = url
        self.name = name
        self.publisher = Publisher()
        self._stopping = asyncio.Event()
        self._wakeup = asyncio.Event()
        self._reason = "not connected yet"
        self._away: type[Unavailable] = Unavailable
        self._link: BrokerConnection | None = None

    async def run(self) -> None:
        """Keep the connection until ``stop``. Never raises because the broker is away or refuses us: ``check`` raises the reason."""
        attempt = 0
        while not self._stopping.is_set():
            try:
                async with open_connection(
                    self.url,
                    name=f"{self.name}.publish",
                    confirms=True,
                    prepare=topology.ensure,
                    stopping=self._stopping,
                    wakeup=self._wakeup,
                ) as link:
                    attempt = 0
                    self._reason = ""
                    _log.info("broker_connected")
                    with translate_connection_errors():
                        channel = await link.channel.get_underlay_channel()
                    async with self.publisher.using(channel):
                        self._link = link
                        try:
                            await self._serve(link)
                        finally:
                            self._link = None
                    self._reason, self._away = "connection lost", Unavailable
            except StoppedError:
                return
            except CONNECTION_ERRORS as error:
                reason = reason_of(error)
                if reason != self._reason:  # once for each reason, not once for each attempt
                    _log.warning("broker_away", reason=reason)
                self._reason = reason
                self._away = Unavailable if tls_complaint(error) is None else NotTrusted
            # At least a tenth of a second, so that a broker that refuses at once is not asked in a tight loop.
            await pause(self._stopping, 0.1 + full_jitter(attempt, base=0.1, cap=2.0))
            attempt += 1

    async def stop(self) -> None:
        """Let ``run`` end. Whatever is still being published fails with ``BrokerAway``."""
        self._stopping.set()
        self._wakeup.set()

    async def wait_ready(self) -> None:
        """Return when the topology is declared and publishing is possible."""
        await self.publisher.wait_ready()

    async def check(self) -> None:
        """Readiness: raises ``Unavailable`` with the reason while nothing can be published; ``NotTrusted`` where TLS is the reason."""
        if not self.publisher.ready:
            raise self._away(f"RabbitMQ: {self._reason}")

    async def depth(self, queue: topology.QueueSpec) -> int:
        """Return how many messages of a queue no consumer has taken. Raises ``Unavailable`` when the broker does not say within 2 s."""
        link = self._link
        if link is None or link.lost:
            raise Unavailable(f"RabbitMQ: {self._reason}")
        try:
            with translate_connection_errors():
                # On a channel of its own, which the broker closes if there is no such queue.
                async with asyncio.timeout(_ASK_S), link.connection.channel(publisher_confirms=False) as side:
                    found = await side.declare_queue(queue.name, passive=True)
                    return found.declaration_result.message_count or 0
        except CONNECTION_ERRORS as error:
            raise Unavailable(f"RabbitMQ: {reason_of(error)}") from None

    async def _serve(self, link: BrokerConnection) -> None:
        """Return when the link is lost or is to stop; meanwhile mend the topology where something turned out unroutable."""
        self.publisher.on_unroutable = self._wakeup.set
        loop = asyncio.get_running_loop()
        next_look = loop.time()
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            if link.lost or self._stopping.is_set():
                return
            if self.publisher.unroutable and loop.time() >= next_look:
                next_look = loop.time() + _LOOK_AGAIN_S
                self.publisher.unroutable = False
                _log.warning("topology_declared_again")
                with translate_connection_errors():
                    # On a channel of its own: declaring takes turns with publishing on the other one.
                    async with asyncio.timeout(30.0), link.connection.channel(publisher_confirms=False) as side:
                        with suppress(ChannelAccessRefused):  # what it may not declare is an administrator's to mend
                            await topology.declare(side)
