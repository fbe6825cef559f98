"""The recorder: takes the intake queue into the database."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from opentelemetry.trace import SpanKind

from common.contracts.envelope import Envelope, parse
from common.contracts.intake import IntakeMessage
from common.contracts.orders import OrderCreatedV1
from common.messaging import topology
from common.messaging.consumer import AfterCommit, Consumer, nothing_follows
from common.messaging.metrics import MessagingMetrics
from common.postgres import Connection, Database
from common.telemetry import extract, get_logger, span
from webhook_gateway.deliveries import unarrived
from webhook_gateway.deliveries.record import RecordDeliveries
from webhook_gateway.hooks.metrics import event_label
from webhook_gateway.hooks.model import SERVICE

_log = get_logger()
_RECORDER, _ARRIVALS = "recorder", "arrivals"
_LOGGED_ONE_BY_ONE = 10
_LINGER_S = 0.3  # nobody waits for what is recorded, and a transaction for ten hooks costs little more than one for one


def make_recorder(
    url: str,
    *,
    database: Database,
    record: RecordDeliveries,
    metrics: MessagingMetrics,
    after_commit: Callable[[], None],
) -> Consumer:
    """Return the consumer. Its inbox knows deliveries, not events: a repeat of an event is a delivery of its own and is kept too."""

    async def handle(connection: Connection, arrived: Sequence[Envelope]) -> None:
        """Record a batch in the consumer's transaction."""
        hooks = [IntakeMessage.from_envelope(event) for event in arrived]
        await record(connection, hooks)
        _log_deliveries(hooks)

    return Consumer(
        url,
        topology.RECORDER,
        database=database,
        name=_RECORDER,
        service=SERVICE,
        handler=handle,
        metrics=metrics,
        key=delivery_key,
        after_commit=after_commit,
        linger=_LINGER_S,
    )


def make_arrivals(
    url: str, *, database: Database, metrics: MessagingMetrics, after_commit: Callable[[], None]
) -> Consumer:
    """Return the consumer that learns which orders are at the orchestrator."""

    async def handle(connection: Connection, arrived: Sequence[Envelope]) -> AfterCommit:
        """Note a batch in the consumer's transaction."""
        await unarrived.arrived(connection, [parse(event, OrderCreatedV1).order.number for event in arrived])
        return nothing_follows

    return Consumer(
        url,
        topology.GATEWAY_ORDERS,
        database=database,
        name=_ARRIVALS,
        service=SERVICE,
        handler=handle,
        metrics=metrics,
        after_commit=after_commit,
        linger=_LINGER_S,
    )


def delivery_key(envelope: Envelope) -> str:
    """Return what the inbox knows a delivery by: its id and storage path (one that came by both is recorded as spooled)."""
    return f"{envelope.extension('deliveryid')}:{envelope.extension('lane')}"


def known_as(queue: str, envelope: Envelope) -> tuple[str, str]:
    """Return which consumer reads a queue, and the key under which its inbox knows an event."""
    if queue == topology.RECORDER.name:
        return _RECORDER, delivery_key(envelope)
    return _ARRIVALS, envelope.id


def _log_deliveries(hooks: Sequence[IntakeMessage]) -> None:
    """Log what came in, in the trace of each hook. The hot path itself logs nothing; under load one line covers many."""
    if len(hooks) > _LOGGED_ONE_BY_ONE:
        traces = [hook.traceparent.split("-")[1] for hook in hooks if hook.traceparent]
        _log.info("hooks_recorded", count=len(hooks), traces=traces)
        return
    for hook in hooks:
        context = extract({"traceparent": hook.traceparent or ""})
        with span("hook.record", kind=SpanKind.CONSUMER, context=context):
            _log.info(
                "hook_recorded",
                source=hook.source,
                hook=event_label(hook.event),
                order_number=hook.number,
                delivery_id=hook.delivery_id,
                lane=hook.lane,
            )
