"""Every exchange and queue of the suite, declared in one place.

All queues are quorum queues: a confirmed message is on the disk of a majority. Each has a dead-letter queue ``<name>.dead``, a delivery
limit far above any sane crash loop (poison is counted in the database; with a low limit a consumer that crashes six times
dead-letters a whole prefetch of healthy messages) and ``at-least-once`` dead-lettering, which needs ``reject-publish``.
Nothing here is a feature that RabbitMQ 4 removed.

A publisher whose events nobody is bound to would have them returned as unroutable, so whoever connects to publish needs the whole
topology, and a consumer its own queue. An administrator keeps it (``accounts`` makes what is imported), which ``COMPLETE`` says, and no
service declares anything; or every service declares it on each connection, for which its account needs the rights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, ExchangeType
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity

from common.contracts import intake

DEAD_LETTERS = "dead-letters"
EXCHANGES = ("intake", "orders", "refunds", "alerts", "journal")
DELIVERY_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """A queue and what it is bound to. ``name`` is ``<consuming service>.<purpose>``.

    ``late_above``: of more messages than these a person should know; the alert of Prometheus has the same figure. The broker does not say
    since when messages wait.
    """

    name: str
    exchange: str
    patterns: tuple[str, ...]
    late_above: int | None = None

    @property
    def dead(self) -> str:
        """The queue that takes what this one gives up on."""
        return f"{self.name}.dead"

    @property
    def service(self) -> str:
        """Whose it is."""
        return self.name.partition(".")[0]

    @property
    def replays(self) -> str:
        """The exchange by which its service sends a message to this queue alone, under the queue's name."""
        return replays_of(self.service)

    @property
    def arguments(self) -> dict[str, str | int]:
        """What it is declared with."""
        return {
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": DEAD_LETTERS,
            "x-dead-letter-routing-key": self.name,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }

    @property
    def bindings(self) -> tuple[tuple[str, str], ...]:
        """The exchanges that it is bound to, with the routing keys."""
        return (*((self.exchange, pattern) for pattern in self.patterns), (self.replays, self.name))


def replays_of(service: str) -> str:
    """Return the name of the direct exchange that only this service writes, and only its own queues are bound to."""
    return f"{service}.replays"


RECORDER = QueueSpec("webhook-gateway.recorder", "intake", ("intake.#",))
GATEWAY_ORDERS = QueueSpec("webhook-gateway.orders", "orders", ("orders.order.created.v1",))
ORCHESTRATOR_INTAKE = QueueSpec("orchestrator.intake", "intake", (intake.HOOK_RECEIVED,), late_above=10_000)
ORCHESTRATOR_REFUNDS = QueueSpec("orchestrator.refunds", "refunds", ("refunds.refund.#",))
ORCHESTRATOR_JOURNAL = QueueSpec("orchestrator.journal", "journal", ("journal.#",))
REFUNDS_WANTED = QueueSpec("refunds.wanted", "orders", ("orders.refund.wanted.v1",))
REFUNDS_WORK = QueueSpec("refunds.work", "refunds", ("refunds.tcreate_refund.#",))
NOTIFIER_ORDERS = QueueSpec("notifier.orders", "orders", ("orders.#",))
NOTIFIER_REFUNDS = QueueSpec("notifier.refunds", "refunds", ("refunds.refund.#",))
NOTIFIER_ALERTS = QueueSpec("notifier.alerts", "alerts", ("alerts.#",))

QUEUES = (
    RECORDER,
    GATEWAY_ORDERS,
    ORCHESTRATOR_INTAKE,
    ORCHESTRATOR_REFUNDS,
    ORCHESTRATOR_JOURNAL,
    REFUNDS_WANTED,
    REFUNDS_WORK,
    NOTIFIER_ORDERS,
    NOTIFIER_REFUNDS,
    NOTIFIER_ALERTS,
)


DEAD_ARGUMENTS = {"x-queue-type": "quorum"}


def exchanges() -> Iterator[tuple[str, ExchangeType]]:
    """Give every exchange with its type; ``COMPLETE`` is none of them."""
    for name in EXCHANGES:
        yield name, ExchangeType.TOPIC
    yield DEAD_LETTERS, ExchangeType.DIRECT
    for service in dict.fromkeys(spec.service for spec in QUEUES):
        yield replays_of(service), ExchangeType.DIRECT


def _digest() -> str:
    parts = (
        *((name, kind.value) for name, kind in exchanges()),
        DEAD_ARGUMENTS,
        *((spec.name, spec.arguments, spec.bindings) for spec in QUEUES),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


COMPLETE = f"topology.{_digest()}"
"""An exchange that nothing is bound to: where it is, an administrator has imported this very topology. No service makes it."""


async def ensure(connection: AbstractConnection) -> None:
    """Declare everything, unless an administrator keeps this topology: on channels of their own, which the broker closes at a refusal.

    For a connection that publishes: it does. Raises like ``declare``, and aiormq's ``ChannelAccessRefused`` where nobody keeps it and the
    account may not declare either.
    """
    try:
        # Not a passive declaration: RabbitMQ 4.2.6 and 4.3.0 want the right to declare for that too.
        async with connection.channel(publisher_confirms=True) as side:
            kept = await side.get_exchange(COMPLETE, ensure=False)
            await kept.publish(Message(b""), "", mandatory=False)
    except (ChannelNotFoundEntity, ChannelAccessRefused):
        async with connection.channel(publisher_confirms=False) as side:
            await declare(side)


async def ensure_queue(connection: AbstractConnection, spec: QueueSpec) -> None:
    """Declare what a consumer needs, unless the account may not: an administrator keeps it then, and who reads learns whether it is there.

    Publishes nothing: a broker that is short of memory or disk reads no more from a connection that does, and consuming relieves it.
    """
    with suppress(ChannelAccessRefused):
        async with connection.channel(publisher_confirms=False) as side:
            await declare_queue(side, spec)


async def declare(channel: AbstractChannel) -> dict[str, AbstractExchange]:
    """Declare everything, idempotently, and return the exchanges by name.

    Raises aio-pika's ``ChannelPreconditionFailed`` when something of the same name exists with other properties.
    """
    found = {name: await channel.declare_exchange(name, kind, durable=True) for name, kind in exchanges()}
    for spec in QUEUES:
        await _declare(channel, spec)
    return found


async def declare_queue(channel: AbstractChannel, spec: QueueSpec) -> None:
    """Declare one queue with its dead-letter queue and what it is bound to: all that a consumer needs.

    Raises like ``declare``.
    """
    await channel.declare_exchange(spec.exchange, ExchangeType.TOPIC, durable=True)
    for name in (DEAD_LETTERS, spec.replays):
        await channel.declare_exchange(name, ExchangeType.DIRECT, durable=True)
    await _declare(channel, spec)


async def _declare(channel: AbstractChannel, spec: QueueSpec) -> None:
    # The dead-letter queue comes first: with at-least-once dead-lettering a target bound late took minutes to be noticed.
    dead = await channel.declare_queue(spec.dead, durable=True, arguments=dict(DEAD_ARGUMENTS))
    await dead.bind(DEAD_LETTERS, routing_key=spec.name)
    queue = await channel.declare_queue(spec.name, durable=True, arguments=dict(spec.arguments))
    for exchange, key in spec.bindings:
        await queue.bind(exchange, routing_key=key)
