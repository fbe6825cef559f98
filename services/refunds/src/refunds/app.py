"""The composition root of refunds: a straight line from settings to listening, consuming and carrying refunds on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

from aiohttp import ClientSession

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
from refunds.metrics import RefundMetrics, count_differences, count_unfinished
from refunds.payments.choose import GatewayRoutes
from refunds.providers.calls import GatewayCalls
from refunds.providers.guard import GuardLimits
from refunds.providers.provider import Gateway
from refunds.providers.trust import TrustGateway
from refunds.providers.yookassa import YooKassaGateway
from refunds.reconciliation.compare import ReconcileRefund
from refunds.reconciliation.notice import NoticeRefund
from refunds.reconciliation.reconcile import Reconcile, Reconciliation
from refunds.reconciliation.routes import notification_routes
from refunds.refunds.admin_routes import admin_routes
from refunds.refunds.advance import AdvanceRefund
from refunds.refunds.bulk_routes import bulk_routes
from refunds.refunds.consumers import wanted_handler, work_handler, work_key
from refunds.refunds.queue import PostgresBooks, PostgresLists, PostgresQueue, PostgresTransactions
from refunds.refunds.restart import RestartRefund
from refunds.refunds.retry import Patience
from refunds.refunds.routes import refund_routes
from refunds.refunds.store import PostgresStore
from refunds.refunds.worker import DailyReconciliation, RefundWorker, every
from refunds.settings import TRUST, YOOKASSA, RefundsSettings

NAME = "refunds"
VERSION = "0.1.0"
DESCRIPTION = "Gives money back through the payment systems: each refund at most once, never more than was captured."
QUEUES = (REFUNDS_WANTED, REFUNDS_WORK)
GATEWAYS = (TRUST, YOOKASSA)
_GAUGES_SECONDS = 5.0
_RECONCILE_EVERY_SECONDS = 60.0


async def build(settings: RefundsSettings, lifecycle: Lifecycle, *, clock: Clock | None = None) -> Application:
    """Open everything, serve, then consume and work. Waits for PostgreSQL and RabbitMQ while they are away; ``/readyz`` says so.

    Payment systems are no readiness check: while they are away refunds wait, and requests are still taken.
    """
    dsn = required(settings.postgres_dsn, RefundsSettings, "postgres_dsn")
    amqp_url = required(settings.amqp_url, RefundsSettings, "amqp_url")
    tokens = TokenBook.load(settings.tokens_file)
    clock = clock or SystemClock()
    registry = new_registry()
    metrics = RefundMetrics(registry, gateways=GATEWAYS)
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
    calls = GatewayCalls(gateways_of(settings, session), metrics, clock, limits=settings.guard)
    transactions = PostgresTransactions(database, metrics, after_commit=relay.wake)
    owner = f"{settings.replica}/{uuid4().hex[:8]}"
    books = PostgresBooks(database, owner=owner)
    one = ReconcileRefund(transactions, calls, clock, patience=settings.patience)
    reconcile = Reconcile(transactions, calls, books, one, clock)
    work_there_is = Signal()

    def reconciled(found: Reconciliation) -> None:
        """Show what a reconciliation found."""
        metrics.reconciled(found, at=clock.now().timestamp())

    def committed() -> None:
        """Wake whoever has work after a commit."""
        relay.wake()
        work_there_is()

    app = build_app(
        service=NAME,
        version=VERSION,
        description=DESCRIPTION,
        routes=[
            *routes_of(
                database,
                transactions,
                calls,
                metrics,
                clock=clock,
                wake=committed,
                gateways=settings.routes,
                patience=settings.patience,
                notice=NoticeRefund(transactions, one, clock),
                reconcile=reconcile,
                reconciled=reconciled,
            )
        ],
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
        PostgresQueue(database, owner=owner, lease=timedelta(seconds=settings.lease)),
        AdvanceRefund(transactions, calls, clock, patience=settings.patience),
        clock,
        concurrency=settings.concurrency,
        poll=settings.poll,
        failed=metrics.failures.inc,
    )
    work_there_is.tell(worker.wake)
    lifecycle.supervise("worker", worker.run, stop=worker.stop)
    daily = DailyReconciliation(
        reconcile,
        books,
        clock,
        hour=settings.reconcile_at,
        back=timedelta(days=settings.reconcile_days),
        reconciled=reconciled,
    )
    lifecycle.supervise("reconciliation", lambda: every(_RECONCILE_EVERY_SECONDS, daily, name="reconciliation"))

    async def show() -> None:
        """Set the gauges from what the database holds."""
        metrics.show(await count_unfinished(database))
        metrics.show_differences(await count_differences(database))
        metrics.show_guards(calls.guards)

    lifecycle.supervise("gauges", lambda: every(_GAUGES_SECONDS, show, name="gauges"))

    def store_on(connection: Connection) -> PostgresStore:
        """Return the store that works in the connection's transaction."""
        return PostgresStore(connection, metrics)

    wanted = Consumer(
        amqp_url,
        REFUNDS_WANTED,
        database=database,
        name=REFUNDS_WANTED.name,
        service=NAME,
        handler=wanted_handler(store_on=store_on, clock=clock, gateways=settings.routes),
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


def gateways_of(settings: RefundsSettings, session: ClientSession) -> dict[str, Gateway]:
    """Return the payment systems that are configured, by name."""
    gateways: dict[str, Gateway] = {
        TRUST: TrustGateway(
            session,
            url=str(settings.trust_url),
            service_token=settings.trust_service_token.get_secret_value(),
            key_retention=settings.retention,
        )
    }
    if settings.yookassa_shop_id is not None and settings.yookassa_secret_key is not None:
        gateways[YOOKASSA] = YooKassaGateway(
            session,
            url=str(settings.yookassa_url),
            shop_id=settings.yookassa_shop_id,
            secret_key=settings.yookassa_secret_key.get_secret_value(),
            key_retention=settings.yookassa_retention,
        )
    return gateways


def routes_of(
    database: Database,
    transactions: PostgresTransactions,
    calls: GatewayCalls,
    metrics: RefundMetrics,
    *,
    clock: Clock,
    wake: Callable[[], None],
    gateways: GatewayRoutes,
    patience: Patience,
    notice: NoticeRefund,
    reconcile: Reconcile,
    reconciled: Callable[[Reconciliation], None],
) -> list[Route]:
    """Return every HTTP route; opens nothing."""
    lists, restart = PostgresLists(database), RestartRefund(transactions, calls, patience=patience)

    def store_on(connection: Connection) -> PostgresStore:
        """Return the store that works in the connection's transaction."""
        return PostgresStore(connection, metrics)

    return [
        *refund_routes(transactions=transactions, clock=clock, gateways=gateways),
        *notification_routes(calls=calls, notice=notice, noticed=wake),
        *admin_routes(
            lists=lists,
            transactions=transactions,
            database=database,
            store_on=store_on,
            restart=restart,
            clock=clock,
            committed=wake,
            restarted=metrics.restarted,
        ),
        *bulk_routes(
            lists=lists,
            database=database,
            store_on=store_on,
            restart=restart,
            reconcile=reconcile,
            clock=clock,
            committed=wake,
            restarted=metrics.restarted,
            reconciled=reconciled,
        ),
        *dead_letter_routes(database, after_commit=wake),
        *audit_routes(database),
    ]


class Signal:
    """Calls whoever has been told of, once there is somebody: routes are made before the worker they wake."""

    def __init__(self) -> None:
        self._listener: Callable[[], None] = lambda: None

    def tell(self, listener: Callable[[], None]) -> None:
        """Call this one from now on."""
        self._listener = listener

    def __call__(self) -> None:
        """Call the listener."""
        self._listener()


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
    metrics = RefundMetrics(registry, gateways=GATEWAYS)
    database = Database("postgresql://", application_name=NAME)
    transactions, clock, patience = (
        PostgresTransactions(database, metrics, after_commit=lambda: None),
        SystemClock(),
        Patience(),
    )
    calls = GatewayCalls({}, metrics, clock, limits=GuardLimits())
    one = ReconcileRefund(transactions, calls, clock, patience=patience)
    routes = routes_of(
        database,
        transactions,
        calls,
        metrics,
        clock=clock,
        wake=lambda: None,
        gateways=GatewayRoutes(TRUST),
        patience=patience,
        notice=NoticeRefund(transactions, one, clock),
        reconcile=Reconcile(transactions, calls, PostgresBooks(database, owner=NAME), one, clock),
        reconciled=lambda _: None,
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
