"""The composition root of refunds: a straight line from settings to listening, consuming and carrying refunds on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

from common.clock import Clock, SystemClock
from common.errors import Unavailable
from common.health import Health
from common.http import HttpServer, Route, TokenBook, audit_routes, build_app, new_session
from common.http.app import DOCUMENT
from common.messaging import Broker, Consumer, MessagingMetrics, OutboxRelay
from common.messaging.topology import REFUNDS_WANTED, REFUNDS_WORK
from common.postgres import Connection, Database, require_schema
from common.service import Application, Lifecycle, dead_letter_routes, required
from common.telemetry.metrics import new_registry
from refunds.adapters.metrics import RefundMetrics, count_unfinished
from refunds.adapters.postgres import PostgresLists, PostgresQueue, PostgresStore, PostgresTransactions
from refunds.adapters.trust import TrustGateway
from refunds.application.advance_refund import AdvanceRefund
from refunds.application.call_gateway import GatewayCalls
from refunds.application.restart_refund import RestartRefund
from refunds.entrypoints.admin import admin_routes
from refunds.entrypoints.consumers import wanted_handler, work_handler, work_key
from refunds.entrypoints.http import refund_routes
from refunds.entrypoints.jobs import RefundWorker, every
from refunds.settings import RefundsSettings

NAME = "refunds"
VERSION = "0.1.0"
DESCRIPTION = (
    "Gives money back through the payment system Trust: each refund at most once, never more than was captured."
)
QUEUES = (REFUNDS_WANTED, REFUNDS_WORK)
TRUST = "trust"
_GAUGES_SECONDS = 5.0


async def build(settings: RefundsSettings, lifecycle: Lifecycle, *, clock: Clock | None = None) -> Application:
    """Open everything, serve, then consume and work. Waits for PostgreSQL and RabbitMQ while they are away; ``/readyz`` says so.

    Payment systems are no readiness check: while they are away refunds wait, and requests are still taken.
    """
    dsn = required(settings.postgres_dsn, RefundsSettings, "postgres_dsn")
    amqp_url = required(settings.amqp_url, RefundsSettings, "amqp_url")
    tokens = TokenBook.load(settings.tokens_file)
    clock = clock or SystemClock()
    registry = new_registry()
    metrics = RefundMetrics(registry, gateways=(TRUST,))
    messaging_metrics = MessagingMetrics(registry, queues=QUEUES)

    database = Database(dsn, application_name=NAME, max_size=settings.database_connections)
    await database.open()
    lifecycle.on_stop(database.close, name="database")
    lifecycle.health.add_check("postgres", database.check)
    broker = Broker(amqp_url, name=NAME)
    lifecycle.health.add_check("rabbitmq", broker.check)
    schema = Gate("the schema has not been checked yet")
    lifecycle.health.add_check("schema", schema.check)
    relay = OutboxRelay(database, broker.publisher, metrics=messaging_metrics)
    session = await lifecycle.enter(
        new_session(total=settings.gateway_deadline, limit=settings.gateway_connections, service=NAME)
    )
    trust = TrustGateway(
        session,
        url=str(settings.trust_url),
        service_token=settings.trust_service_token.get_secret_value(),
        key_retention=settings.retention,
    )
    calls = GatewayCalls({TRUST: trust}, metrics)
    transactions = PostgresTransactions(database, metrics, after_commit=relay.wake)
    app = build_app(
        service=NAME,
        version=VERSION,
        description=DESCRIPTION,
        routes=routes_of(database, transactions, calls, metrics, clock=clock, wake=relay.wake),
        health=lifecycle.health,
        registry=registry,
        tokens=tokens,
    )
    server = await lifecycle.enter(HttpServer(app, settings.host, settings.port))
    await require_schema(database, NAME)
    schema.open()

    lifecycle.supervise("broker", broker.run, stop=broker.stop)
    lifecycle.supervise("outbox-relay", relay.run, stop=relay.stop)
    worker = RefundWorker(
        PostgresQueue(database, owner=f"{settings.replica}/{uuid4().hex[:8]}", lease=timedelta(seconds=settings.lease)),
        AdvanceRefund(transactions, calls, clock, patience=settings.patience),
        clock,
        concurrency=settings.concurrency,
        poll=settings.poll,
        failed=metrics.failures.inc,
    )
    lifecycle.supervise("worker", worker.run, stop=worker.stop)

    async def show() -> None:
        """Set the gauges from what the database holds."""
        metrics.show(await count_unfinished(database))

    lifecycle.supervise("gauges", lambda: every(_GAUGES_SECONDS, show, name="gauges"))

    def store_on(connection: Connection) -> PostgresStore:
        """Return the store that works in the connection's transaction."""
        return PostgresStore(connection, metrics)

    def committed() -> None:
        """Wake whoever has work after a commit."""
        relay.wake()
        worker.wake()

    wanted = Consumer(
        amqp_url,
        REFUNDS_WANTED,
        database=database,
        name=REFUNDS_WANTED.name,
        service=NAME,
        handler=wanted_handler(store_on=store_on, clock=clock, gateway=TRUST),
        metrics=messaging_metrics,
        after_commit=committed,
    )
    work = Consumer(
        amqp_url,
        REFUNDS_WORK,
        database=database,
        name=REFUNDS_WORK.name,
        service=NAME,
        handler=work_handler(store_on=store_on, clock=clock),
        key=work_key,
        metrics=messaging_metrics,
        after_commit=committed,
    )
    for spec, consumer in ((REFUNDS_WANTED, wanted), (REFUNDS_WORK, work)):
        dead = consumer.dead_letter_collector
        lifecycle.supervise(f"dead-letters-{spec.name}", dead.run, stop=dead.stop)
        lifecycle.supervise(f"consumer-{spec.name}", consumer.run, stop=consumer.stop)
        lifecycle.health.add_check(spec.name, connected_check(consumer))
    return Application(server=server, lifecycle=lifecycle)


