"""Every exchange and queue of the suite, declared in one place.

All queues are quorum queues: a confirmed message is on the disk of a majority. Each has a dead-letter queue ``<name>.dead``, a delivery
limit far above any sane crash loop (poison is counted in the database; with a low limit a consumer that crashes six times
dead-letters a whole prefetch of healthy messages) and ``at-least-once`` dead-lettering, which needs ``reject-publish``.
Nothing here is a feature that RabbitMQ 4 removed.

Every service declares the whole topology when it connects to publish: declaring is idempotent, and a publisher whose events nobody
is bound to would otherwise have them returned as unroutable. A consumer's connection declares its own queue.
"""

from __future__ import annotations

from dataclasses import dataclass

from aio_pika.abc import AbstractChannel, AbstractExchange, ExchangeType

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


async def declare(channel: AbstractChannel) -> dict[str, AbstractExchange]:
    """Declare everything, idempotently, and return the exchanges by name.

    Raises aio-pika's ``ChannelPreconditionFailed`` when something of the same name exists with other properties.
    """
    exchanges = {name: await channel.declare_exchange(name, ExchangeType.TOPIC, durable=True) for name in EXCHANGES}
    dead = await channel.declare_exchange(DEAD_LETTERS, ExchangeType.DIRECT, durable=True)
    for spec in QUEUES:
        await _declare(channel, spec, exchanges[spec.exchange], dead)
    return exchanges


async def declare_queue(channel: AbstractChannel, spec: QueueSpec) -> None:
    """Declare one queue with its dead-letter queue and what it is bound to: all that a consumer needs.

    Raises like ``declare``.
    """
    exchange = await channel.declare_exchange(spec.exchange, ExchangeType.TOPIC, durable=True)
    dead = await channel.declare_exchange(DEAD_LETTERS, ExchangeType.DIRECT, durable=True)
    await _declare(channel, spec, exchange, dead)


async def _declare(
    channel: AbstractChannel, spec: QueueSpec, exchange: AbstractExchange, dead: AbstractExchange
) -> None:
    # The dead-letter queue comes first: with at-least-once dead-lettering a target bound late took minutes to be noticed.
    dead_letters = await channel.declare_queue(spec.dead, durable=True, arguments={"x-queue-type": "quorum"})
    await dead_letters.bind(dead, routing_key=spec.name)
    queue = await channel.declare_queue(
        spec.name,
        durable=True,
        arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": DEAD_LETTERS,
            "x-dead-letter-routing-key": spec.name,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
    )
    for pattern in spec.patterns:
        await queue.bind(exchange, routing_key=pattern)
