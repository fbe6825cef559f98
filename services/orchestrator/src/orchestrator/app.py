"""The composition root of the orchestrator: a straight line from settings to a listening server."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from common.clock import Clock, SystemClock
from common.errors import Unavailable
from common.health import Health
from common.http import HttpServer, Route, TokenBook, audit_routes, build_app, new_session
from common.http.app import DOCUMENT
from common.ids import new_id
from common.messaging import Broker, Consumer, Handler, MessagingMetrics, OutboxRelay, topology
from common.messaging.topology import QueueSpec
from common.postgres import Database, require_schema, worth_repeating
from common.service import Application, Lifecycle, dead_letter_routes, required
from common.telemetry import get_logger
from common.telemetry.metrics import new_registry
from orchestrator.documents.issue import IssueDocument
from orchestrator.engine.bulk import PostgresBulk
from orchestrator.engine.bulk_routes import bulk_routes
from orchestrator.engine.model import ORDER_DOCUMENT, ORDER_LIFE, REFUND_REQUEST, UPDATE_TRANSACTIONS, Lane
from orchestrator.engine.operate import PostgresOperations
from orchestrator.engine.retention import Retention
from orchestrator.engine.routes import operation_routes
from orchestrator.engine.searches import Searches
from orchestrator.engine.store import PostgresWorkflows
from orchestrator.engine.wakeup import Wake
from orchestrator.engine.worker import Handler as EngineHandler
from orchestrator.engine.worker import Worker
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.orders.admin_reads import read_routes
from orchestrator.orders.aggregate import Drift
from orchestrator.orders.hooks import event_id_of
from orchestrator.orders.jobs import every, free_leases, prune, raise_overdue
from orchestrator.orders.life import OrderLife, Placement
from orchestrator.orders.measure import PostgresUpkeep
from orchestrator.orders.parked import RaiseOverdue
from orchestrator.orders.routes import order_routes
from orchestrator.orders.store import PostgresOrderReader
from orchestrator.refunds.consumers import Taker
from orchestrator.refunds.follow import RefundRequest
from orchestrator.refunds.intake import PostgresRefundIntake
from orchestrator.refunds.request import PostgresMoney
from orchestrator.refunds.routes import money_admin_routes
from orchestrator.refunds.store import PostgresLifeReader
from orchestrator.settings import OrchestratorSettings, read_token
from orchestrator.tips.breaker import CircuitBreaker
from orchestrator.tips.decide import TipsCaller
from orchestrator.tips.experiment import FlagProvider, FlagRows, OpenFeatureExperiment
from orchestrator.tips.feedback import FeedbackClient
from orchestrator.tips.metrics import TipsCallerMetrics
from orchestrator.tips.routes import money_routes
from orchestrator.tips.service import TipsClient
from orchestrator.tips.store import PostgresTipsLedger
from orchestrator.tips.update_transactions import UpdateTransactions

_log = get_logger()
NAME = "orchestrator"
VERSION = "0.1.0"
DESCRIPTION = "Owns the state of orders and the workflows that carry each of them through its life."
_QUEUES = (topology.ORCHESTRATOR_INTAKE, topology.ORCHESTRATOR_JOURNAL, topology.ORCHESTRATOR_REFUNDS)


async def build(settings: OrchestratorSettings, lifecycle: Lifecycle, *, clock: Clock | None = None) -> Application:
    """Open everything, work and serve. Waits for PostgreSQL and its schema; starts while RabbitMQ is away and says so on ``/readyz``.

    A drain runs backwards: the server stops, then the jobs and consumers, then the workers, and last the relay, which has a last
    look at what they have promised.
    """
    clock = clock or SystemClock()
    dsn = required(settings.postgres_dsn, OrchestratorSettings, "postgres_dsn")
    amqp_url = required(settings.amqp_url, OrchestratorSettings, "amqp_url")
    tokens = TokenBook.load(settings.tokens_file)
    registry = new_registry()
    metrics = OrchestratorMetrics(registry, sources=settings.metric_sources)
    messaging = MessagingMetrics(registry, queues=_QUEUES)

    database = Database(dsn, application_name=NAME, max_size=settings.database_connections)
    await database.open()
    lifecycle.on_stop(database.close)
    lifecycle.health.add_check("postgres", database.check)
    broker = Broker(amqp_url, name=NAME)
    lifecycle.supervise("broker", broker.run, stop=broker.stop)
    lifecycle.health.add_check("rabbitmq", broker.check)

    relay = OutboxRelay(database, broker.publisher, metrics=messaging)
    wake = Wake(database)
    workflows = PostgresWorkflows(database)
    upkeep = PostgresUpkeep(database, metrics)
    searches = Searches(database)

    def committed() -> None:
        """Wake whoever has work now: workers of all replicas, and the relay."""
        wake.ring()
        relay.wake()

    routes = _routes(database, searches, clock=clock, committed=committed)
    app = build_app(
        service=NAME,
        version=VERSION,
        description=DESCRIPTION,
        routes=routes,
        health=lifecycle.health,
        registry=registry,
        tokens=tokens,
    )
    # The server listens before PostgreSQL is there: /livez is true and /readyz says what is awaited.
    server = await lifecycle.enter(HttpServer(app, settings.host, settings.port))
    await require_schema(database, NAME)
    lifecycle.supervise("outbox-relay", relay.run, stop=relay.stop)
    lifecycle.supervise("wake", wake.run)

    flags = FlagRows(database, max_age=settings.flags_max_age)
    await flags.look()  # before anybody asks
    lifecycle.supervise("flags", partial(flags.poll, settings.flags_every))
    experiment = OpenFeatureExperiment(
        FlagProvider(flags), domain=f"{NAME}/{new_id()}", deadline=settings.experiment_deadline
    )
    lifecycle.on_stop(experiment.close, name="experiment")
    caller_metrics = TipsCallerMetrics(registry)
    ledger = PostgresTipsLedger(database)
    caller: TipsCaller | None = None
    if settings.feedback_url is None:
        _log.warning("tips_not_configured", detail="without ORCHESTRATOR_FEEDBACK_URL nobody decides tips")
    else:
        session = await lifecycle.enter(new_session(service=NAME, limit=settings.call_concurrency * 2))
        service: TipsClient | None = None
        if settings.tips_url is not None and settings.internal_token_file is not None:
            service = TipsClient(
                session,
                url=str(settings.tips_url),
                token=read_token(settings.internal_token_file),
                explain_token=None if settings.shadow_token_file is None else read_token(settings.shadow_token_file),
                deadline=settings.tips_deadline,
                observe=caller_metrics.called,
            )
        caller = TipsCaller(
            experiment=experiment,
            service=service,
            feedback=FeedbackClient(session, url=str(settings.feedback_url), deadline=settings.feedback_deadline),
            ledger=ledger,
            breaker=CircuitBreaker(failures=settings.tips_breaker_failures, pause=settings.tips_breaker_pause),
            rules=settings.tips_rules,
            clock=clock,
            metrics=caller_metrics,
        )

    placement = Placement(zones_by_store=settings.zones_by_store, tariffs_by_shipment=settings.tariffs_by_shipment)
    orders = PostgresOrderReader(database)
    life_reader = PostgresLifeReader(database)
    handlers: dict[str, EngineHandler] = {
        ORDER_LIFE: OrderLife(orders, clock, placement),
        UPDATE_TRANSACTIONS: UpdateTransactions(
            ledger,
            caller,
            rules=settings.tips_rules,
            clock=clock,
            metrics=caller_metrics,
            away=_away,
            delay=settings.deferred_delay,
            concurrency=settings.call_concurrency,
        ),
        REFUND_REQUEST: RefundRequest(
            life_reader, clock, answer_within=timedelta(seconds=settings.refund_answer_within)
        ),
        ORDER_DOCUMENT: IssueDocument(orders, life_reader, clock),
    }
    calls = PostgresWorkflows(database, Lane.CALLS)
    crews = [("worker", Lane.LIFE, workflows, settings.worker_limits)] * settings.workers
    crews += [("calls", Lane.CALLS, calls, settings.call_limits)] * settings.call_workers
    for index, (crew, lane, store, limits) in enumerate(crews):
        bell = wake.bell(lane)
        worker = Worker(
            store,
            handlers,
            owner=f"{settings.replica}/{crew}-{index}/{new_id()}",
            alarm=bell,
            metrics=metrics,
            clock=clock,
            away=_away,
            committed=committed,
            promised=relay.wake,
            limits=limits,
        )

        def stop(worker: Worker = worker, ring: Any = bell.ring) -> None:
            """Let the worker end at once if it waits, else after its batch."""
            worker.stop()
            ring()

        lifecycle.supervise(f"{crew}-{index}", worker.run, stop=stop)

    retention = Retention(
        database,
        keep_events=timedelta(days=settings.keep_events_days),
        keep_inbox=timedelta(days=settings.keep_inbox_days),
    )
    overdue = RaiseOverdue(upkeep, clock, limit=timedelta(seconds=settings.parking_limit))
    for name, seconds, job in (
        ("free-leases", min(settings.lease / 3, 5.0), partial(free_leases, workflows, metrics, committed)),
        ("raise-overdue", settings.upkeep_every, partial(raise_overdue, overdue, committed)),
        ("derive-aggregates", settings.upkeep_every, upkeep.derive_aggregates),
        ("measure", settings.measure_every, upkeep.measure),
        ("measure-tables", settings.measure_every * 12, upkeep.measure_tables),
        ("measure-sources", settings.measure_every * 12, upkeep.measure_sources),
        ("look-for-drift", settings.measure_every, Drift(database, metrics)),
        ("prune", settings.prune_every, partial(prune, retention, clock, metrics.pruned.inc)),
    ):
        lifecycle.supervise(name, partial(every, seconds, name, job))

    taker = Taker(PostgresRefundIntake(clock))
    handlers_by_queue: list[tuple[QueueSpec, Handler]] = [
        (topology.ORCHESTRATOR_INTAKE, taker.take_hooks),
        (topology.ORCHESTRATOR_JOURNAL, taker.take_journal),
        (topology.ORCHESTRATOR_REFUNDS, taker.take_refunds),
    ]
    for queue, handler in handlers_by_queue:
        consumer = Consumer(
            amqp_url,
            queue,
            database=database,
            name=queue.name,
            service=NAME,
            handler=handler,
            metrics=messaging,
            key=event_id_of,
            after_commit=committed,
            batch_size=settings.intake_batch_size,
        )
        lifecycle.supervise(
            f"{queue.name}.dead", consumer.dead_letter_collector.run, stop=consumer.dead_letter_collector.stop
        )
        lifecycle.supervise(queue.name, consumer.run, stop=consumer.stop)
        if queue is topology.ORCHESTRATOR_INTAKE:
            lifecycle.health.add_check("intake", _connected(consumer))

    lifecycle.on_stop(server.stop, name="http-server")  # opened early, it stops first all the same
    return Application(server=server, lifecycle=lifecycle)


def openapi() -> dict[str, Any]:
    """Return the OpenAPI document without opening anything."""
    database = Database("", application_name=NAME)
    app = build_app(
        service=NAME,
        version=VERSION,
        description=DESCRIPTION,
        routes=_routes(database, Searches(database), clock=SystemClock(), committed=lambda: None),
        health=Health(),
        registry=new_registry(),
        tokens=TokenBook([]),
    )
    return app[DOCUMENT]


def _routes(database: Database, searches: Searches, *, clock: Clock, committed: Any) -> list[Route]:
    return [
        *order_routes(searches),
        *read_routes(searches),
        *operation_routes(database, PostgresOperations(), clock=clock, committed=committed),
        *money_routes(database, PostgresMoney(), clock=clock, committed=committed),
        *money_admin_routes(database, PostgresMoney(), PostgresLifeReader(database), clock=clock, committed=committed),
        *bulk_routes(database, PostgresBulk(), clock=clock, committed=committed),
        *dead_letter_routes(database, after_commit=committed),
        *audit_routes(database),
    ]


def _away(error: Exception) -> bool:
    return isinstance(error, Unavailable) or worth_repeating(error)


def _connected(consumer: Consumer) -> Any:
    async def check() -> None:
        if not consumer.connected:
            raise Unavailable("the intake queue is not being read")

    return check