def routes_of(
    database: Database,
    transactions: PostgresTransactions,
    calls: GatewayCalls,
    metrics: RefundMetrics,
    *,
    clock: Clock,
    wake: Callable[[], None],
) -> list[Route]:
    """Return every HTTP route; opens nothing."""
    return [
        *refund_routes(transactions=transactions, clock=clock, gateway=TRUST),
        *admin_routes(
            lists=PostgresLists(database),
            transactions=transactions,
            database=database,
            store_on=lambda connection: PostgresStore(connection, metrics),
            restart=RestartRefund(transactions, calls),
            clock=clock,
            committed=wake,
            restarted=metrics.restarted,
        ),
        *dead_letter_routes(database, after_commit=wake),
        *audit_routes(database),
    ]


class Gate:
    """A readiness check that fails with a reason until it is opened."""

    def __init__(self, reason: str) -> None:
        self._reason: str | None = reason

    def open(self) -> None:
        """Pass from now on."""
        self._reason = None

    async def check(self) -> None:
        """Raise ``Unavailable`` while closed."""
        if self._reason is not None:
            raise Unavailable(self._reason)


def connected_check(consumer: Consumer) -> Callable[[], Awaitable[None]]:
    """Return the readiness check of a consumer."""

    async def check() -> None:
        """Raise while the queue is not being read."""
        if not consumer.connected:
            raise Unavailable("the queue is not being read")

    return check


def openapi() -> dict[str, Any]:
    """Return the OpenAPI document; opens and reads nothing."""
    registry = new_registry()
    metrics = RefundMetrics(registry, gateways=(TRUST,))
    database = Database("postgresql://", application_name=NAME)
    transactions = PostgresTransactions(database, metrics, after_commit=lambda: None)
    routes = routes_of(
        database, transactions, GatewayCalls({}, metrics), metrics, clock=SystemClock(), wake=lambda: None
    )
    app = build_app(
        service=NAME,
        version=VERSION,
        description=DESCRIPTION,
        routes=routes,
        health=Health(),
        registry=registry,
        tokens=TokenBook(()),
    )
    return app[DOCUMENT]
