"""RabbitMQ: the topology, confirmed publishing, batched consuming, inbox, outbox, dead letters."""

from common.messaging import outbox, topology
from common.messaging.broker import Broker
from common.messaging.consumer import Consumer, Handler
from common.messaging.dead_letters import DeadLetterCollector
from common.messaging.metrics import MessagingMetrics
from common.messaging.outbox import OutboxRelay
from common.messaging.publisher import (
    BrokerAway,
    Outgoing,
    Publisher,
    PublishFailed,
    PublishTimeout,
    Refused,
    Unroutable,
)

__all__ = [
    "Broker",
    "BrokerAway",
    "Consumer",
    "DeadLetterCollector",
    "Handler",
    "MessagingMetrics",
    "OutboxRelay",
    "Outgoing",
    "PublishFailed",
    "PublishTimeout",
    "Publisher",
    "Refused",
    "Unroutable",
    "outbox",
    "topology",
]
